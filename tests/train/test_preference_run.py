"""Runs on preferences: what they learn, that they are TRL's to the digit, and that they go on to the same bits."""

import math
import shutil

import pytest
from following import losses, trained, wait_until_over
from tiny import write_preferences

from studio import gpu
from studio.data.tokens import IGNORED
from studio.export import adapter, script
from studio.export.export_context import load_context
from studio.model.adapter_files import WEIGHTS
from studio.runs import State, checkpoints
from studio.train import recorded_rows

SETTINGS = {"train.method": "dpo", "train.learning_rate": 2e-3, "train.max_steps": 12, "data.mapping": None}


@pytest.fixture
def parent(tiny_config):
    return trained(tiny_config)


@pytest.fixture
def config(tiny_config, parent, tmp_path):
    pairs = write_preferences(tmp_path / "pairs.jsonl")
    return tiny_config.with_settings({"data.source.name": pairs, "model.adapter": parent.id, **SETTINGS})


def done(config, **settings):
    run = gpu.thread().start_run(config.with_settings(settings))
    assert wait_until_over(run) is State.FINISHED, run.status().error and run.status().error.text()
    return run


def steps(run):
    return [event for event in run.events()[0] if event.type == "step"]


def weights(run) -> bytes:
    return (run.adapter / WEIGHTS).read_bytes()


def test_a_preference_is_learned_from_where_the_adapter_stood(config, parent):
    validation = {"data.validation": {"kind": "fraction", "fraction": 0.25}, "train.eval_steps": 6}
    run = done(config, **validation, **{"train.max_steps": 30, "train.learning_rate": 1e-2})
    first, last = steps(run)[0], steps(run)[-1]
    assert first.loss == pytest.approx(math.log(2), abs=1e-5)
    assert first.margin == pytest.approx(0, abs=1e-5)
    assert last.loss < first.loss - 0.15
    assert last.margin > 0.3
    assert last.accuracy == 1.0
    evaluated = [event for event in run.events()[0] if event.type == "evaluated"]
    assert evaluated[-1].loss < evaluated[0].loss < math.log(2)
    assert evaluated[-1].accuracy == 1.0
    assert (run.path / "start" / WEIGHTS).read_bytes() == weights(parent) != weights(run)
    assert not list(run.path.rglob("ref"))


