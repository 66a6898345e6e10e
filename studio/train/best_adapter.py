"""The adapter with the lowest validation loss so far, saved at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from studio import events
from studio.files import remove_folder, replace_file
from studio.runs import RunWriter


class BestAdapter:
    """Watches the validation losses of a run, also over a resume.

    `save` writes the adapter as it is now into the folder that it is given; None where the best one is not kept.
    `patience` is the number of evaluations without a new best after which the training ends; None lets it go on.
    """

    def __init__(self, run: RunWriter, save: Callable[[Path], None] | None = None, patience: int | None = None):
        self._run, self._save, self._patience = run, save, patience
        self._record = run.path / "best.json"
        self.step, self.loss, self._evaluations = 0, float("inf"), []

    @property
    def adapter(self) -> Path:
        """The folder of the best adapter; it exists when the best one is to be kept, and there is one."""
        return self._run.path / "best" / f"step-{self.step:06}"

    def rewind_to(self, step: int) -> None:
        """Forget the evaluations after `step`, where the run is resumed; the best adapter stays, also a later one."""
        if self._record.exists():
            record = json.loads(self._record.read_text(encoding="utf-8"))
            self.step, self.loss = record["best"]
            self._evaluations = [(at, loss) for at, loss in record["seen"] if at <= step]
        self._remove_others()

    def is_evaluated(self, step: int) -> bool:
        """Whether the validation loss at `step` is known."""
        return any(at == step for at, _ in self._evaluations)

    def add_loss(self, step: int, loss: float) -> bool:
        """Add a validation loss; return whether early stopping should end the training."""
        better, again = loss < self.loss, step == self.step
        self._evaluations.append((step, loss))
        if better:
            self.step, self.loss = step, loss
            if self._save:
                self.adapter.parent.mkdir(exist_ok=True)
                self._save(self.adapter)
        record = {"best": (self.step, self.loss), "seen": self._evaluations}
        replace_file(self._record, json.dumps(record))  # after the adapter, so that it names one that is there
        if self._save and (better or again):
            self._run.emit(events.Best(step=self.step, loss=self.loss))
        self._remove_others()
        return self._patience is not None and sum(at > self.step for at, _ in self._evaluations) >= self._patience

    def _remove_others(self) -> None:
        for other in self.adapter.parent.glob("*"):
            if other.name.startswith("."):  # a kill has left it
                shutil.rmtree(other, ignore_errors=True)
            elif other != self.adapter:
                remove_folder(other)
