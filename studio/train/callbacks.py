"""What happens during training, as events; and the moment between two micro-batches, given to others."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, set_seed
from typing_extensions import override

from studio.events import Evaluated, Resumed, Step
from studio.model import processes
from studio.model.hardware import random_state
from studio.runs import RunWriter, State
from studio.runs.curve import read_curve
from studio.train.best_adapter import BestAdapter
from studio.train.interrupts import EarlyStop


class RunCallback(TrainerCallback):
    """Writes what the trainer reports into the run, and calls `on_micro_batch` whenever a forward pass is done.

    `on_micro_batch` may run short jobs, and raises to end the training.
    """

    def __init__(self, run: RunWriter, on_micro_batch: Callable[[], None], best: BestAdapter, resumed: bool):
        self._run = run
        self._on_micro_batch = on_micro_batch
        self._best = best
        self._resumed = resumed
        self._tokens_before = 0
        self._evaluating = False
        self._enough = False
        self.evaluate: Callable[[], Any] = lambda: None
        """Scores the validation rows; the trainer's, once there is one."""
        self.sample: Callable[[], None] = lambda: None
        """Answers the pinned prompts, where that is due; the trainer's, once there is one."""
        self.gather: Callable[[], None] = lambda: None
        """Gathers the adapter's weights, for the best one to be saved; the model host's, once there is one."""
        self.after_step: dict[str, Any] = {}
        """The state of the random number generators after the last whole step."""

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._resumed:
            self._tokens_before = _tokens_at(self._run, state.global_step)
            self._run.emit(Resumed(step=state.global_step))
        self._run.update(step=state.global_step, total=state.max_steps, started=time.time())
        self._run.enter(State.TRAINING)
        self._evaluating = False
        self._run.enter_phase("training")
        if processes.rank() and not state.global_step:
            set_seed(args.seed + processes.rank())  # each has noise of its own; weights and order are alike by now
        if self._is_due(args, state):  # the run was left in the middle of this evaluation
            self.evaluate()

    def _is_due(self, args: Any, state: Any) -> bool:
        if not state.global_step or args.eval_strategy == "no":
            return False
        if processes.broadcast(self._best.is_evaluated(state.global_step)):
            return False
        return state.global_step % state.eval_steps == 0 or state.global_step >= state.max_steps

    def check_requests(self) -> None:
        """Look at once whether anything is asked or waits, before an evaluation begins."""
        self._on_micro_batch()

    @override
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._enough:
            raise EarlyStop
        self._on_micro_batch()
        self.sample()

    @override
    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._on_micro_batch()

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.after_step = random_state()
        self._run.advance(step=state.global_step)

    @override
    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._evaluating:
            self._evaluating = True
            self._run.enter_phase("evaluating")
        self._on_micro_batch()

    @override
    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        self._run.emit(
            Step(
                step=state.global_step,
                total=state.max_steps,
                epoch=logs["epoch"],
                loss=logs["loss"],
                learning_rate=logs["learning_rate"],
                grad_norm=logs.get("grad_norm"),
                tokens=self._tokens_before + int(logs.get("num_tokens", 0)),
            )
        )

    @override
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        self._run.emit(Evaluated(step=state.global_step, loss=metrics["eval_loss"]))
        self.gather()
        first = processes.is_main_process()
        if processes.broadcast(first and self._best.add_loss(state.global_step, metrics["eval_loss"])):
            self._enough = True
        self._evaluating = False
        if state.global_step < state.max_steps:
            self._run.enter_phase("training")


def _tokens_at(run: RunWriter, step: int) -> int:
    """Return the tokens that a run had seen at `step`, as far as its events tell."""
    curve = read_curve(run)
    return int(curve.tokens[curve.steps <= step].max(initial=0))