def test_it_is_trls_own_trainer_to_the_digit(config, tiny_model):
    import numpy
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    run = done(config, **{"train.max_steps": 6})
    rows, _ = recorded_rows.read_rows(run.path)
    order = numpy.load(recorded_rows.folder_of(run.path) / "order.npy")[0]
    read = []
    for row in (rows[int(number)] for number in order):
        sides = {}
        for side, ids, labels in (("chosen", "input_ids", "labels"), ("rejected", "rejected_ids", "rejected_labels")):
            first = next(place for place, label in enumerate(row[labels]) if label != IGNORED)
            sides |= {"prompt_ids": row[ids][:first], f"{side}_ids": row[ids][first:]}
        read.append(sides)

    class Tokenized(DPOTrainer):
        def _prepare_dataset(self, dataset, *args):
            return dataset

    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    model = PeftModel.from_pretrained(base, run.path / "start", is_trainable=True)
    arguments = DPOConfig(
        output_dir=str(run.path / "trl"), per_device_train_batch_size=4, max_steps=6, learning_rate=2e-3, beta=0.1,
        lr_scheduler_type="linear", logging_steps=1, use_cpu=True, bf16=False, report_to="none", save_strategy="no",
        train_sampling_strategy="sequential", max_length=None, disable_tqdm=True, activation_checkpointing=False,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    theirs = Tokenized(model=model, args=arguments, train_dataset=Dataset.from_list(read), processing_class=tokenizer)
    theirs.train()
    known = [entry for entry in theirs.state.log_history if "loss" in entry]
    assert losses(run) == pytest.approx([entry["loss"] for entry in known], abs=1e-5)
    margins = [entry["rewards/margins"] for entry in known]
    assert [event.margin for event in steps(run)] == pytest.approx(margins, abs=1e-4)


def test_good_and_bad_answers_are_learned_too(config, tmp_path):
    rows = write_preferences(tmp_path / "labelled.jsonl", "kto")
    settings = {"train.method": "kto", "data.source.name": rows, "train.max_steps": 30}
    run = done(config, **settings)
    assert steps(run)[0].loss == pytest.approx(0.5 * 4 / 3, abs=0.2)
    assert losses(run)[-1] < 0.75 * losses(run)[0]
    assert [event.margin for event in steps(run) if event.margin is not None][-1] > 0.2


def test_how_a_step_is_cut_up_changes_nothing(config):
    whole = done(config)
    cut = done(config, **{"train.batch_size": 1, "train.gradient_accumulation": 4})
    assert losses(cut) == pytest.approx(losses(whole), abs=1e-5)


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_paused_run_goes_on_to_the_same_bits(config, tmp_path, monkeypatch, method):
    from studio.train.run_trainer import RunCallback

    settings = {
        "train.method": method,
        "data.source.name": write_preferences(tmp_path / "rows.jsonl", method),
        "train.batch_size": 2,
        "train.gradient_accumulation": 2,
        "data.validation": {"kind": "fraction", "fraction": 0.25},
        "train.eval_steps": 5,
    }
    whole = done(config, **settings)
    real, paused = RunCallback.on_substep_end, []

    def pausing(self, args, state, control, **kwargs):
        if state.global_step == 7 and not paused:
            paused.append(self._run.request("pause"))
        return real(self, args, state, control, **kwargs)

    monkeypatch.setattr(RunCallback, "on_substep_end", pausing)
    run = gpu.thread().start_run(config.with_settings(settings))
    assert wait_until_over(run) is State.PAUSED
    assert checkpoints.step_of(checkpoints.all_of(run.path)[0]) == 7
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert weights(run) == weights(whole)
    evaluated = [
        {event.step: (event.loss, event.margin) for event in each.events()[0] if event.type == "evaluated"}
        for each in (run, whole)
    ]
    assert evaluated[0] == evaluated[1]


@pytest.mark.long
def test_a_stop_while_the_reference_is_computed_is_answered_at_once(config, monkeypatch):
    from studio.train.preference_trainer import PairTrainer

    real, passes = PairTrainer.compute_ref_log_probs, []

    def stopping(self, *args):
        passes.append(self._run.request("pause"))
        return real(self, *args)

    monkeypatch.setattr(PairTrainer, "compute_ref_log_probs", stopping)
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.PAUSED
    assert len(passes) == 1
    assert [event.phase for event in run.events()[0] if event.type == "phase"][-1] == "reference"
    monkeypatch.setattr(PairTrainer, "compute_ref_log_probs", real)
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert weights(run) == weights(done(config))


def test_a_resumed_run_compares_with_the_reference_it_began_with(config):
    run = done(config, **{"train.save": "steps", "train.save_steps": 6})
    shutil.rmtree(checkpoints.all_of(run.path)[0])
    kept = (recorded_rows.folder_of(run.path) / "reference-train.npy").read_bytes()
    whole = weights(run)
    path = run.path / "status.json"
    path.write_text(path.read_text().replace("finished", "interrupted"))
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert weights(run) == whole
    assert (recorded_rows.folder_of(run.path) / "reference-train.npy").read_bytes() == kept


def test_a_run_that_leaves_the_numbers_keeps_its_last_good_adapter(config):
    run = gpu.thread().start_run(config.with_settings({"train.learning_rate": 1e30, "train.max_steps": 30}))
    assert wait_until_over(run) is State.FAILED
    assert run.status().error.key == "errors.run.not_finite"


def test_without_an_adapter_the_base_is_the_reference(config):
    run = done(config, **{"model.adapter": None})
    assert steps(run)[0].loss == pytest.approx(math.log(2), abs=1e-5)
    assert steps(run)[-1].margin > 0.1


@pytest.mark.long
def test_answers_are_learned_afterwards_as_before(config, tiny_config):
    before = done(tiny_config)
    done(config)
    assert losses(done(tiny_config)) == losses(before)


@pytest.mark.parametrize("style_guard", ["auto", "off"])
def test_a_run_whose_answers_get_worse_ends_and_keeps_the_last_sound_adapter(config, monkeypatch, style_guard):
    from studio.events import Interval, StyleMeasured
    from studio.style import training_meter

    class Meter:
        def measure(self, step, base, answers):
            some = Interval(value=1.0, low=0.0, high=2.0)
            sound = step <= 4
            values = {"answers": 8, "strength": some, "fit": some, "perplexity_distance": some, "fluent": sound}
            return StyleMeasured(step=step, sound=sound, **values)

    monkeypatch.setattr(training_meter, "open_meter", lambda *args, **settings: Meter())
    run = done(config, **{"samples.every": 2, "preference.style_guard": style_guard})
    if style_guard == "off":
        assert run.status().step == 12
        return
    assert run.status().step == 8
    assert weights(run) == (run.path / "best" / "step-000004" / WEIGHTS).read_bytes()
    notes = [event.message for event in run.events()[0] if event.type == "note"]
    assert [note.values["step"] for note in notes if note.key == "log.style.guarded"] == [4]
    assert "default=4" in script.text(load_context(run))


def test_its_curves_are_read_as_those_of_preferences(config):
    from studio.train.diagnosis import diagnose_run

    run = done(config, **{"train.learning_rate": 1e-2, "train.max_steps": 20})
    reading = diagnose_run(run)
    assert [one.kind for one in reading.findings] == ["preference_pairs"]
    assert "100 % of the pairs" in reading.text()[0]
    slow = done(config, **{"train.learning_rate": 1e-6})
    assert [one.kind for one in diagnose_run(slow).findings] == ["preference_unmoved"]


def test_its_adapter_is_exported(config, tmp_path):
    run = done(config, **{"train.max_steps": 2})
    folder = adapter.export(load_context(run), tmp_path / "adapter")
    card = (folder / "README.md").read_text()
    assert "dpo" in card
    assert "continued another adapter: tiny" in card
