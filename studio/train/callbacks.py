"""What happens during training, as events; and the moment between two micro-batches, given to others."""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from typing_extensions import override

from studio.errors import RunError
from studio.events import Evaluated, Step
from studio.runs import RunWriter, State


class RunCallback(TrainerCallback):
    """Writes what the trainer reports into the run, and calls `between` whenever nothing is half done.

    `between` may run short jobs, and raises to end the training.
    """

    def __init__(self, run: RunWriter, between: Callable[[], None]):
        self._run = run
        self._between = between
        self._evaluating = False

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
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
        self._evaluating = False
        if state.global_step < state.max_steps:
            self._run.begin("training")
