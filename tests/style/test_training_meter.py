"""The meter while a run trains: its points, that the run does not notice, and the adapter that is kept by it."""

import hashlib
import json
from dataclasses import replace

import pytest
from following import losses, trained, wait_for, wait_until_over
from planted import AUTHOR, BASE, HELD_OUT, TRAINING, adapter, gibberish, scorer
from sea import write_rows

from studio import gpu
from studio.errors import ConfigError
from studio.runs import State
from studio.runs.curve import read_curve
from studio.style import answers, training_meter
from studio.style.strength import cross_validate
from studio.style.training_meter import References, TrainingMeter
from studio.train import samples

SETTINGS = {
    "train.max_steps": 12,
    "lora.dropout": 0.2,
    "train.neftune_alpha": 5.0,  # draws random numbers in every forward pass, so a measurement that did would show
    "data.max_length": 256,
    "data.validation": {"kind": "fraction", "fraction": 0.25},
    "samples.every": 4,
    "samples.max_new_tokens": 16,
    "samples.meter": "on",
    "generation.temperature": 1.0,
}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "sea.jsonl", 44)


def styles(run):
    return read_curve(run).styles


def notes(run):
    return {event.message.key: event.message for event in run.events()[0] if event.type == "note"}


def adapter_hash(run) -> str:
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


# Planted answers


@pytest.fixture
def planted_meter(monkeypatch):
    """The meter on recorded answers of the quickstart, with a model of words in the place of the base."""
    from contextlib import nullcontext
    from types import SimpleNamespace

    monkeypatch.setattr(training_meter, "preserve_state", lambda model: nullcontext())
    author, base = ([row[side] for row in TRAINING] for side in ("author", "base"))
    folds = cross_validate(author, base, [row["prompt"] for row in TRAINING])
    known = scorer().score(AUTHOR, [True] * 40)
    references = References(
        tokens=64,
        prompts=tuple(row["prompt"] for row in HELD_OUT),
        author=tuple(AUTHOR),
        base=tuple(BASE),
        author_log_perplexity=known.log_perplexity,
        author_fit=sum(known.fits) / len(known.fits),
    )
    return TrainingMeter(SimpleNamespace(peft=None), scorer(), references, folds.author)


def test_points_of_a_growing_adapter_grow_and_are_sound(planted_meter):
    points = [planted_meter.measure(step, BASE, adapter(step)) for step in (33, 66, 100)]
    values = [point.strength.value for point in points]
    assert values == sorted(values)
    assert points[0].strength.low > 0
    assert values[-1] > 85
    assert all(point.sound for point in points)


def test_the_base_is_zero_and_what_lost_fit_or_fluency_is_not_sound(planted_meter):
    base = planted_meter.measure(0, BASE, BASE)
    assert (base.strength.value, base.strength.low, base.strength.high) == (0, 0, 0)
    assert not planted_meter.measure(5, BASE, gibberish()).sound
    looping = planted_meter.measure(5, BASE, [" ".join(text.split()[:4] * 5) for text in AUTHOR])
    assert not looping.fluent
    assert not looping.sound


# A run of the tiny model


def test_every_frame_is_a_point_and_losses_and_weights_are_bit_equal_without_the_meter(tiny_config, rows):
    run = trained(tiny_config, **SETTINGS, **rows)
    without = trained(tiny_config, **{**SETTINGS, "samples.meter": "off"}, **rows)
    assert [point.step for point in styles(run)] == [frame.step for frame in samples.read(run).frames] == [0, 4, 8, 12]
    assert "log.style.on" in notes(run)
    first = styles(run)[0]
    assert (first.strength.value, first.answers) == (0, 4)
    assert len({point.perplexity_distance.value for point in styles(run)}) > 1
    assert not styles(without)
    assert losses(run) == losses(without)
    assert adapter_hash(run) == adapter_hash(without)
    frames = [[answer.text for answer in frame.answers] for frame in samples.read(run).frames]
    assert frames == [[answer.text for answer in frame.answers] for frame in samples.read(without).frames]


def test_the_bases_answers_are_taken_from_the_cache(tiny_config, rows, monkeypatch):
    trained(tiny_config, **{**SETTINGS, "train.max_steps": 10}, **rows)
    made = []
    real = answers.AnswerStore.add
    monkeypatch.setattr(answers.AnswerStore, "add", lambda *given: made.append(given) or real(*given))
    run = trained(tiny_config, **{**SETTINGS, "train.max_steps": 11}, **rows)
    assert styles(run)
    assert not made
    texts = json.loads((run.path / "style" / "training.json").read_text("utf-8"))["base"]
    assert len(texts) == 24  # of 33: more would take longer than the training
    assert all(len(text.encode()) <= 3 * 16 for text in texts)


def test_what_it_would_cost_is_said_where_the_run_is_too_short_for_it(tiny_config, rows):
    run = trained(tiny_config, **{**SETTINGS, "samples.meter": "auto"}, **rows)
    assert "24 training prompts" in notes(run)["log.style.off.cost"].text()
    assert not styles(run)


def test_too_little_text_and_too_few_prompts_are_said(tiny_config, rows):
    few = trained(tiny_config, **{**SETTINGS, "train.max_steps": 2})
    assert "lack 374 words and 2 answers" in notes(few)["log.style.off.text"].text()
    pinned = {"samples.prompts": ("What is 3?", "What is 4?")}
    two = trained(tiny_config, **{**SETTINGS, "train.max_steps": 2}, **pinned, **rows)
    assert "2 pinned prompts" in notes(two)["log.style.off.pinned"].text()
    assert not styles(few)
    assert not styles(two)


