"""The comparisons of single prompts that a run has kept, so that they can be opened again.

They are in `<run>/compare/comparisons.jsonl`, one line each; the oldest go first. Many prompts at once are not kept
here: those of the scoreboard have a folder of their own.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from studio.compare.columns import CompareRequest
from studio.compare.comparison import Comparison
from studio.errors import StudioError
from studio.journal import Journal, digest
from studio.runs import Run

log = logging.getLogger(__name__)

MAX_SAVED = 40
"""Comparisons that a run keeps."""


@dataclass(frozen=True)
class SavedComparison:
    """A comparison that was kept."""

    id: str
    """Made of what was asked of which adapters: the same comparison made again takes the place of the earlier one."""
    at: float
    """When it was made, in seconds since the epoch."""
    comparison: Comparison


_ADAPTER, _REQUEST = TypeAdapter(SavedComparison), TypeAdapter(CompareRequest)


def comparison_id(made: Comparison) -> str:
    """Return the id under which a comparison is kept."""
    hashes: Sequence[str | None] = made.proof.adapter_sha256 if made.proof else ()
    return digest(json.dumps(_REQUEST.dump_python(made.request, mode="json")), *map(str, hashes))[:16]


def save(run: Run, made: Comparison) -> None:
    """Keep a comparison of one prompt; raises OSError or HomeError when it cannot be written."""
    kept = _ADAPTER.dump_python(SavedComparison(comparison_id(made), round(time.time(), 3), made), mode="json")
    _journal(run).replace(lambda entries: [*(one for one in entries if one.get("id") != kept["id"]), kept][-MAX_SAVED:])


def load_all(run: Run) -> list[SavedComparison]:
    """Return the comparisons that a run has kept, the newest first; those that cannot be read any more are left out."""
    found = []
    for entry in reversed(_journal(run).entries()):
        try:
            found.append(_ADAPTER.validate_python(entry))
        except (ValidationError, StudioError):  # written by another version
            log.warning("a saved comparison of %s cannot be read", run.id, exc_info=True)
    return found


def _journal(run: Run) -> Journal:
    return Journal(run.path / "compare" / "comparisons.jsonl")
