"""The comparisons of single prompts that a run has stored, to be opened again."""

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


@dataclass(frozen=True)
class SavedComparison:
    """A comparison that was stored."""

    id: str
    """A hash of request and adapters: the same comparison, made again, replaces the earlier one."""
    at: float
    comparison: Comparison


_ADAPTER, _REQUEST = TypeAdapter(SavedComparison), TypeAdapter(CompareRequest)


def comparison_id(comparison: Comparison) -> str:
    """Return the id under which a comparison is stored."""
    hashes: Sequence[str | None] = comparison.proof.adapter_sha256 if comparison.proof else ()
    return digest(json.dumps(_REQUEST.dump_python(comparison.request, mode="json")), *map(str, hashes))[:16]


def save(run: Run, comparison: Comparison) -> None:
    """Store a comparison of one prompt; raises OSError or HomeError when it cannot be written."""
    entry = _ADAPTER.dump_python(
        SavedComparison(comparison_id(comparison), round(time.time(), 3), comparison), mode="json"
    )
    _journal(run).replace(
        lambda entries: [*(other for other in entries if other.get("id") != entry["id"]), entry][-MAX_SAVED:]
    )


def load_all(run: Run) -> list[SavedComparison]:
    """Return the stored comparisons of a run, the newest first, without those that cannot be read any more."""
    comparisons = []
    for entry in reversed(_journal(run).entries()):
        try:
            comparisons.append(_ADAPTER.validate_python(entry))
        except (ValidationError, StudioError):  # written by another version
            log.warning("a saved comparison of %s cannot be read", run.id, exc_info=True)
    return comparisons


def _journal(run: Run) -> Journal:
    return Journal(run.path / "compare" / "comparisons.jsonl")