def test_a_failure_is_said_and_the_run_goes_on(tiny_config, rows, monkeypatch):
    real = TrainingMeter.measure

    def fail(self, step, *given):
        if step == 8:
            raise RuntimeError("no luck")
        return real(self, step, *given)

    monkeypatch.setattr(TrainingMeter, "measure", fail)
    run = gpu.thread().start_run(tiny_config.with_settings({**SETTINGS, **rows}))
    assert wait_until_over(run) is State.FINISHED
    assert [point.step for point in styles(run)] == [0, 4]
    assert "no luck" in notes(run)["log.style.failed"].text()
    assert [frame.step for frame in samples.read(run).frames] == [0, 4, 8, 12]


# The adapter that is kept


def test_the_best_style_needs_the_meter(tiny_config):
    for path in ("samples.mode", "samples.meter"):
        with pytest.raises(ConfigError, match="style meter"):
            tiny_config.with_settings({"train.keep": "style", path: "off"})


def plant(monkeypatch, strengths, unsound=()):
    """Let the meter read these strengths by step."""
    real = TrainingMeter.measure

    def measure(self, step, *given):
        point = real(self, step, *given)
        strength = replace(point.strength, value=float(strengths.get(step, 0)))
        return point.model_copy(update={"strength": strength, "sound": step not in unsound})

    monkeypatch.setattr(TrainingMeter, "measure", measure)


KEPT = {**SETTINGS, "train.keep": "style", "train.save": "steps", "train.save_steps": 4}


def test_the_adapter_nearest_to_the_author_among_the_sound_ones_is_kept(tiny_config, rows, monkeypatch):
    plant(monkeypatch, {4: 60, 8: 101, 12: 150}, unsound=(0,))
    run = gpu.thread().start_run(tiny_config.with_settings({**KEPT, **rows}))
    assert wait_until_over(run) is State.FINISHED
    assert [path.name for path in (run.path / "best").iterdir()] == ["step-000008"]
    kept = (run.path / "best" / "step-000008" / "adapter_model.safetensors").read_bytes()
    assert (run.adapter / "adapter_model.safetensors").read_bytes() == kept
    shorter = run.path / "checkpoints" / "step-000008" / "adapter_model.safetensors"
    assert len(kept) == shorter.stat().st_size
    assert read_curve(run).best_step == 8
    assert "step 8" in notes(run)["log.style.kept"].text()
    assert [event.step for event in run.events()[0] if event.type == "style_kept"] == [4, 8]


@pytest.mark.long
def test_where_no_step_is_sound_the_last_adapter_is_kept_and_that_is_said(tiny_config, rows, monkeypatch):
    plant(monkeypatch, {4: 60, 8: 100, 12: 100}, unsound=(0, 4, 8, 12))
    run = gpu.thread().start_run(tiny_config.with_settings({**KEPT, **rows}))
    assert wait_until_over(run) is State.FINISHED
    assert "log.style.none_kept" in notes(run)
    assert not (run.path / "best").exists()
    last = trained(tiny_config, **{**KEPT, "train.keep": "last"}, **rows)
    assert adapter_hash(run) == adapter_hash(last)


@pytest.mark.long
@pytest.mark.parametrize("left", ["before the adapter", "before the record", "before the point"])
def test_a_run_killed_while_it_keeps_an_adapter_ends_as_one_that_was_not(tiny_config, rows, monkeypatch, left):
    """At step 8, which has a checkpoint and a frame by then."""
    from studio.train.best_adapter import BestStyle

    plant(monkeypatch, {4: 60, 8: 90, 12: 150})
    config = tiny_config.with_settings({**KEPT, **rows, "name": "planted"})  # no other test's run has this meter
    whole = trained(config, **KEPT)

    class Killed(BaseException):
        pass

    def die(*given):
        raise Killed

    run = None
    with monkeypatch.context() as patched:
        real = BestStyle.add_point

        def add_point(self, point):
            if point.step != 8:
                return real(self, point)
            if left == "before the adapter":
                raise Killed
            if left == "before the record":
                self._write_record = die
            real(self, point)
            raise Killed

        patched.setattr(BestStyle, "add_point", add_point)
        run = gpu.thread().start_run(config)
        wait_until_over(run)
    assert [point.step for point in styles(run)] == [0, 4]
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    figures = [[point.model_dump(exclude={"at"}) for point in styles(each)] for each in (run, whole)]
    assert figures[0] == figures[1]
    assert [point.step for point in styles(run)] == [0, 4, 8, 12]
    assert losses(run) == losses(whole)
    assert adapter_hash(run) == adapter_hash(whole)
    assert [path.name for path in (run.path / "best").iterdir()] == ["step-000008"]
    assert read_curve(run).best_step == 8


def test_a_run_stopped_while_it_is_measured_goes_on_with_the_point(tiny_config, rows, monkeypatch):
    real = TrainingMeter.measure

    def pause(self, step, *given):
        if step == 8:
            gpu.thread()._training.request("pause")
        return real(self, step, *given)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingMeter, "measure", pause)
        run = gpu.thread().start_run(tiny_config.with_settings({**SETTINGS, **rows}))
        wait_for(run, lambda status: status.state is State.PAUSED)
    assert [point.step for point in styles(run)] == [0, 4]
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert [point.step for point in styles(run)] == [0, 4, 8, 12]
    whole = trained(tiny_config, **SETTINGS, **rows)
    assert losses(run) == losses(whole)


def test_the_command_line_tells_each_point(tiny_config, rows, tmp_path, here):
    path = tmp_path / "run.yaml"
    path.write_text(tiny_config.with_settings({**SETTINGS, **rows, "train.max_steps": 5}).to_yaml(), encoding="utf-8")
    ended = here("train", str(path))
    assert ended.returncode == 0
    for step in (0, 4, 5):
        assert f"Style at step {step}: " in ended.stdout + ended.stderr
