"""The trainer of a run: `PackedTrainer` with our checkpoints."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, set_seed
from transformers.integrations.neftune import deactivate_neftune
from transformers.trainer_pt_utils import get_length_grouped_indices
from typing_extensions import override

from studio.i18n import message
from studio.model import processes
from studio.model.hardware import random_state, set_random_state
from studio.runs import RunWriter, checkpoints
from studio.train import distributed_loader, recorded_rows
from studio.train.callbacks import RunCallback
from studio.train.interrupts import EarlyStop, NonFiniteLoss, StopRequested
from studio.train.packed_trainer import PackedTrainer
from studio.train.samples import SampleWriter


class LengthGroupedSampler(Sampler):
    """Rows of like length together, in an order that depends on the seed and the epoch alone.

    transformers' own sampler draws from the global random state at the start of an epoch, which a resumed run no longer
    has; so a run that goes on would see other batches.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


MAX_SKIPPED_STEPS = 20
"""Steps in a row that float16's gradient scaler may skip. It halves its scale of 65,536 at each, so that 16 are enough
for any finite gradient."""


_SEED_STRIDE = 1_000_003
"""Between the seeds of two steps: a prime, larger than any number of processes."""


class StudioTrainer(PackedTrainer):
    """Trains adapters under a run's directory.

    Writes each checkpoint whole or not at all; groups rows by length if asked to; ends at the first loss or gradient
    that is not a number, and still holds the weights that were good. Of several processes, each trains on its share of
    a step's rows, and the first one writes.
    """

    def __init__(
        self, run: RunWriter, keep_checkpoints: int, length_grouping: bool, steps: RunCallback, **settings: Any
    ):
        self._length_grouping = length_grouping
        self._run = run
        self._keep_checkpoints = keep_checkpoints
        self._steps = steps
        self._draft: Path | None = None
        self._good: list[torch.Tensor] = []
        self._good_step = 0
        self._skipped = 0
        self._broken = False
        self.skipped = 0
        """Steps since the start or the resume that float16's gradient scaler has left out."""
        super().__init__(callbacks=[steps], **settings)
        steps.evaluate = self.evaluate
        steps.sample = self.sample
        self.strip: SampleWriter | None = None
        """Takes the frames of the film strip, once there is one."""

    def sample(self, *, last: bool = False) -> None:
        """Answer the pinned prompts, where that is due after the steps so far; the other processes wait meanwhile."""
        if processes.count() == 1:
            self._take_frame(last)
            return
        with contextlib.suppress(StopRequested):  # all processes end together, below
            self._take_frame(last)
        self._steps.look()

    def _take_frame(self, last: bool) -> None:
        if self.strip:
            self.strip.look(self.state.global_step, last=last)

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

    def fit(self, begun_from: Path | None) -> None:
        """Train to the last step, or until early stopping has had enough, and take the last frame of the strip."""
        with contextlib.suppress(EarlyStop):
            self.train(resume_from_checkpoint=str(begun_from) if begun_from else None)
        if self.skipped:
            self._run.note(message("log.skipped_steps", count=self.skipped, total=self.state.global_step), "warning")
        self.sample(last=True)

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            self._broken = True  # the other processes have to know before they end with this one
            if processes.count() == 1:
                raise NonFiniteLoss
        return loss

    @override
    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Look at the gradient just before the weights are changed; they have shown to be good by then."""
        if processes.agree(self._broken):
            raise NonFiniteLoss
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if math.isfinite(norm):
            self._skipped = 0
            self._remember()
        else:
            self._skipped += 1
            self.skipped += 1
            if self.accelerator.scaler is None or self._skipped > MAX_SKIPPED_STEPS:
                raise NonFiniteLoss
            step = self.state.global_step + 1
            self._run.note(message("log.skipped_step", step=step, count=self.skipped), "warning")
        return norm

    @property
    def overflowed(self) -> int:
        """Steps in a row, up to now, that float16 could not hold."""
        return self._skipped if self.accelerator.scaler is not None else 0

    def _trained(self) -> list[torch.Tensor]:
        """Return the trained weights: this process's part of them, where they are spread."""
        found = (weights.data for weights in self.model.parameters() if weights.requires_grad)
        return [weights.to_local() if hasattr(weights, "to_local") else weights for weights in found]

    def _remember(self) -> None:
        self._good_step = self.state.global_step
        if self._good:
            torch._foreach_copy_(self._good, self._trained())
        else:
            self._good = [weights.clone() for weights in self._trained()]

    def restore_last_finite(self) -> int | None:
        """Put back the last weights that gave a finite loss and gradient; return their step, or None without any."""
        if not self._good:
            return None
        torch._foreach_copy_(self._trained(), self._good)
        return self._good_step

    @override
    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score the validation rows without a trace: how often that is done does not change the training."""
        self._steps.look()
        before = random_state()
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            set_random_state(before)

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self._length_grouping:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        size = self.get_total_train_batch_size(self.args)
        return LengthGroupedSampler([len(ids) for ids in rows["input_ids"]], size, self.args.seed)

    @override
    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        batches = getattr(loader.batch_sampler, "batch_sampler", loader.batch_sampler)  # over many processes: a part
        if processes.is_first():
            batches.sampler = recorded_rows.RecordedSampler(batches.sampler, self._run.path)
        return self._share(loader, batches.sampler, self.args.train_batch_size)

    @override
    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        loader = super().get_eval_dataloader(eval_dataset)
        return self._share(loader, range(len(loader.dataset)), self.args.eval_batch_size)

    def _share(self, loader: Any, rows: Any, size: int) -> Any:
        if processes.count() == 1:
            return loader
        return distributed_loader.DistributedLoader(loader, rows, size, self.processing_class.pad_token_id)

    def save_last_checkpoint(self) -> None:
        """Write the checkpoint of the last whole step, wherever in a step or an evaluation the training was left."""
        if not self._steps.after_step:  # nothing was done since the start, or since the checkpoint it went on from
            return
        set_random_state(self._steps.after_step)
        self.model.zero_grad()
        self._save_checkpoint(self.model, None)

    @override
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._run.enter_phase("saving")
        if processes.is_first():
            checkpoints.write(self._run.path, self.state.global_step, lambda draft: self._fill(draft, model, trial))
            processes.tell()
            checkpoints.prune(self._run.path, self._keep_checkpoints)
        else:
            while draft := processes.tell():
                self._write(draft, model, trial)
        if self.state.global_step < self.state.max_steps:
            self._run.enter_phase("training")

    def _fill(self, draft: Path, model: Any, trial: Any) -> None:
        """Let transformers write its checkpoint, and move the files into `draft`."""
        self._write(processes.tell(draft), model, trial)
        made = draft / f"checkpoint-{self.state.global_step}"
        for path in made.iterdir():
            path.rename(draft / path.name)
        made.rmdir()

    def _write(self, draft: Path, model: Any, trial: Any) -> None:
        """Write this process's part: the first one all but the random states of the others."""
        self._draft = draft
        try:
            Trainer._save_checkpoint(self, model, trial)  # TRL's own adds a model card that is not wanted here
        finally:
            self._draft = None
        processes.agree(0)  # all have written

    @override
    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Go on with the random numbers of a checkpoint; draw new ones where another number of processes made it."""
        name = f"rng_state_{processes.number()}.pth" if processes.count() > 1 else "rng_state.pth"
        if checkpoint and not (Path(checkpoint) / name).exists():
            set_seed((self.args.seed + _SEED_STRIDE * (self.state.global_step + 1) + processes.number()) % 2**32)
        else:
            super()._load_rng_state(checkpoint)

    @override
    def _get_output_dir(self, trial: Any) -> str:
        return str(self._draft) if self._draft else super()._get_output_dir(trial)
