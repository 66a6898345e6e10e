"""TRL's `SFTTrainer` with our checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer
from typing_extensions import override

from studio.runs import RunWriter
from studio.train import checkpoint


class LengthGroups(Sampler):
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


class StudioTrainer(SFTTrainer):
    """Writes each checkpoint whole or not at all, under the run's directory; groups rows by length if asked to."""

    def __init__(self, run: RunWriter, keep_checkpoints: int, length_grouping: bool, **settings: Any):
        self._length_grouping = length_grouping
        self._run = run
        self._keep_checkpoints = keep_checkpoints
        self._draft: Path | None = None
        super().__init__(**settings)

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self._length_grouping:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroups([len(ids) for ids in rows["input_ids"]], size, self.args.seed)

    @override
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._run.begin("saving")
        checkpoint.write(self._run.path, self.state.global_step, lambda draft: self._fill(draft, model, trial))
        checkpoint.prune(self._run.path, self._keep_checkpoints)
        if self.state.global_step < self.state.max_steps:
            self._run.begin("training")

    def _fill(self, draft: Path, model: Any, trial: Any) -> None:
        """Let transformers write its checkpoint, and move the files into `draft`."""
        self._draft = draft
        try:
            Trainer._save_checkpoint(self, model, trial)  # TRL's own adds a model card that is not wanted here
        finally:
            self._draft = None
        made = draft / f"checkpoint-{self.state.global_step}"
        for path in made.iterdir():
            path.rename(draft / path.name)
        made.rmdir()

    @override
    def _get_output_dir(self, trial: Any) -> str:
        return str(self._draft) if self._draft else super()._get_output_dir(trial)
