"""Nothing that comes from outside is run: no shell, no code of a model's repository, no pickle."""

import ast
import contextlib
import json
import os
import pickle
import sys
from pathlib import Path

import pytest

from studio.errors import StudioError
from studio.files import sha256
from studio.model import subprocess_worker
from studio.runs import checkpoints

ROOT = Path(__file__).parent.parent.parent
SOURCES = [ROOT / "app.py", *sorted((ROOT / "studio").rglob("*.py"))]
BANNED = {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "yaml.unsafe_load",
}
OWN_PICKLES = {"studio/job_slices.py": "pickle.loads"}
"""What reads pickles of another process of the same user, from a private folder that lives as long as both."""
READERS = {
    "torch.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
    "np.load": ("allow_pickle", False),
}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: word.value for word in node.keywords}, node


def test_there_are_sources_to_look_at():
    assert len(SOURCES) > 100
    assert any(name == "subprocess.run" for path in SOURCES for name, _, _ in calls(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_runs_a_shell_or_what_it_reads(path):
    for name, words, call in calls(path):
        is_own = OWN_PICKLES.get(path.relative_to(ROOT).as_posix()) == name
        assert is_own or name not in BANNED, f"line {call.lineno}: {name}"
        if "shell" in words:
            assert ast.unparse(words["shell"]) == "False", f"line {call.lineno}"
        if "trust_remote_code" in words:
            assert ast.unparse(words["trust_remote_code"]) == "False", f"line {call.lineno}"
        if rule := READERS.get(name):
            assert rule[0] in words, f"line {call.lineno}: {name} without {rule[0]}"
            assert ast.unparse(words[rule[0]]) == str(rule[1]), f"line {call.lineno}"
        if name in ("subprocess.run", "subprocess.Popen"):
            assert not isinstance(call.args[0], ast.Constant | ast.JoinedStr), f"line {call.lineno}: a line for a shell"


def test_no_setting_turns_on_code_of_others():
    from studio.config import fields

    assert not [path for path in fields() if "trust" in path or "remote" in path]


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("listed", [False, True], ids=["as it was", "with a list of files that fits"])
def test_a_pickle_in_a_checkpoint_is_not_run(finished_run, tmp_path, name, listed):
    from following import wait_until_over

    from studio import gpu

    marker = tmp_path / "run by a pickle"
    for folder in checkpoints.all_of(finished_run.path):
        (folder / name).write_bytes(pickle.dumps(Bomb(marker)))
        if listed:
            names = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "complete.json")
            known = {str(path.relative_to(folder)): sha256(path) for path in names}
            (folder / "complete.json").write_text(json.dumps(known), encoding="utf-8")
    with contextlib.suppress(StudioError):  # where no checkpoint is whole, it does not begin
        wait_until_over(gpu.thread().resume_run(finished_run.id, {"train.max_steps": 33}))

    assert not marker.exists()


def test_no_other_pickle_in_a_run_is_run_at_a_resume(finished_run, tmp_path):
    from following import wait_until_over

    from studio import gpu

    marker = tmp_path / "run by a pickle"
    names = ("training_args.bin", "scaler.pt", "pytorch_model.bin", "adapter_model.bin", "scheduler.bin", "sampler.bin")
    for folder in [finished_run.path, finished_run.adapter, *checkpoints.all_of(finished_run.path)]:
        for name in names:
            (folder / name).write_bytes(pickle.dumps(Bomb(marker)))
    with contextlib.suppress(StudioError):
        wait_until_over(gpu.thread().resume_run(finished_run.id, {"train.max_steps": 33}))

    assert not marker.exists()


SECRETS = {
    "HF_TOKEN": "hf_canary",
    "HUGGING_FACE_HUB_TOKEN": "hf_canary",
    "WANDB_API_KEY": "canary",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "GITHUB_TOKEN": "canary",
    "RESTYLE_OWNER_PASSWORD": "canary",
    "OAUTH_CLIENT_SECRET": "canary",
    "DATABASE_URL": "postgres://u:canary@h/d",
    "SOMETHING_ELSE": "canary",
}


def test_a_program_gets_no_token_unless_it_calls_the_hub(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    tell = [sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))"]

    plain = json.loads(next(filter(None, subprocess_worker.SubprocessWorker(tell, variables={"LIVE": "on"}).lines())))
    trusted = json.loads(
        next(
            filter(
                None, subprocess_worker.SubprocessWorker(tell, secrets=subprocess_worker.HUB_TOKEN_VARIABLES).lines()
            )
        )
    )

    assert "canary" not in json.dumps(plain)
    assert plain["LIVE"] == "on"
    assert plain["PATH"] == os.environ["PATH"]
    assert {name for name, value in trusted.items() if "canary" in value} == {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}


def test_only_what_calls_the_hub_asks_for_tokens():
    asks = {
        path.name: ast.unparse(words["secrets"]) if "secrets" in words else None
        for path in SOURCES
        for name, words, call in calls(path)
        if name == "SubprocessWorker"
    }
    assert {name for name, secrets in asks.items() if secrets} == {"hub_models.py"}
    programs = {path.name for path in SOURCES for name, _, _ in calls(path) if name.endswith("run_program")}
    assert programs == {"hub_push.py", "hub_models.py"}
    for path in SOURCES:
        for name, words, call in calls(path):
            if name in ("subprocess.run", "subprocess.Popen") and path.name != "pieces.py":
                assert "env" in words or None in words, f"{path.name} line {call.lineno}: the whole environment"


def test_the_bomb_would_go_off(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()
