"""What a tracker is sent is numbers and settings: no token, no password, and nothing of the rows."""

import json
import sys

import pytest
from following import wait_until_over

from studio import gpu
from studio.files import write_json_lines
from studio.runs import State

CANARY = "CANARYcanaryCANARY"
SECRETS = ("HF_TOKEN", "WANDB_API_KEY", "HUGGING_FACE_HUB_TOKEN", "RESTYLE_OWNER_PASSWORD", "OAUTH_CLIENT_SECRET")
STAND_IN = '''
"""Keeps what it is sent."""
import json, os, types
HEARD = []


def heard(name):
    return lambda *given, **named: HEARD.append(repr((name, given, named)))


class _Config(dict):
    def update(self, given, **named):
        HEARD.append(repr(given))

    def __setitem__(self, name, value):
        HEARD.append(repr((name, value)))


run, config, summary = None, _Config(), {}
log, define_metric, watch, finish, termwarn = map(heard, ("log", "define_metric", "watch", "finish", "termwarn"))


def init(**named):
    global run
    HEARD.append(repr((named, os.environ["WANDB_DIR"])))
    run = types.SimpleNamespace(id="1", name="1", url="", summary=_Config())
    run._label, run.log_artifact = heard("label"), heard("artifact")
'''


@pytest.fixture
def secrets(monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)


@pytest.fixture
def config(tiny_config, style_file):
    rows = [json.loads(line) for line in style_file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row.update(dict.fromkeys(row, f"{CANARY} of a row"))
    write_json_lines(style_file, rows)
    return tiny_config.with_settings({"train.max_steps": 3})


def test_tensorboard_gets_no_token_and_no_row(secrets, config):
    run = gpu.thread().start_run(config.with_settings({"train.trackers": ["tensorboard"]}))
    assert wait_until_over(run) is State.FINISHED
    files = [path for path in (run.path / "tensorboard").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


def test_wandb_gets_no_token_and_no_row(secrets, config, tmp_path, monkeypatch):
    (tmp_path / "wandb/sdk/lib").mkdir(parents=True)
    for part in ("", "sdk", "sdk/lib"):
        (tmp_path / "wandb" / part / "__init__.py").write_text("" if part else STAND_IN, encoding="utf-8")
    (tmp_path / "wandb/sdk/lib/config_util.py").write_text("class ConfigError(Exception): pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("WANDB_LOG_MODEL", raising=False)
    monkeypatch.setenv("WANDB_DIR", "the folder of a run before")
    try:
        run = gpu.thread().start_run(config.with_settings({"train.trackers": ["wandb"]}))
        assert wait_until_over(run) is State.FINISHED
        heard = "\n".join(sys.modules["wandb"].HEARD)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
            del sys.modules[name]
    assert str(run.path) in heard
    assert "loss" in heard
    assert "learning_rate" in heard
    assert CANARY not in heard
    assert "artifact" not in heard
