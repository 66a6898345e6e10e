"""The adapter with the lowest validation loss so far, or with the best style, saved at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio import events
from studio.events import StyleMeasured
from studio.files import remove_folder, replace_file
from studio.i18n import Message, message
from studio.runs import RunWriter


class _StepAdapter:
    """The adapter of one step, saved beside the run's result; a kill leaves the one that is recorded.

    `save` writes the adapter as it is now into the folder that it is given; None where none is kept.
    """

    def __init__(self, run: RunWriter, save: Callable[[Path], None] | None, record: str):
        self._run, self._save = run, save
        self._record = run.path / record
        self.step = 0

    @property
    def adapter(self) -> Path:
        """The folder of the kept adapter; it exists when one is to be kept, and there is one."""
        return self._run.path / "best" / f"step-{self.step:06}"

    def rewind_to(self, step: int) -> None:
        """Forget what was measured after `step`, where the run is resumed; the kept adapter stays, also a later one."""
        if self._record.exists():
            self._restore(json.loads(self._record.read_text(encoding="utf-8")), step)
        self._remove_others()

    def _restore(self, record: dict[str, Any], step: int) -> None:
        raise NotImplementedError

    def _keep(self) -> None:
        if self._save:
            self.adapter.parent.mkdir(exist_ok=True)
            self._save(self.adapter)

    def _write_record(self, record: dict[str, Any]) -> None:
        replace_file(self._record, json.dumps(record))  # after the adapter, so that it names one that is there

    def _remove_others(self) -> None:
        for other in self.adapter.parent.glob("*") if self._save else ():
            if other.name.startswith("."):  # a kill has left it
                shutil.rmtree(other, ignore_errors=True)
            elif other != self.adapter:
                remove_folder(other)


class BestAdapter(_StepAdapter):
    """Watches the validation losses of a run, also over a resume, and keeps the adapter with the lowest one.

    `patience` is the number of evaluations without a new best after which the training ends; None lets it go on.
    """

    def __init__(self, run: RunWriter, save: Callable[[Path], None] | None = None, patience: int | None = None):
        super().__init__(run, save, "best.json")
        self._patience = patience
        self.loss, self._evaluations = float("inf"), []

    @property
    def reason(self) -> Message:
        """Why this adapter is kept."""
        return message("log.best", step=self.step, loss=f"{self.loss:.3f}")

    @override
    def _restore(self, record: dict[str, Any], step: int) -> None:
        self.step, self.loss = record["best"]
        self._evaluations = [(at, loss) for at, loss in record["seen"] if at <= step]

    def is_evaluated(self, step: int) -> bool:
        """Whether the validation loss at `step` is known."""
        return any(at == step for at, _ in self._evaluations)

    def add_loss(self, step: int, loss: float) -> bool:
        """Add a validation loss; return whether early stopping should end the training."""
        better, again = loss < self.loss, step == self.step
        self._evaluations.append((step, loss))
        if better:
            self.step, self.loss = step, loss
            self._keep()
        self._write_record({"best": (self.step, self.loss), "seen": self._evaluations})
        if self._save and (better or again):
            self._run.emit(events.Best(step=self.step, loss=self.loss))
        self._remove_others()
        return self._patience is not None and sum(at > self.step for at, _ in self._evaluations) >= self._patience


class LastSound(_StepAdapter):
    """Watches the meter's points of a run on preferences, also over a resume, and keeps the last sound adapter.

    Two points in a row that have lost their fluency or their fit end the training: but only after a sound one, for
    what the adapter could not do before is no fault of the preferences.
    """

    PATIENCE = 2

    def __init__(self, run: RunWriter, save: Callable[[Path], None] | None = None):
        super().__init__(run, save, "last_sound.json")
        self._unsound: list[int] = []

    @property
    def reason(self) -> Message:
        """Why this adapter is kept."""
        return message("log.style.guarded", step=self.step, count=len(self._unsound))

    @property
    def is_exhausted(self) -> bool:
        """Whether the training is to end."""
        return self._save is not None and bool(self.step) and len(self._unsound) >= self.PATIENCE

    @override
    def _restore(self, record: dict[str, Any], step: int) -> None:
        self.step = record["step"]
        self._unsound = [at for at in record["unsound"] if at <= step]

    def add_point(self, point: StyleMeasured) -> None:
        """Keep the adapter as it is now, the one of a point, if it is sound; else count it."""
        if not self._save or not point.step or point.step in self._unsound:
            return
        if point.sound:
            self.step, self._unsound = point.step, []
            self._keep()
        else:
            self._unsound.append(point.step)
        self._write_record({"step": self.step, "unsound": self._unsound})
        self._remove_others()


class BestStyle(_StepAdapter):
    """Watches the meter's points of a run, also over a resume, and keeps the adapter with the best style.

    That is the one whose style strength is nearest to 100 %, the author's, among the sound ones: see
    `StyleMeasured.sound`. Of two that are as near, the earlier one is kept; the base, at step 0, never is.
    """

    def __init__(self, run: RunWriter, save: Callable[[Path], None] | None = None):
        super().__init__(run, save, "best_style.json")
        self._strength: float | None = None

    @property
    def reason(self) -> Message:
        """Why this adapter is kept."""
        return message("log.style.kept", step=self.step, percent=f"{self._strength or 0:.0f}")

    @override
    def _restore(self, record: dict[str, Any], step: int) -> None:
        self.step, self._strength = record["step"], record["strength"]

    def add_point(self, point: StyleMeasured) -> None:
        """Keep the adapter as it is now, the one of a point, if it is the best one so far."""
        if not self._save or not point.step:
            return
        strength = point.strength.value
        better = point.sound and (self._strength is None or abs(100 - strength) < abs(100 - self._strength))
        again = point.step == self.step
        if better:
            self.step, self._strength = point.step, strength
            self._keep()
            self._write_record({"step": self.step, "strength": strength})
        if better or again:
            self._run.emit(events.StyleKept(step=self.step, strength=self._strength or 0.0))
        self._remove_others()
