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
    """Writes what the `StudioTrainer` reports into the run, and calls its `on_micro_batch` after every forward pass."""

    def __init__(self, trainer: Any, run: RunWriter, best: BestAdapter, gather: Callable[[], None], resumed: bool):
        self._trainer, self._run, self._best, self._gather, self._resumed = trainer, run, best, gather, resumed
        self._tokens_before = 0
        self._evaluating = self._early_stop = False

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._resumed:
            curve = read_curve(self._run)
            self._tokens_before = int(curve.tokens[curve.steps <= state.global_step].max(initial=0))
            self._run.emit(Resumed(step=state.global_step))
        self._run.update(step=state.global_step, total=state.max_steps, started=time.time())
        self._run.enter(State.TRAINING)
        self._evaluating = False
        self._run.enter_phase("training")
        if processes.rank() and not state.global_step:
            set_seed(args.seed + processes.rank())  # each has noise of its own; weights and order are alike by now
        if state.global_step and args.eval_strategy != "no":
            due = state.global_step % state.eval_steps == 0 or state.global_step >= state.max_steps
            if not processes.broadcast(self._best.is_evaluated(state.global_step)) and due:
                self._trainer.evaluate()  # the run was left in the middle of this evaluation

    @override
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._early_stop:
            raise EarlyStop
        self._trainer.on_micro_batch()
        self._trainer.sample()

    @override
    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.on_micro_batch()

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.after_step = random_state()
        self._run.advance(step=state.global_step)

    @override
    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._evaluating:
            self._evaluating = True
            self._run.enter_phase("evaluating")
        self._trainer.on_micro_batch()

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
                margin=logs.get("margin"),
                accuracy=logs.get("accuracy"),
            )
        )

    @override
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        loss = metrics["eval_loss"]
        judged = {name: metrics.get(f"eval_{name}") for name in ("margin", "accuracy")}
        self._run.emit(Evaluated(step=state.global_step, loss=loss, **judged))
        self._gather()
        stop = processes.broadcast(processes.is_main_process() and self._best.add_loss(state.global_step, loss))
        self._early_stop = self._early_stop or stop
        self._evaluating = False
        if state.global_step < state.max_steps:
            self._run.enter_phase("training")
