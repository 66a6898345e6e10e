"""The adapter with the lowest validation loss so far, kept on the disk as soon as it is found."""

import json
from collections.abc import Callable
from pathlib import Path

from studio import events
from studio.files import replace_file
from studio.runs import RunWriter


class Best:
    """Watches the validation losses of a run, also over a resume.

    `save` makes the folder that it is given from the adapter as it is now. `patience` is the number of evaluations
    without a new best after which the training ends; None lets it go on.
    """

    def __init__(self, run: RunWriter, keep: bool, patience: int | None, save: Callable[[Path], None]):
        self._run, self._keep, self._patience, self._save = run, keep, patience, save
        self._record = run.path / "best.json"
        self.step, self.loss, self._seen = 0, float("inf"), []

    @property
    def adapter(self) -> Path:
        """The folder of the best adapter."""
        return self._run.path / "best"

    def go_back_to(self, step: int) -> None:
        """Forget what was seen after `step`, when the run is resumed there."""
        try:
            seen = [tuple(entry) for entry in json.loads(self._record.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return
        self._seen = [(at, loss) for at, loss in seen if at <= step]
        if self._seen:
            self.step, self.loss = min(self._seen, key=lambda entry: (entry[1], entry[0]))

    def has_seen(self, step: int) -> bool:
        """Whether the validation loss at `step` is known."""
        return any(at == step for at, _ in self._seen)

    def saw(self, step: int, loss: float) -> bool:
        """Take note of a validation loss; True means that the training has gone on long enough without a new best."""
        self._seen.append((step, loss))
        if loss < self.loss:
            self.step, self.loss = step, loss
            if self._keep:
                self._save(self.adapter)
                self._run.emit(events.Best(step=step, loss=loss))
        replace_file(self._record, json.dumps(self._seen))
        since = sum(at > self.step for at, _ in self._seen)
        return self._patience is not None and since >= self._patience
