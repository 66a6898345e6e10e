"""No way of using a run, an adapter or a model of somebody else runs what a pickle in it says."""

import contextlib
import functools
import json
import os
import pickle
import shutil
import zipfile

import pytest
import torch
from following import wait_until_over
from tiny import make_config

from studio import gpu
from studio.errors import StudioError
from studio.files import sha256
from studio.model import uploaded_adapters
from studio.runs import checkpoints

pytestmark = pytest.mark.usefixtures("warm_python")

BESIDE = (
    "training_args.bin",
    "pytorch_model.bin",
    "adapter_model.bin",
    "adapter_model.pt",
    "scaler.pt",
    "scheduler.bin",
    "optimizer.bin",
    "rng_state_0.pth",
    "trainer_state.bin",
    "tokenizer.pkl",
    "vocab.pkl",
    "added_tokens.bin",
)
"""Names under which PyTorch, transformers, PEFT and accelerate look for pickles, besides those that a run has."""
COMMANDS = {
    "resume": ("resume", "last", "--set", "train.max_steps=33"),
    "compare": ("compare", "last", "--prompt", "hi", "--against", "base", "--against", "step-000015"),
    "evaluate": ("evaluate", "last"),
    "adapter": ("export", "last", "--to", "adapter", "--verify"),
    "merged": ("export", "last", "--to", "merged", "--verify"),
    "script": ("export", "last", "--to", "script"),
}


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "run by a pickle"


@pytest.fixture
def bomb(marker):
    return pickle.dumps(Bomb(marker))


def folders(run):
    """Return all folders of a run with weights or states of the trainer."""
    return [run.path, run.adapter, *checkpoints.all_of(run.path)]


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("instead", [False, True], ids=["beside", "in the place of the weights"])
def test_no_command_runs_a_pickle(finished_run, here, marker, bomb, arguments, instead):
    for folder in folders(finished_run):
        for name in BESIDE:
            (folder / name).write_bytes(bomb)
        for path in folder.glob("*"):
            if path.suffix in (".pt", ".pth", ".npy") or (instead and path.name == "adapter_model.safetensors"):
                path.write_bytes(bomb)
        if instead:  # so that whoever reads pickles where there is nothing else does
            (folder / "adapter_model.safetensors").unlink(missing_ok=True)

    done = here(*arguments)

    assert "Usage" not in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.bin", "pytorch_model-00001-of-00001.bin"])
def test_no_pickle_of_a_model_is_run(tiny_model, style_file, tmp_path, marker, bomb, name):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    for path in model.glob("*.safetensors*"):
        path.unlink()
    (model / name).write_bytes(bomb)
    (model / "tokenizer.pkl").write_bytes(bomb)
    if "-of-" in name:
        index = json.dumps({"metadata": {}, "weight_map": {"model.embed_tokens.weight": name}})
        (model / "pytorch_model.bin.index.json").write_text(index, encoding="utf-8")

    run = gpu.thread().start_run(make_config(model, style_file))
    assert wait_until_over(run).name == "FAILED"
    assert not marker.exists()


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt", "training_args.bin"])
def test_no_pickle_of_an_adapter_is_run(finished_run, here, tmp_path, marker, bomb, name):
    folder = shutil.copytree(finished_run.adapter, tmp_path / "adapter")
    (folder / name).write_bytes(bomb)
    if name.startswith("adapter"):
        (folder / "adapter_model.safetensors").unlink()
    with zipfile.ZipFile(tmp_path / "adapter.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)

    for given in (folder, tmp_path / "adapter.zip"):
        here("compare", "last", "--prompt", "hi", "--against", str(given))
    with contextlib.suppress(StudioError):
        uploaded_adapters.store([tmp_path / "adapter.zip"])
    assert not marker.exists()


@pytest.fixture(params=["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def prepared(finished_run, bomb, request):
    """A run whose newest checkpoint has a pickle in the place of a state, and lists it as its own."""
    newest = checkpoints.newest_complete(finished_run.path)
    (newest / request.param).write_bytes(bomb)
    listed = json.loads((newest / "complete.json").read_text())
    assert request.param in listed
    listed[request.param] = sha256(newest / request.param)
    (newest / "complete.json").write_text(json.dumps(listed))
    assert checkpoints.newest_complete(finished_run.path) == newest
    return finished_run


def test_a_state_of_a_checkpoint_that_is_a_pickle_ends_the_resume(prepared, marker):
    run = gpu.thread().resume_run(prepared.id, {"train.max_steps": 33})
    assert wait_until_over(run).name == "FAILED"
    assert not marker.exists()


@pytest.mark.long
def test_such_a_pickle_would_be_run_by_a_loader_that_takes_any(prepared, marker, monkeypatch):
    monkeypatch.setattr(torch, "load", functools.partial(_load_any, torch.load))
    wait_until_over(gpu.thread().resume_run(prepared.id, {"train.max_steps": 33}))
    assert marker.exists()


def _load_any(load, *args, **rest):
    return load(*args, **{**rest, "weights_only": False})
