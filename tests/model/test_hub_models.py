"""A model from the Hub: fetched whole or not at all, cancelled at any moment, and a token that leaves no trace."""

import json
import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from studio.config import ModelConfig
from studio.errors import ModelError
from studio.model import hub_models, load, subprocess_worker

CANARY = "hf_canarycanarycanary"


class Cancelled(Exception):
    pass


@pytest.fixture
def everything_said(caplog):
    """All that is logged, at any level."""
    caplog.set_level(logging.DEBUG)
    return caplog


def canaries(*folders: Path) -> list[Path]:
    """Return the files that hold the canary, in their bytes or their names."""
    files = [path for folder in folders if folder.exists() for path in folder.rglob("*")]
    return [p for p in files if CANARY in p.name or (p.is_file() and CANARY.encode() in p.read_bytes())]


def test_a_model_is_fetched_once_and_then_found_without_the_hub(hub_stand_in, tiny_model):
    told = []
    located = load.fetch(ModelConfig(id="someone/tiny"), told.append)

    assert located.identity["weights"] == load.locate(ModelConfig(id=str(tiny_model))).identity["weights"]
    assert located.revision == hub_stand_in.repositories["someone/tiny"].commit
    assert told == sorted(told)
    assert told[0] == 0.0
    assert told[-1] == 1.0
    asked = len(hub_stand_in.requests)
    assert load.fetch(ModelConfig(id="someone/tiny")) == located
    assert len(hub_stand_in.requests) == asked


def test_only_what_a_model_needs_is_fetched(hub_stand_in, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "full")
    for name in ("pytorch_model.bin", "modeling_evil.py", "consolidated.safetensors", "onnx/model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not wanted")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    hub_stand_in.add("someone/full", folder)

    path = hub_models.fetch("someone/full", None)

    assert {file.name for file in path.iterdir()} == {"README.md", *(file.name for file in tiny_model.iterdir())}


@pytest.mark.parametrize(
    ("settings", "weights", "said"),
    [
        (
            {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}, "model_type": "evil"},
            "model.safetensors",
            "code of its own",
        ),
        ({}, "pytorch_model.bin", "no weights in safetensors"),
    ],
)
def test_what_would_be_refused_is_not_even_fetched(hub_stand_in, tiny_model, tmp_path, settings, weights, said):
    folder = shutil.copytree(tiny_model, tmp_path / "hostile")
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | settings))
    (folder / "model.safetensors").rename(folder / weights)
    hub_stand_in.add("someone/hostile", folder)

    with pytest.raises(ModelError, match=said):
        load.fetch(ModelConfig(id="someone/hostile"))
    assert hub_stand_in.fetched() == []


def test_a_cancelled_fetch_ends_at_once_and_leaves_nothing_half(hub_stand_in, tmp_path):
    hub_stand_in.hold = threading.Event()

    def going(share):
        if hub_stand_in.halfway.is_set():
            raise Cancelled

    with pytest.raises(Cancelled):
        load.fetch(ModelConfig(id="someone/tiny"), going)

    assert list(tmp_path.rglob("*.incomplete")) == []
    assert load.locate(ModelConfig(id="someone/tiny")) is None
    hub_stand_in.hold.set()
    assert load.fetch(ModelConfig(id="someone/tiny")).path.is_dir()


def test_a_download_ends_with_the_process_that_wanted_it(hub_stand_in, tmp_path):
    import psutil

    hub_stand_in.hold = threading.Event()
    program = "from studio.model import hub_models; hub_models.fetch('someone/tiny', None)"
    wanting = subprocess.Popen([sys.executable, "-c", program], env=None)
    assert hub_stand_in.halfway.wait(60)
    (download,) = psutil.Process(wanting.pid).children()
    wanting.kill()
    wanting.wait()

    psutil.wait_procs([download], timeout=30)
    assert not download.is_running() or download.status() == psutil.STATUS_ZOMBIE


def test_a_full_disk_is_told_before_anything_is_fetched(hub_stand_in, monkeypatch):
    monkeypatch.setattr(hub_models, "free_disk", lambda folder: 10**6)
    with pytest.raises(ModelError, match="needs 100 MB, and 1 MB are free"):
        load.fetch(ModelConfig(id="someone/tiny"))
    assert hub_stand_in.fetched() == []


