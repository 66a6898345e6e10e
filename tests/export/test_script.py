"""The exported script, run in a process that knows no studio, has the run's losses step by step."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from exporting import fresh, without_chat_template
from following import losses, trained, wait_for, wait_until_over
from tiny import write_preferences

from studio import gpu
from studio.errors import ExportError
from studio.export import adapter, script
from studio.export.export_context import load_context
from studio.runs import State

LINE = re.compile(r"step (\d+) loss (\S+) run (\S+)")


def exported(run, tmp_path):
    return script.export(load_context(run), tmp_path / "mine")


def repeated(run, tmp_path):
    """Run the script; return its losses."""
    folder = exported(run, tmp_path)
    base = run.config().model.id
    said = [LINE.fullmatch(line) for line in fresh(folder / "train.py", "--base", base).splitlines()]
    steps = [(int(line[1]), float(line[2]), float(line[3])) for line in said if line]
    assert [known for _, _, known in steps] == losses(run)
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    return [loss for _, loss, _ in steps]


def require_plain_python(folder):
    """Fail unless the script imports no studio, and a linter accepts it."""
    text = (folder / "train.py").read_text(encoding="utf-8")
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert "studio" not in {name.split(".")[0] for name in imported}
    if ruff := shutil.which("ruff", path=f"{sys.prefix}/bin") or shutil.which("ruff"):
        checked = subprocess.run(
            [ruff, "check", "--isolated", "--select", "E,F,I", "--line-length", "120", str(folder / "train.py")],
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stdout
    assert len(text.splitlines()) < 220


CASES = {
    "as it comes": {},
    "dropout, accumulation and validation": {
        "lora.dropout": 0.1,
        "train.batch_size": 2,
        "train.gradient_accumulation": 3,
        "data.validation": {"kind": "fraction", "fraction": 0.25},
        "train.eval_steps": 3,
        "train.keep": "best",
    },
    "random order, DoRA, noise and checkpointing": {
        "train.length_grouping": False,
        "lora.dora": True,
        "lora.rslora": True,
        "lora.dropout": 0.1,
        "train.neftune_alpha": 5.0,
        "train.gradient_checkpointing": "on",
        "train.schedule": "cosine",
        "train.warmup_steps": 2,
    },
    "quantized": {"model.quantization": "nf4", "lora.dropout": 0.1},
}


SELDOM = ("as it comes", "quantized")
"""Cases for the slow suite; the two others go through all of their ways."""


@pytest.mark.long
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in SELDOM else case for case in CASES]
)
def test_it_repeats_the_losses_bit_by_bit(tiny_config, tmp_path, case):
    run = trained(tiny_config, **CASES[case])
    assert repeated(run, tmp_path) == losses(run)


@pytest.mark.long
def test_it_pushes_to_a_private_repository_and_resumes_there(tiny_config, tmp_path, hub_stand_in, monkeypatch):
    hub_stand_in.account("hf_of_alice", "alice")
    hub_stand_in.folder.mkdir(parents=True)
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    validated = {"data.validation": {"kind": "fraction", "fraction": 0.25}, "train.eval_steps": 2, "train.keep": "best"}
    run = trained(tiny_config, **validated, **{"lora.dropout": 0.1, "train.max_steps": 9})
    folder = exported(run, tmp_path)
    again = shutil.copytree(folder, tmp_path / "other" / "mine")

    def carry_out(place, *more):
        said = fresh(place / "train.py", "--base", run.config().model.id, "--push-to", "alice/mine", *more)
        steps = [LINE.fullmatch(line) for line in said.splitlines()]
        return said, {int(line[1]): float(line[2]) for line in steps if line}

    _, first = carry_out(folder, "--steps", "5")
    repository = hub_stand_in.repositories["alice/mine"]
    assert repository.private
    names = repository.files().keys()
    assert {"adapter/adapter_model.safetensors", "checkpoints/checkpoint-5/optimizer.pt"} <= names
    assert not [name for name in names if ".parquet" in name or name.endswith(".arrow")], "no rows are pushed"
    told, rest = carry_out(again)
    assert "resumes at step 5" in told
    assert [*first.values(), *rest.values()] == losses(run)
    kept = (run.adapter / "adapter_model.safetensors").read_bytes()
    pushed = repository.files()["adapter/adapter_model.safetensors"]
    assert pushed == (again / "adapter" / "adapter_model.safetensors").read_bytes()
    assert weights_of(pushed) == weights_of(kept)


def weights_of(content):
    from safetensors.torch import load

    return {name: weights.tolist() for name, weights in load(content).items()}


def test_a_public_repository_is_refused_and_a_torn_checkpoint_passed_over(hub_stand_in, tmp_path, monkeypatch):
    from studio.export.hub_checkpoints import HubCheckpoints

    hub_stand_in.account("hf_of_alice", "alice")
    hub_stand_in.folder.mkdir(parents=True)
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    hub = HubCheckpoints("alice/mine", tmp_path)
    assert hub.fetch() is None
    whole, torn = (tmp_path / "checkpoints" / f"checkpoint-{step}" for step in (9, 10))
    for checkpoint, state in ((whole, '{"best_model_checkpoint": "/elsewhere/checkpoint-4"}'), (torn, '{"glo')):
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text(state)
    assert hub.fetch() == str(whole)
    assert json.loads((whole / "trainer_state.json").read_text())["best_model_checkpoint"] == str(
        tmp_path / "checkpoints" / "checkpoint-4"
    )
    assert not torn.exists()
    hub_stand_in.repositories["alice/mine"].private = False
    with pytest.raises(SystemExit, match="is public"):
        HubCheckpoints("alice/mine", tmp_path)


@pytest.mark.usefixtures("warm_python")
def test_it_repeats_a_run_that_continued_another(tiny_config, tmp_path):
    parent = trained(tiny_config, **{"lora.r": 6, "lora.dropout": 0.1})
    run = gpu.thread().start_run(tiny_config.with_settings({"model.adapter": parent.id, "train.max_steps": 5}))
    assert wait_until_over(run) is State.FINISHED
    assert losses(run)[0] < losses(parent)[0] - 0.3
    assert repeated(run, tmp_path) == losses(run)


@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_it_repeats_a_run_on_preferences(tiny_config, tmp_path, method):
    parent = trained(tiny_config)
    settings = {
        "data.source.name": write_preferences(tmp_path / "preferences.jsonl", method),
        "data.mapping": None,
        "data.validation": {"kind": "fraction", "fraction": 0.25},
        "model.adapter": parent.id,
        "train.method": method,
        "train.eval_steps": 3,
        "train.max_steps": 6,
    }
    run = gpu.thread().start_run(tiny_config.with_settings(settings))
    assert wait_until_over(run) is State.FINISHED
    assert len(set(losses(run))) > 1
    assert repeated(run, tmp_path) == losses(run)
    assert not list((tmp_path / "mine").rglob("reference-*"))
    require_plain_python(tmp_path / "mine")


@pytest.mark.usefixtures("warm_python")
def test_its_adapter_is_the_runs(tiny_config, tmp_path):
    import torch
    from safetensors.torch import load_file

    run = trained(tiny_config, **without_chat_template(tmp_path / "base"))
    repeated(run, tmp_path)
    kept, made = (
        load_file(folder / "adapter_model.safetensors") for folder in (run.adapter, tmp_path / "mine" / "adapter")
    )
    assert kept.keys() == made.keys()
    assert all(torch.equal(kept[name], made[name]) for name in kept)


@pytest.mark.long
def test_it_ends_where_the_run_was_stopped(tiny_config, tmp_path):
    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step >= 5)
    run.request("stop")
    assert wait_until_over(run) is State.STOPPED
    assert repeated(run, tmp_path) == losses(run)


@pytest.mark.parametrize("case", [*CASES, "early"])
def test_it_is_python_that_a_linter_accepts_and_that_imports_no_studio(tiny_config, tmp_path, case):
    early = {"train.early_stopping": 2, "data.validation": {"kind": "fraction", "fraction": 0.25}}
    folder = exported(trained(tiny_config, **CASES.get(case, early)), tmp_path)
    require_plain_python(folder)
    assert "trl==" in (folder / "requirements.txt").read_text()


def test_scripts_name_what_they_need_as_pep_723_has_it(tiny_config, tmp_path):
    run = trained(tiny_config)
    context = load_context(run)
    for folder, name in ((exported(run, tmp_path), "train.py"), (adapter.export(context, tmp_path / "a"), "ask.py")):
        [block] = re.findall(r"(?m)^# /// script$\s((?:^#(?:| .*)$\s)+)^# ///$", (folder / name).read_text("utf-8"))
        metadata = tomllib.loads("".join(line[2:] for line in block.splitlines(keepends=True)))
        assert metadata["requires-python"] == ">=3.11"
        assert metadata["dependencies"] == (folder / "requirements.txt").read_text("utf-8").split()


def test_a_run_without_its_rows_has_no_script(tiny_config, tmp_path):
    run = trained(tiny_config)
    shutil.rmtree(run.path / "data")
    with pytest.raises(ExportError) as raised:
        exported(run, tmp_path)
    assert raised.value.key == "export.no_record"
