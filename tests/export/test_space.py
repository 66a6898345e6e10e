"""The Space's folder is an app that starts by itself, shows what was recorded, and answers where it may."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from exporting import GREEDY, answer, two_columns
from following import trained
from hub_uploads import problems
from huggingface_hub import SpaceCard

from studio import gpu
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, CompareRequest
from studio.errors import ExportError
from studio.events import Interval
from studio.export.request import ExportRequest
from studio.files import sha256, to_json
from studio.style import style_store
from studio.style.report import AnswerScores, ColumnReport, StyleReport

ZERO_GPU = Path(__file__).parent.parent / "zero_gpu"
"""The folder of a stand-in for the package `spaces`."""


def exported(run, folder, **settings):
    """Export a run's Space with all its saved comparisons, or else what it makes itself."""
    if saved := comparison_history.load_all(run):
        settings["comparisons"] = tuple(one.id for one in saved)
    return gpu.thread().export(ExportRequest(run.id, "space", folder, **settings)).result().folder


@contextmanager
def started(folder, **variables):
    """Start the folder's app in a process that knows no studio; yields a client of its API."""
    from gradio_client import Client

    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = kept | {"GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    environment |= {"GRADIO_SERVER_PORT": str(free_port())} | variables
    command = [sys.executable, "-P", "app.py"]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as app:
        url = f"http://127.0.0.1:{environment['GRADIO_SERVER_PORT']}"
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and app.poll() is None:
                try:
                    httpx.get(url, timeout=5).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            assert app.poll() is None, app.stdout.read().decode()
            yield Client(url, verbose=False)
        finally:
            app.kill()


def free_port():
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.fixture
def compared(finished_run):
    """A run with one saved comparison."""
    gpu.thread().compare(CompareRequest(finished_run.id, ("What is 3?",), GREEDY, (BASE, ADAPTED))).result()
    return finished_run


def test_it_shows_recorded_answers_and_computes_nothing(compared, tmp_path):
    folder = exported(compared, tmp_path / "space")
    recorded = json.loads((folder / "demo.json").read_text(encoding="utf-8"))["recorded"]
    assert [one["prompt"] for one in recorded] == ["What is 3?"]
    assert recorded[0]["answers"][1] == answer(compared, "What is 3?").text
    with started(folder, LIVE="off") as client:
        shown = client.predict("What is 3?", api_name="/recorded")
        assert list(shown[1:3]) == recorded[0]["answers"]
        assert list(client.predict("What is 3?", True, api_name="/compare")[:2]) == recorded[0]["answers"]
        with pytest.raises(Exception, match="no GPU"):
            client.predict("Something else", True, api_name="/compare")
        assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/compare", "/recorded"}


@pytest.mark.slow
def test_it_answers_live_as_the_run_does(compared, tiny_model, tmp_path):
    folder = exported(compared, tmp_path / "space", language="ko")
    with started(folder, LIVE="on", BASE=str(tiny_model)) as client:
        before, after, told = client.predict("What is 5?", True, api_name="/compare")
    assert after == answer(compared, "What is 5?").text
    assert before != after
    assert re.search("[가-힣]", told)


@pytest.mark.slow
def test_on_zero_gpu_each_live_answer_has_a_process_with_the_gpu(compared, tiny_model, tmp_path):
    folder = exported(compared, tmp_path / "space")
    variables = {"SPACES_ZERO_GPU": "true", "PYTHONPATH": str(ZERO_GPU), "BASE": str(tiny_model)}
    with started(folder, **variables) as client:
        for number in (5, 6):
            after = client.predict(f"What is {number}?", True, api_name="/compare")[1]
            assert after == answer(compared, f"What is {number}?").text
        shown = client.predict("What is 3?", False, api_name="/compare")
        assert (
            list(shown[:2]) == json.loads((folder / "demo.json").read_text(encoding="utf-8"))["recorded"][0]["answers"]
        )
    with started(folder, **variables, SECONDS="0") as client:  # recorded answers borrow nothing
        assert list(client.predict("What is 3?", False, api_name="/compare"))[:2] == list(shown[:2])
        with pytest.raises(Exception, match="GPU task aborted"):
            client.predict("What is 5?", True, api_name="/compare")


def test_the_headline_of_the_meter_is_on_the_model_card_and_the_demo(compared, tmp_path):
    zeros, yes = (0.0,) * 20, (True,) * 20
    scores = AnswerScores(zeros, yes, zeros, zeros, yes, (0,) * 20, (False,) * 20)
    sure, none = Interval(96.0, 88.0, 101.0), Interval(0.0, 0.0, 0.0)
    adapter = sha256(compared.adapter / "adapter_model.safetensors")
    column = ColumnReport(ADAPTED, adapter, ("a",) * 20, scores, sure, none, none, True, *[none] * 3, 0, None, 0.0)
    report = StyleReport(compared.id, "id", ("q",) * 20, "base", columns=(column,), separable=True)
    path = style_store.path_of(compared, "id")
    path.parent.mkdir()
    path.write_text(to_json(report), encoding="utf-8")
    said = "96 % of the way to the author's style [88–101]"
    folder = exported(compared, tmp_path / "space")
    about = json.loads((folder / "demo.json").read_text(encoding="utf-8"))["about"]
    card = (folder / "adapter" / "README.md").read_text(encoding="utf-8")
    for text in (about, card):
        assert said in text.replace("\\", "")


def test_the_folder_is_a_space(compared, tmp_path, tiny_model):
    folder = exported(compared, tmp_path / "space")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert problems(text, "space") == []
    head = SpaceCard(text).data
    import gradio

    assert (head.sdk, head.sdk_version, head.app_file) == ("gradio", gradio.__version__, "app.py")
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "adapter", "app.py", "demo.json", "requirements.txt", "restyle.json")
    }
    assert "peft==" in (folder / "requirements.txt").read_text()
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    for path in folder.rglob("*"):
        assert not path.is_file() or str(tiny_model.parent).encode() not in path.read_bytes(), path.name


def test_without_a_comparison_the_pinned_prompts_are_asked(finished_run, tmp_path):
    from studio.train import samples

    folder = exported(finished_run, tmp_path / "space")
    recorded = json.loads((folder / "demo.json").read_text(encoding="utf-8"))["recorded"]
    assert tuple(one["prompt"] for one in recorded) == samples.read(finished_run).prompts
    prompt = recorded[0]["prompt"]
    assert recorded[0]["answers"][1] == answer(finished_run, prompt, finished_run.config().generation).text


def test_a_template_of_more_columns_has_no_demo(tiny_config, tmp_path):
    run = trained(tiny_config, **two_columns(tmp_path))
    with pytest.raises(ExportError) as raised:
        exported(run, tmp_path / "space")
    assert raised.value.key == "export.no_space"