def gated(stand_in):
    stand_in.repositories["someone/tiny"].gated = True


def private(stand_in):
    stand_in.repositories["someone/tiny"].private = True


def known_token(stand_in):
    stand_in.tokens.add(CANARY)


def gated_for_this_token(stand_in):
    known_token(stand_in)
    gated(stand_in)


def broken(stand_in):
    stand_in.failure = 500


@pytest.mark.parametrize(
    ("prepare", "name", "revision", "token", "key"),
    [
        (gated, "someone/tiny", None, None, "model.gated"),
        (gated_for_this_token, "someone/tiny", None, CANARY, "model.gated"),
        (gated, "someone/tiny", None, CANARY, "model.bad_token"),
        (known_token, "someone/nothing", None, CANARY, "model.unknown"),
        (private, "someone/tiny", None, None, "model.unknown"),
        (known_token, "someone/tiny", "v9", CANARY, "model.unknown"),
        (known_token, "a/b/c", None, CANARY, "model.bad_id"),
        (broken, "someone/tiny", None, CANARY, "model.fetch_failed"),
    ],
)
def test_each_refusal_has_its_own_message_and_none_tells_the_token(
    hub_stand_in, everything_said, home, cache, tmp_path, prepare, name, revision, token, key
):
    prepare(hub_stand_in)
    with pytest.raises(ModelError) as caught:
        load.fetch(ModelConfig(id=name, revision=revision), token=token)

    assert caught.value.key == key
    if key == "model.gated":
        assert f"{hub_stand_in.url}/someone/tiny" in str(caught.value)
    words = [repr(caught.value), *(caught.value.message.text(language) for language in ("en", "ko"))]
    assert CANARY not in "".join([*words, everything_said.text])
    behind = [caught.value.__cause__, caught.value.__context__]
    assert [error for error in behind if hasattr(error, "request")] == []
    assert canaries(home, cache, tmp_path) == []


def test_a_token_is_sent_and_kept_nowhere(hub_stand_in, everything_said, home, cache, tmp_path):
    repository = hub_stand_in.repositories["someone/tiny"]
    repository.gated, repository.readers = True, {CANARY}
    hub_stand_in.tokens.add(CANARY)

    located = load.fetch(ModelConfig(id="someone/tiny"), token=CANARY)

    assert {r.token for r in hub_stand_in.requests if "/resolve/" in r.path} == {CANARY}
    assert CANARY not in repr(located) + everything_said.text
    assert canaries(home, cache, tmp_path) == []


def test_without_a_token_the_environment_or_the_login_is_used(hub_stand_in, monkeypatch, tmp_path):
    hub_stand_in.tokens |= {"hf_environment", "hf_login"}
    login = tmp_path / "huggingface" / "token"
    login.parent.mkdir(exist_ok=True)
    login.write_text("hf_login")
    hub_models.describe("someone/tiny")
    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    hub_models.fetch("someone/tiny", None)

    first, *others = (request.token for request in hub_stand_in.requests if "someone/tiny" in request.path)
    assert first == "hf_login"
    assert set(others) == {"hf_environment"}


def test_a_hub_that_accepts_and_never_answers_is_told_in_time(monkeypatch):
    import socket
    import time

    from huggingface_hub import constants

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(hub_models, "ANSWER_SECONDS", 1.0)
        began = time.monotonic()
        with pytest.raises(ModelError, match="cannot be reached"):
            hub_models.describe("someone/tiny")
        assert time.monotonic() - began < 15
    assert hub_models.CONNECT_SECONDS < 5


def test_the_time_outs_add_up_to_less_than_five_seconds():
    assert hub_models.CONNECT_SECONDS < hub_models.ANSWER_SECONDS < 5


def test_a_snapshot_that_lacks_a_part_of_its_weights_is_not_taken_for_a_model(hub_stand_in, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "parts")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))

    assert not hub_models.is_whole(folder)
    (folder / parts["b"]).write_bytes(b"")
    assert hub_models.is_whole(folder)


def test_a_program_that_says_nothing_for_too_long_is_ended():
    stuck = subprocess_worker.SubprocessWorker([sys.executable, "-c", "import time; time.sleep(60)"], silence=0.5)
    with pytest.raises(subprocess_worker.WorkerSilent):
        list(stuck.lines())
    assert stuck.failed
