"""What happens during training, as events; and the moment between two micro-batches, given to others."""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from typing_extensions import override

from studio.errors import RunError
from studio.events import Evaluated, Resumed, Step
from studio.runs import RunWriter, State
from studio.train.best import Best


class RunCallback(TrainerCallback):
    """Writes what the trainer reports into the run, and calls `between` whenever nothing is half done.

    `between` may run short jobs, and raises to end the training.
    """

    def __init__(self, run: RunWriter, between: Callable[[], None], best: Best):
        self._run = run
        self._between = between
        self._best = best
        self._evaluating = False
        self.paused = False
        """Whether the training ended because the user asked for a pause."""

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:
            self._run.emit(Resumed(step=state.global_step))
        self._run.update(step=state.global_step, total=state.max_steps, started=time.time())
        self._run.enter(State.TRAINING)
        self._evaluating = False
        self._run.begin("training")

    @override
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._between()

    @override
    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._between()

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._run.update(step=state.global_step)
        if self._run.requested() == "pause":  # between two steps, so that the checkpoint is one that can be resumed
            self.paused = control.should_save = control.should_training_stop = True

    @override
    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._evaluating:
            self._evaluating = True
            self._run.begin("evaluating")
        self._between()

    @override
    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss, norm = logs["loss"], logs.get("grad_norm")
        if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
            raise RunError("run.not_finite", step=state.global_step, rate=logs["learning_rate"])
        self._run.emit(
            Step(
                step=state.global_step,
                total=state.max_steps,
                epoch=logs["epoch"],
                loss=loss,
                learning_rate=logs["learning_rate"],
                grad_norm=norm,
                tokens=int(logs.get("num_tokens", 0)),
            )
        )

    @override
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        self._run.emit(Evaluated(step=state.global_step, loss=metrics["eval_loss"]))
        if self._best.saw(state.global_step, metrics["eval_loss"]):
            control.should_training_stop = True
        self._evaluating = False
        if state.global_step < state.max_steps:
            self._run.begin("training")
