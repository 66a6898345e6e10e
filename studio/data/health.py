"""The report on a dataset: its problems, counted over all rows, and its lengths in tokens."""

from dataclasses import dataclass, field
from typing import Any

import numpy

from studio.config import MappingConfig
from studio.data.detection import Detection
from studio.data.first_rows import as_setting
from studio.data.scan import ProblemCount
from studio.i18n import Message, listed, message

FIX_OF = {
    **dict.fromkeys(("order", "late_system", "assistant_first"), "merge_turns"),
    **dict.fromkeys(("no_system_role", "system_lost"), "merge_system"),
    "answer_cut": "drop_cut",
    "special_text": "drop_special",
    "leak": "remove_leaks",
    "duplicate": "deduplicate",
    "near_duplicate": "near_deduplicate",
}
"""The setting under `data.fixes` that fixes a kind of problem."""
_USED = {
    "answer_cut", "answer_lost", "cell_without_column", "duplicate", "empty_turn", "extra_answers", "extra_entries",
    "few_preferences", "few_rows", "foreign_marks", "half_letter", "joined", "joined_system", "leak",
    "longer_preferred", "marked_turn", "media", "mixed_speech", "names", "near_duplicate", "not_a_number",
    "one_verdict", "other_prompt", "own_end", "question_lost", "ready_made", "reasoning", "reasoning_lost", "refusal",
    "shorter_preferred", "special_text", "system_lost", "tool_calls", "tool_definitions", "turns_dropped",
    "two_systems", "unanswered", "unreadable_cell", "weights",
}  # fmt: skip
"""Rows with these problems are used all the same, unless they are fixed."""


@dataclass(frozen=True)
class Problem:
    """A problem of some rows."""

    kind: str
    count: int
    rows: list[int]
    """Their numbers, counted from 1; at most the first hundred."""
    example: str = ""
    share: float = 0.0
    """Share of all rows."""
    fixed: bool = False
    """Whether the settings fix it already."""
    names: str = ""
    """The unknown names in these rows, separated by commas."""
    setting: str = ""
    """What to give on the command line so that these rows are read, where a setting of the mapping does it."""
    detail: str = ""
    """What caused it in the first row, in the words of the template or parser that refused it; empty for most kinds."""

    @property
    def used(self) -> bool:
        """Whether the rows are trained on all the same."""
        return self.kind in _USED and not self.fixed

    @property
    def fix(self) -> str | None:
        """The setting under `data.fixes` that fixes it."""
        return FIX_OF.get(self.kind)

    @property
    def message(self) -> Message:
        """What is wrong, in words, with the count and the first rows."""
        share = f"{self.share:.1%}" if self.share >= 0.0005 or not self.share else "<0.1%"
        figures = {"count": f"{self.count:,}", "rows": listed(self.rows), "share": share}
        return message(f"problems.{self.kind}.what", **figures, names=self.names, detail=self.detail)

    @property
    def effect(self) -> Message:
        """What it does to training."""
        return message("problems.mended" if self.fixed else f"problems.{self.kind}.effect", setting=self.setting)


def problem(kind: str, counted: ProblemCount, rows: int, fixes: tuple[str, ...], mapping: MappingConfig) -> Problem:
    """Make the report's entry of one kind of problem; `mapping` is that by which the rows were read."""
    change = {"unknown_role": {"roles": {**mapping.roles, **counted.names}}, "marked": {"marks": "ignore"}}
    change["marked_turn"] = change["marked"]
    return Problem(
        kind,
        counted.count,
        counted.rows,
        counted.example,
        share=counted.count / rows if rows else 0.0,
        fixed=FIX_OF.get(kind) in fixes,
        names=", ".join(counted.names),
        setting=as_setting(mapping.model_copy(update=change[kind])) if kind in change else "",
        detail=counted.detail,
    )


@dataclass(frozen=True)
class Report:
    """The report on all rows of a dataset."""

    rows: int
    usable: int
    problems: list[Problem]
    detected: Detection
    train: int = 0
    validation: int = 0
    lengths: Any = None
    """Tokens of each usable row before cutting, as an int array; None without the tokenizer of the model."""
    row_numbers: Any = None
    """Number of each usable row in the file, counted from 1, in the order of `lengths`."""
    trained_each: Any = None
    """Trained tokens of each usable row, in the same order."""
    max_length: int = 0
    batch_size: int = 1
    near_rows: int | None = None
    """Rows among which near duplicates were searched; None where it was all of them."""
    speech: dict[str, int] = field(default_factory=dict)
    """Sentences of each Korean speech level in the answers, by the names of `speech_levels.LEVELS`."""
    epoch_seconds: float | None = None
    """Estimated seconds of an epoch on this device; None where it was not computed or is not known."""
    blocks: list[Message] = field(default_factory=list)
    """Why no run can start on these data."""

    @property
    def token_figures(self) -> dict[str, Any]:
        """Figures about the lengths in tokens; empty while the tokenizer is not on this machine."""
        if self.lengths is None or not len(self.lengths):
            return {}
        lengths = numpy.minimum(self.lengths, self.max_length)
        return {
            "shortest": int(self.lengths.min()),
            "median": int(numpy.median(self.lengths)),
            "longest": int(self.lengths.max()),
            "total": int(lengths.sum()),
            "trained": int(self.trained_each.sum()),
            "cut_share": round(float((self.lengths > self.max_length).mean()), 4),
            "padded_random": padded(lengths, self.batch_size, grouped=False),
            "padded_grouped": padded(lengths, self.batch_size, grouped=True),
        }

    @property
    def cut_at(self) -> dict[int, float]:
        """Share of the usable rows that shorter maximum lengths would cut: at three quarters, half and a quarter."""
        if self.lengths is None or not len(self.lengths):
            return {}
        shorter = (max(16, self.max_length * quarters // 4) for quarters in (3, 2, 1))
        return {length: round(float((self.lengths > length).mean()), 4) for length in shorter}

    def histogram(self, bins: int = 30) -> list[tuple[int, int, int]]:
        """Return (from, to, rows) of `bins` equal ranges of length in tokens."""
        if self.lengths is None or not len(self.lengths):
            return []
        longest = int(self.lengths.max())
        bins = min(bins, longest)
        counts, edges = numpy.histogram(self.lengths, bins=bins, range=(0, longest + 1))
        return [(int(a), int(b), int(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False)]


def padded(lengths: Any, batch_size: int, grouped: bool) -> int:
    """Return the tokens of an epoch, padding included: the longest row of each batch times its rows.

    `grouped` sorts the rows by length first, which is the best that length grouping can do; else they are shuffled.
    """
    order = numpy.sort(lengths) if grouped else numpy.random.default_rng(0).permutation(lengths)
    full = len(order) - len(order) % batch_size
    batches = order[:full].reshape(-1, batch_size)
    rest = order[full:]
    return int(batches.max(axis=1, initial=0).sum() * batch_size + (rest.max() * len(rest) if len(rest) else 0))
