"""The comparisons that a run has stored, to be opened again: those of single prompts, and batches."""

import json
import logging
import time
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from studio.compare.columns import CompareRequest
from studio.compare.comparison import Comparison
from studio.errors import StudioError
from studio.journal import Journal, digest
from studio.runs import Run

log = logging.getLogger(__name__)

MAX_SAVED, MAX_BATCHES = 40, 10


@dataclass(frozen=True)
class SavedComparison:
    """A comparison that was stored."""

    id: str
    """A hash of the request, and of the adapters but in a batch: made again, it replaces the earlier one."""
    at: float
    comparison: Comparison


_ADAPTER, _REQUEST = TypeAdapter(SavedComparison), TypeAdapter(CompareRequest)


def comparison_id(comparison: Comparison) -> str:
    """Return the id under which a comparison is stored."""
    hashes = comparison.proof.adapter_sha256 if comparison.proof else ()
    return digest(json.dumps(_REQUEST.dump_python(comparison.request, mode="json")), *map(str, hashes))[:16]


def save(run: Run, comparison: Comparison, *, batch: bool = False) -> None:
    """Store a comparison of one prompt, or a `batch`, which may have no answers yet.

    Raises OSError or HomeError when it cannot be written.
    """
    id = comparison_id(replace(comparison, proof=None) if batch else comparison)
    entry = _ADAPTER.dump_python(SavedComparison(id, round(time.time(), 3), comparison), mode="json")
    most = MAX_BATCHES if batch else MAX_SAVED
    _journal(run, batch).replace(
        lambda entries: [*(other for other in entries if other.get("id") != id), entry][-most:]
    )


def load_all(run: Run, *, batch: bool = False) -> list[SavedComparison]:
    """Return the stored comparisons of a run, or the batches, the newest first.

    Those that cannot be read any more are left out.
    """
    comparisons = []
    for entry in reversed(_journal(run, batch).entries()):
        try:
            comparisons.append(_ADAPTER.validate_python(entry))
        except (ValidationError, StudioError):  # written by another version
            log.warning("a saved comparison of %s cannot be read", run.id, exc_info=True)
    return comparisons


def batch_stamp(run: Run) -> tuple[int, int] | None:
    """Return what changes with every batch that is stored; None before the first."""
    return _journal(run, True).stamp


def _journal(run: Run, batch: bool) -> Journal:
    return Journal(run.path / "compare" / ("prompt_batches.jsonl" if batch else "comparisons.jsonl"))
