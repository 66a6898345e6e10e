"""An export that is checked: what it is of, where it lies, and the process in which it is used."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.errors import ExportError
from studio.export.subject import Subject
from studio.model.adapter import ModelHost
from studio.model.subprocess_worker import SubprocessWorker, WorkerSilent

MOST_TOKENS = 48
"""Tokens of an answer that is compared, at most."""
SILENCE = 1800.0
"""Seconds that loading a large model, or one answer, may take."""


@dataclass(frozen=True)
class Case:
    """An export that is checked."""

    subject: Subject
    folder: Path
    host: ModelHost
    going: Callable[[float | None], None]
    """Told the share that is done; raises to end the check."""

    @property
    def most(self) -> int:
        """Tokens of an answer, at most."""
        return min(MOST_TOKENS, self.subject.generation.max_new_tokens)

    def does_not_load(self, detail: str) -> ExportError:
        """Return the error for an export that cannot be used."""
        return ExportError("export.does_not_load", folder=str(self.folder), detail=detail[:300])

    def lines(
        self, command: Sequence[str], told: str = "", environment: Mapping[str, str] | None = None
    ) -> Iterator[str | None]:
        """Yield what a fresh process prints, as `Child.lines` does; raises ExportError when it fails or hangs."""
        child = SubprocessWorker(command, told, SILENCE, environment)
        last = ""
        try:
            with contextlib.closing(child.lines()) as lines:
                for line in lines:
                    last = line.strip() if line and line.strip() else last
                    yield line
        except WorkerSilent as error:
            raise self.does_not_load("time-out") from error
        if child.failed:
            raise self.does_not_load(last)
