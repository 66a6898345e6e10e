"""A run that starts from another run's adapter: its weights, its shape, its base, and the ancestry that is shown."""

import json
import shutil

import pytest
from following import losses, trained, wait_until_over

from studio import gpu, runs
from studio.errors import CompareError, RunError
from studio.model.adapter_files import WEIGHTS
from studio.runs import State, checkpoints
from studio.train import preflight, start_adapter

SETTINGS = {
    "lora.r": 6,
    "lora.alpha": 5,
    "lora.rslora": True,
    "lora.layers": "upper-half",
    "lora.target_modules": ["q_proj", "v_proj"],
}


def weights(folder) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / WEIGHTS)


def continued(config, parent, **settings):
    run = gpu.thread().start_run(config.with_settings({"model.adapter": parent, **settings}))
    assert wait_until_over(run) is State.FINISHED, run.status().error and run.status().error.text()
    return run


def test_it_starts_from_the_runs_weights_and_takes_over_their_shape(tiny_config):
    import torch

    parent = trained(tiny_config, **SETTINGS)
    child = continued(tiny_config, "last", **{"train.learning_rate": 1e-12, "train.max_steps": 1})
    before, after = weights(parent.adapter), weights(child.adapter)
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert child.config().lora == parent.config().lora != tiny_config.lora
    assert child.config().model.adapter == parent.id
    chosen = {event.name: event for event in child.events()[0] if event.type == "chosen"}["lora"]
    assert chosen.value == "r 6 · alpha 5 · upper-half · rslora"
    assert "tiny" in chosen.reason.text()


def test_a_new_adapter_would_have_begun_elsewhere(tiny_config):
    parent = trained(tiny_config)
    child = continued(tiny_config, parent.id, **{"train.max_steps": 2})
    assert losses(child)[0] < losses(parent)[0] - 0.3


def test_a_run_appears_with_its_start_or_not_at_all(tiny_config, monkeypatch):
    parent = trained(tiny_config)
    keep, listed = start_adapter.keep, []

    def watched(run, start):
        keep(run, start)
        listed.append([each.id for each in runs.all_runs()])  # as a kill at this moment would leave them

    monkeypatch.setattr(start_adapter, "keep", watched)
    child = continued(tiny_config, parent.id, **{"train.max_steps": 1})
    assert (child.path / start_adapter.FOLDER / WEIGHTS).is_file()

    def broken(run, start):
        raise RunError("run.start_missing", run=start.run.id)

    monkeypatch.setattr(start_adapter, "keep", broken)
    with pytest.raises(RunError):
        gpu.thread().start_run(tiny_config.with_settings({"model.adapter": parent.id}))
    assert listed == [[parent.id]]
    assert {path.name for path in runs.folder().iterdir() if path.is_dir()} == {parent.id, child.id}


def test_the_ancestry_is_kept_and_shown(tiny_config, here):
    first = trained(tiny_config)
    second = continued(tiny_config, first.id, **{"train.max_steps": 2})
    third = continued(tiny_config, second.id, **{"train.max_steps": 2, "name": "third"})
    chain = [(second.id, 2), (first.id, 20)]
    assert [(one["run"], one["step"]) for one in third.resolved()["start"]["ancestors"]] == chain
    shown = json.loads(here("runs", "show", third.id, "--json").stdout)
    assert [(one["run"], one["step"]) for one in shown["ancestors"]] == chain
    printed = here("runs", "show", third.id).stdout
    assert second.id in printed
    assert first.id in printed


@pytest.mark.long
def test_it_goes_on_to_the_same_bits_though_the_other_run_is_gone(tiny_config):
    settings = {"train.max_steps": 12, "train.save": "steps", "train.save_steps": 5, "lora.dropout": 0.2}
    parent = trained(tiny_config, **{"lora.dropout": 0.2})
    whole = continued(tiny_config, parent.id, **settings)
    again = continued(tiny_config, parent.id, **settings)
    shutil.rmtree(parent.path)
    shutil.rmtree(checkpoints.all_of(again.path)[0])
    path = again.path / "status.json"
    path.write_text(path.read_text().replace("finished", "interrupted"))
    gpu.thread().resume_run(again.id)
    assert wait_until_over(again) is State.FINISHED
    assert [event.step for event in again.events()[0] if event.type == "resumed"] == [10]
    assert (again.adapter / WEIGHTS).read_bytes() == (whole.adapter / WEIGHTS).read_bytes()


def test_a_folder_is_continued_as_a_run_is(tiny_config, tmp_path):
    parent = trained(tiny_config, **SETTINGS)
    folder = shutil.copytree(parent.adapter, tmp_path / "given")
    from_run, from_folder = (
        continued(tiny_config, name, **{"train.max_steps": 4}) for name in (parent.id, str(folder))
    )
    ours, theirs = weights(from_run.adapter), weights(from_folder.adapter)
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert from_folder.resolved()["start"]["ancestors"] == []


def test_an_adapter_of_another_base_is_refused(tiny_config, tmp_path):
    from tiny import make_tiny_model

    parent = trained(tiny_config)
    other = tiny_config.with_settings({"model.id": str(make_tiny_model(tmp_path / "other", seed=5))})
    config = other.with_settings({"model.adapter": parent.id})
    said = "made for another base"
    assert [block for block in preflight.check(config, 1e10).blocks if said in block.text()]
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.FAILED
    assert said in run.status().error.text()


def test_what_cannot_be_continued_is_refused_before_a_run_is_made(tiny_config, tmp_path):
    with pytest.raises(RunError, match="no run"):
        gpu.thread().start_run(tiny_config.with_settings({"model.adapter": "20200101-000000-none-0000"}))
    with pytest.raises(CompareError):
        gpu.thread().start_run(tiny_config.with_settings({"model.adapter": str(tmp_path)}))
    parent = trained(tiny_config)
    folder = shutil.copytree(parent.adapter, tmp_path / "uneven")
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"alpha_pattern": {"q_proj": 3.0}}))
    with pytest.raises(RunError, match="cannot be continued"):
        gpu.thread().start_run(tiny_config.with_settings({"model.adapter": str(folder)}))
    assert len(runs.all_runs()) == 1


def test_weights_of_another_shape_are_not_taken_by_half(tiny_config, tmp_path):
    parent = trained(tiny_config, **{"lora.target_modules": ["q_proj"]})
    start = start_adapter.find(parent.id)
    folder = shutil.copytree(parent.adapter, tmp_path / "layer")
    config = json.loads((folder / "adapter_config.json").read_text())
    from safetensors.torch import load_file, save_file

    state = load_file(folder / WEIGHTS)
    save_file({name: value for name, value in state.items() if ".layers.0." in name}, folder / WEIGHTS)
    (folder / "adapter_config.json").write_text(json.dumps(config | {"layers_to_transform": [0]}))
    run = gpu.thread().start_run(tiny_config.with_settings({"model.adapter": str(folder)}))
    assert wait_until_over(run) is State.FAILED
    assert "cannot be continued" in run.status().error.text()
    assert start.name == "tiny"


def test_the_command_continues_a_run_with_its_settings(tiny_config, here):
    parent = trained(tiny_config, **{"train.learning_rate": 3e-3})
    done = json.loads(here("continue", parent.id, "--set", "train.max_steps=3", "--json").stdout)
    child = runs.find(done["id"])
    assert done["state"] == "finished"
    assert child.config().train.learning_rate == 3e-3
    assert child.config().model.adapter == parent.id
