"""What Ollama is given: a Modelfile whose template is the run's, and a merged model or a GGUF file."""

import json

import pytest
from exporting import without_chat_template
from following import trained
from tiny import TEMPLATES, make_tokenizer

from studio import gpu
from studio.config import RunConfig
from studio.errors import ExportError
from studio.export import modelfile
from studio.export.export_context import ExportContext, PromptFormat
from studio.export.request import ExportRequest

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n{% endif %}"
    + TEMPLATES["chatml"]
)
FOLDED = (  # as Gemma's own template does it
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% set ns.system = m['content'] + '\n\n' %}{% else %}<turn>{{ 'model' if m['role'] == 'assistant' else 'user' }}\n"
    "{{ ns.system }}{% set ns.system = '' %}{{ m['content'] | trim }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
REWRITES = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
FORGETS = "{{ messages[-1]['content'] }}|"


def asked_with(template, prompt=None, **settings) -> ExportContext:
    """Return a context of which only the prompt is known."""
    return ExportContext(
        None, RunConfig(), None, make_tokenizer(template, **settings), prompt or PromptFormat("chat"), (1,)
    )


@pytest.mark.parametrize("name", [*TEMPLATES, "default system", "folded"])
def test_the_pieces_of_a_template_make_every_chat_as_the_template_does(name):
    template = (TEMPLATES | {"default system": DEFAULT_SYSTEM, "folded": FOLDED})[name]
    made = asked_with(template)
    found, in_chats = modelfile.template_parts(made)
    assert in_chats
    turns = ["Hi {{you}}", "Aye.", 'And """this"""?', "No.", "\U0001f642?"]
    messages = [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]
    wanted = made.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert found.render(turns) == wanted
    if name not in ("gemma", "mistral"):
        told = [{"role": "system", "content": "Be old."}, *messages]
        wanted = made.tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        assert found.render(turns, "Be old.") == wanted


def test_the_template_in_gos_language_is_written_out():
    found, _ = modelfile.template_parts(asked_with(TEMPLATES["chatml"]))
    assert found.as_go() == (
        "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n<|im_start|>user\n{{ else }}<|im_start|>user\n"
        '{{ end }}{{ range .Messages }}{{ if eq .Role "user" }}{{ .Content }}<|im_end|>\n<|im_start|>assistant\n'
        '{{ else if eq .Role "assistant" }}{{ .Content }}<|im_end|>\n<|im_start|>user\n{{ end }}{{ end }}'
    )


def test_a_text_template_with_braces_is_put_into_gos_language():
    prompt = PromptFormat("text", None, ("q",), '### """{{{{ {0}\n### a:', " ", "<|im_end|>")
    found, in_chats = modelfile.template_parts(asked_with(None, prompt))
    assert in_chats
    assert found.before == '### """{{ '
    assert '{{ "\\"\\"\\"" }}{{ "{{" }} ' in found.as_go()
    assert '"""' not in found.as_go()


def test_the_beginning_of_text_is_left_to_ollama_where_the_tokenizer_adds_it():
    found, _ = modelfile.template_parts(asked_with(TEMPLATES["llama3"], adds_bos=True))
    assert found.before == "[user]\n\n"
    assert modelfile.template_parts(asked_with(TEMPLATES["llama3"]))[0].before == "<|im_start|>[user]\n\n"


def test_a_template_that_rewrites_is_not_taken_apart_and_one_that_forgets_holds_for_a_question():
    assert modelfile.template_parts(asked_with(REWRITES))[0] is None
    found, in_chats = modelfile.template_parts(asked_with(FORGETS))
    assert not in_chats
    assert found.render(["one"]) == "one|"
    columns = PromptFormat("text", None, ("a", "b"), "{0} {1}:", "", "")
    assert modelfile.template_parts(asked_with(None, columns)) == (None, False)


@pytest.mark.usefixtures("warm_python")
def test_the_folder_holds_a_merged_model_that_is_verified_and_a_modelfile(tiny_config):
    run = trained(tiny_config, **{"data.prompt.system": 'Speak """old""".', "generation.temperature": 0.5})
    made = gpu.thread().export(ExportRequest(run.id, "ollama", verify=True)).result()
    text = (made.folder / "Modelfile").read_text(encoding="utf-8")
    assert "\nFROM .\n" in text
    assert 'PARAMETER stop "<|im_end|>"\nPARAMETER temperature 0.5\n' in text
    assert "SYSTEM \"\"\"Speak '''old'''.\"\"\"" in text
    assert json.loads((made.folder / "tokenizer_config.json").read_text())["add_bos_token"] is False
    assert made.verification.passed
    assert "LlamaForCausalLM" in " ".join(note.text() for note in made.notes)


CONVERTER = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("model"); parser.add_argument("--outfile"); parser.add_argument("--outtype")
chosen = parser.parse_args()
model = pathlib.Path(chosen.model)
assert list(model.glob("*.safetensors")) and (model / "tokenizer.json").exists()
print("working")
if {fails}: sys.exit("ValueError: this tokenizer is not known")
pathlib.Path(chosen.outfile).write_bytes(b"GGUF" + chosen.outtype.encode())
"""


def test_the_users_converter_makes_the_gguf(tiny_config, tmp_path):
    run = trained(tiny_config, **without_chat_template(tmp_path / "base"))
    (tmp_path / "convert_hf_to_gguf.py").write_text(CONVERTER.format(fails=False))
    request = ExportRequest(run.id, "gguf", tmp_path / "mine", precision="float16", converter=tmp_path)
    made = gpu.thread().export(request).result()
    assert (made.folder / "model.gguf").read_bytes() == b"GGUFf16"
    assert "FROM ./model.gguf" in (made.folder / "Modelfile").read_text()
    assert not (made.folder / "merged").exists()


def test_without_llama_cpp_a_gguf_is_made_and_says_what_makes_its_check_possible(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("studio.export.request.RUNNER", "package_that_is_not_there")
    run = trained(tiny_config)
    (tmp_path / "convert_hf_to_gguf.py").write_text(CONVERTER.format(fails=False))
    made = gpu.thread().export(ExportRequest(run.id, "gguf", converter=tmp_path, verify=True)).result()
    assert made.verification is None
    assert "pip install xllamacpp" in " ".join(note.text() for note in made.notes)
    assert (made.folder / "model.gguf").is_file()


@pytest.mark.parametrize(
    ("converter", "key"), [(None, "needs_converter"), ("nowhere.py", "no_converter"), ("fails.py", "converter_failed")]
)
def test_what_is_wrong_with_the_converter_is_told_and_nothing_is_left(tiny_config, tmp_path, converter, key):
    run = trained(tiny_config)
    (tmp_path / "fails.py").write_text(CONVERTER.format(fails=True))
    request = ExportRequest(run.id, "gguf", tmp_path / "mine", converter=converter and tmp_path / converter)
    with pytest.raises(ExportError) as raised:
        gpu.thread().export(request).result()
    assert raised.value.key == f"export.{key}"
    if key == "converter_failed":
        assert "this tokenizer is not known" in str(raised.value)
    assert not (tmp_path / "mine").exists()
    assert list(tmp_path.glob(".mine*")) == []
