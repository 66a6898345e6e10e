"""A stop and a pause that are asked for in every phase."""

import pytest
from following import wait_until_over
from trl import SFTTrainer

from studio import gpu, runs
from studio.model import load
from studio.runs import Run, RunWriter, State, checkpoints
from tests.faults.conftest import weights

BEFORE_TRAINING = ("fetching", "reading", "tokenizing", "loading")
TRAINING = ("training", "evaluating", "saving")


class Asked:
    """Asks for something as soon as the run is in a phase, and counts the forward passes after that."""

    def __init__(self, monkeypatch, action, phase):
        self.action, self.phase = action, phase
        self.at_step: int | None = None
        self.forward_passes = 0
        self._patch = monkeypatch
        self._run: Run | None = None
        if phase == "tokenizing":
            self._ask_before(load, "load_tokenizer")
        elif phase == "training":
            self._ask_before(SFTTrainer, "training_step")
        elif phase == "saving":
            self._ask_before(checkpoints, "write")
        else:
            real_begin = RunWriter.enter_phase

            def begin(run, phase):
                real_begin(run, phase)
                if phase == self.phase:
                    self._ask()

            monkeypatch.setattr(RunWriter, "enter_phase", begin)
        for name in ("training_step", "prediction_step"):
            self._count(name)

    def _ask(self):
        if self.at_step is None:
            run = runs.find("last")
            self.at_step = run.status().step
            if self.phase in TRAINING and self.at_step < 2:
                self.at_step = None  # when something is saved already
                return
            run.request(self.action)

    def _ask_before(self, owner, name):
        real = getattr(owner, name)

        def asked_before(*args, **kwargs):
            self._ask()
            return real(*args, **kwargs)

        self._patch.setattr(owner, name, asked_before)

    def _count(self, name):
        real = getattr(SFTTrainer, name)

        def counted(*args, **kwargs):
            result = real(*args, **kwargs)
            self.forward_passes += self.at_step is not None
            return result

        self._patch.setattr(SFTTrainer, name, counted)


@pytest.mark.long
@pytest.mark.parametrize("phase", BEFORE_TRAINING)
@pytest.mark.parametrize(("action", "state"), [("stop", State.STOPPED), ("pause", State.PAUSED)])
def test_before_the_first_step_it_ends_there(config, monkeypatch, action, state, phase):
    with monkeypatch.context() as patch:
        asked = Asked(patch, action, phase)
        run = gpu.thread().start_run(config)
        assert wait_until_over(run) is state
    assert asked.at_step == 0
    assert asked.forward_passes == 0
    assert run.status().step == 0
    assert not run.has_adapter
    again = gpu.thread().start_run(config.with_settings({"train.max_steps": 1}))
    assert wait_until_over(again) is State.FINISHED


@pytest.mark.parametrize("phase", TRAINING)
def test_a_stop_is_answered_within_a_forward_pass_and_keeps_the_adapter(config, monkeypatch, phase):
    with monkeypatch.context() as patch:
        asked = Asked(patch, "stop", phase)
        run = gpu.thread().start_run(config.with_settings({"train.max_steps": 100}))
        assert wait_until_over(run) is State.STOPPED
    assert asked.at_step in (2, 3)
    assert asked.forward_passes <= MOST_PASSES
    assert run.has_adapter
    assert all(checkpoints.is_complete(folder) for folder in checkpoints.all_of(run.path))
    if phase == "saving":  # it was finished first
        assert checkpoints.step_of(checkpoints.newest_complete(run.path)) == asked.at_step


@pytest.mark.long
@pytest.mark.parametrize("phase", TRAINING)
def test_a_pause_is_answered_within_a_forward_pass_and_goes_on_to_the_same_bits(
    config, undisturbed, monkeypatch, phase
):
    with monkeypatch.context() as patch:
        asked = Asked(patch, "pause", phase)
        run = gpu.thread().start_run(config)
        assert wait_until_over(run) is State.PAUSED
    assert asked.forward_passes <= MOST_PASSES
    status = run.status()
    newest = checkpoints.step_of(checkpoints.newest_complete(run.path))
    assert newest == status.step
    assert newest >= asked.at_step
    assert wait_until_over(gpu.thread().resume_run(run.id)) is State.FINISHED
    assert weights(run) == undisturbed


MOST_PASSES = 1
"""Forward passes until a stop or a pause is answered, at most."""


def test_a_request_that_comes_when_the_run_has_just_ended_changes_nothing(config):
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.FINISHED
    before = run.status()
    run.request("stop")
    assert run.status() == before
    assert wait_until_over(gpu.thread().start_run(config)) is State.FINISHED
