"""What all trainers of a run share, whichever of TRL's they are: checkpoints, requests, events, a guard against NaN."""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader
from transformers import Trainer, TrainerCallback, set_seed
from transformers.integrations.neftune import deactivate_neftune
from typing_extensions import override

from studio.config import TrainConfig
from studio.events import Evaluated, Resumed, Step
from studio.i18n import message
from studio.model import processes
from studio.model.hardware import random_state, set_random_state
from studio.runs import RunWriter, State, checkpoints
from studio.runs.curve import read_curve
from studio.train import recorded_rows
from studio.train.best_adapter import BestAdapter
from studio.train.interrupts import EarlyStop, NonFiniteLoss, StopRequested
from studio.train.packed_trainer import IGNORE_INDEX
from studio.train.samples import SampleWriter

MAX_SKIPPED_STEPS = 20
"""Steps in a row that float16's gradient scaler may skip: it halves its scale of 65,536 at each."""
_SEED_STRIDE = 1_000_003  # between the seeds of two steps: a prime, larger than any number of processes


class RunTrainer(Trainer):
    """Trains adapters under a run's directory, as a base before one of TRL's trainers.

    Writes each checkpoint whole or not at all; groups rows by length where the settings say so; ends at the first loss
    or gradient that is not a number, and still holds the last weights before it. Of several processes, each trains on
    its share of a step's rows, and the main one writes. `on_micro_batch` is called after every forward pass and may
    raise to end the training.
    """

    def __init__(self, run: RunWriter, settings: TrainConfig, on_micro_batch: Callable[[], None], **arguments: Any):
        self._run, self._settings, self.on_micro_batch = run, settings, on_micro_batch
        self._draft: Path | None = None
        self._good: list[torch.Tensor] = []
        self._good_step = 0
        self._broken = False
        self.skipped = self.overflowed = 0
        """Steps that float16's gradient scaler has left out: since the start or the resume, and in a row up to now."""
        self.after_step: dict[str, Any] = {}
        """The state of the random number generators after the last whole step."""
        self.open_strip: Callable[[], SampleWriter | None] | None = None
        """Makes what answers the sample prompts, when it is first needed."""
        self._strip: SampleWriter | None = None
        self.is_exhausted: Callable[[], bool] = lambda: False
        """Whether what was measured of the sample answers ends the training."""
        super().__init__(**arguments)

    def sample(self, *, last: bool = False) -> None:
        """Answer the sample prompts, where that is due after the steps so far; the other processes wait meanwhile.

        The first step does not wait: it takes a second, and the answers of the base, which it does not change, several.
        """
        try:
            if self.open_strip and (self.state.global_step or last):
                self._strip, self.open_strip = self.open_strip(), None
            if self._strip:
                self._strip.take_if_due(self.state.global_step, last=last)
                if self.is_exhausted() and not last:
                    raise EarlyStop
        except StopRequested:
            if processes.world_size() == 1:
                raise
        if processes.world_size() > 1:
            self.on_micro_batch()  # where a stop is requested, all processes end here

    @override
    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; when that ends before the last step, let the trackers close their files and take the noise off."""
        try:
            return super().train(*args, **kwargs)
        except BaseException:
            self.callback_handler.on_train_end(self.args, self.state, self.control)
            if (hook := getattr(self, "neftune_hook_handle", None)) is not None:
                deactivate_neftune(self.model, hook, self.accelerator)
            raise

    def fit(self, resume_from: Path | None) -> None:
        """Train to the last step, or until early stopping ends the run, and answer the sample prompts once more."""
        with contextlib.suppress(EarlyStop):
            self.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if self.skipped:
            self._run.note(message("log.skipped_steps", count=self.skipped, total=self.state.global_step), "warning")
        self.sample(last=True)

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            self._broken = True  # the other processes have to know before they end with this one
            if processes.world_size() == 1:
                raise NonFiniteLoss
        return loss

    @override
    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Look at the gradient just before the weights are changed; they have shown to be good by then."""
        if processes.all_reduce_max(self._broken):
            raise NonFiniteLoss
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if math.isfinite(norm):
            self.overflowed = 0
            self._good_step = self.state.global_step
            if self._good:
                torch._foreach_copy_(self._good, self._trained())
            else:
                self._good = [weights.clone() for weights in self._trained()]
        elif self.accelerator.scaler is None:
            raise NonFiniteLoss
        else:
            self.overflowed += 1
            self.skipped += 1
            if self.overflowed > MAX_SKIPPED_STEPS:
                raise NonFiniteLoss
            step = self.state.global_step + 1
            self._run.note(message("log.skipped_step", step=step, count=self.skipped), "warning")
        return norm

    def _trained(self) -> list[torch.Tensor]:
        """Return the trained weights: this process's part of them, where they are sharded."""
        result = (weights.data for weights in self.model.parameters() if weights.requires_grad)
        return [weights.to_local() if hasattr(weights, "to_local") else weights for weights in result]

    def restore_last_finite(self) -> int | None:
        """Put back the last weights that gave a finite loss and gradient; return their step, or None without any."""
        if not self._good:
            return None
        torch._foreach_copy_(self._trained(), self._good)
        return self._good_step

    @override
    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score the validation rows without a trace: how often that is done does not change the training."""
        self.on_micro_batch()  # a request is answered before an evaluation begins
        before = random_state()
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            set_random_state(before)

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self._settings.length_grouping:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        size = self.get_total_train_batch_size(self.args)
        return recorded_rows.LengthGroupedSampler(recorded_rows.row_lengths(rows), size, self.args.seed)

    @override
    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        batches = getattr(loader.batch_sampler, "batch_sampler", loader.batch_sampler)  # over many processes: a part
        if processes.is_main_process():
            batches.sampler = recorded_rows.RecordedSampler(batches.sampler, self._run.path)
        return self._share(loader, batches.sampler, self.args.train_batch_size)

    @override
    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        loader = super().get_eval_dataloader(eval_dataset)
        return self._share(loader, range(len(loader.dataset)), self.args.eval_batch_size)

    def _share(self, whole: Any, rows: Any, size: int) -> Any:
        """Return the loader of this process's micro-batches, `size` rows each, in place of a loader of all `rows`."""
        if processes.world_size() == 1:
            return whole
        # the loss needs a token that another follows
        filler = {"input_ids": [self.processing_class.pad_token_id] * 2, "labels": [IGNORE_INDEX] * 2}
        sampler = recorded_rows.DistributedBatchSampler(rows, size)
        dataset = ConcatDataset([whole.dataset, [filler]])
        settings = {"collate_fn": whole.collate_fn, "pin_memory": whole.pin_memory}
        loader = DataLoader(dataset, batch_sampler=sampler, **settings)
        loader.set_epoch = sampler.set_epoch
        return loader

    def save_last_checkpoint(self) -> None:
        """Write the checkpoint of the last whole step, wherever in a step or an evaluation the training was left."""
        if not self.after_step:  # nothing was done since the start, or since the checkpoint it went on from
            return
        set_random_state(self.after_step)
        self.model.zero_grad()
        self._save_checkpoint(self.model, None)

    @override
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._run.enter_phase("saving")
        if processes.is_main_process():
            checkpoints.write(self._run.path, self.state.global_step, lambda draft: self._fill(draft, model, trial))
            processes.broadcast()
            checkpoints.prune(self._run.path, self._settings.keep_checkpoints)
        else:
            while draft := processes.broadcast():
                self._write(draft, model, trial)
        if self.state.global_step < self.state.max_steps:
            self._run.enter_phase("training")

    def _fill(self, draft: Path, model: Any, trial: Any) -> None:
        """Let transformers write its checkpoint, and move the files into `draft`."""
        self._write(processes.broadcast(draft), model, trial)
        result = draft / f"checkpoint-{self.state.global_step}"
        for path in result.iterdir():
            path.rename(draft / path.name)
        result.rmdir()

    def _write(self, draft: Path, model: Any, trial: Any) -> None:
        """Write this process's part: the main one all but the random states of the others."""
        self._draft = draft
        try:
            Trainer._save_checkpoint(self, model, trial)  # TRL's own adds a model card that is not wanted here
        finally:
            self._draft = None
        processes.all_reduce_max(0)  # all have written

    @override
    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Go on with the random numbers of a checkpoint; draw new ones where another number of processes made it."""
        name = f"rng_state_{processes.rank()}.pth" if processes.world_size() > 1 else "rng_state.pth"
        if checkpoint and not (Path(checkpoint) / name).exists():
            set_seed((self.args.seed + _SEED_STRIDE * (self.state.global_step + 1) + processes.rank()) % 2**32)
        else:
            super()._load_rng_state(checkpoint)

    @override
    def _get_output_dir(self, trial: Any) -> str:
        return str(self._draft) if self._draft else super()._get_output_dir(trial)


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
