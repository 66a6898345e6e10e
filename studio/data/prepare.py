"""From the settings to labelled tokens: what the preview shows, what the report counts, what the trainer gets."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from studio.config import DataConfig, MappingConfig, RunConfig, SourceConfig
from studio.data import formats, prompt, source, tokens
from studio.data.formats import Detected, RowProblem
from studio.data.prompt import PromptRenderer, Segment
from studio.data.split import split
from studio.data.tokens import Tokens
from studio.errors import DataError, ModelError
from studio.i18n import Message, message
from studio.model.load import load_tokenizer

BATCH = 1_000
"""Rows tokenized at a time, between two looks at whether somebody asked to stop."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with some rows; `rows` are numbers as people count, from 1."""

    kind: str
    level: Literal["warning", "error"]
    rows: list[int]
    used: bool
    """Whether the rows are used all the same."""

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def message(self) -> Message:
        """The problem in words, with its count and first rows."""
        shown = ", ".join(map(str, self.rows[:8])) + (", …" if len(self.rows) > 8 else "")
        return message(f"problems.{self.kind}", count=self.count, rows=shown)


@dataclass(frozen=True)
class Prepared:
    """The rows of a run, tokenized and split, with what was found on the way."""

    train: list[Tokens]
    validation: list[Tokens]
    rows: int
    problems: list[Problem]
    detected: Detected
    sha256: str
    """Hash of all that is trained and validated on: token ids and labels, in order."""

    @property
    def usable(self) -> int:
        """Number of rows that are trained or validated on."""
        return len(self.train) + len(self.validation)


@dataclass(frozen=True)
class Preview:
    """One row: as it is in the file, and as the model will see it."""

    row: dict[str, Any]
    spans: list[tuple[str, str]]
    """Text and label (`context`, `trained`, `cut`) of each token."""
    tokens: int
    trained: int
    ends: bool
    """Whether the end of the answer is trained, so that the model learns to stop."""
    rows: int
    problem: Message | None = None
    """Why the row is left out, if it is; then there are no spans."""


@lru_cache(maxsize=4)
def _read(config: SourceConfig, limit: int | None, changed: int) -> source.Table:
    return source.read(config, limit)


def table(data: DataConfig) -> source.Table:
    """Read a data set; the last ones read are remembered until their file changes."""
    return _read(data.source, data.limit, source.path_of(data.source).stat().st_mtime_ns)


def mapping(data: DataConfig) -> Detected:
    """Return the mapping of the settings, or the one that is detected; raises DataError."""
    rows = table(data)
    if data.mapping is None:
        return formats.detect(rows)
    formats.check(data.mapping, rows.columns)
    return Detected(data.mapping, message("data.found.chosen"))


def renderer(config: RunConfig, tokenizer: Any, chosen: MappingConfig) -> PromptRenderer:
    """Make the renderer of a run's prompts."""
    return prompt.renderer(config.data.prompt, tokenizer, chosen.completion)


def preview(config: RunConfig, row: int) -> Preview:
    """Show row number `row` (from 0) as the model will see it; raises StudioError."""
    rows = table(config.data).rows
    raw = rows[row % len(rows)]
    tokenizer = load_tokenizer(config.model)
    chosen = mapping(config.data).mapping
    try:
        segments = _segments(raw, chosen, renderer(config, tokenizer, chosen))
    except RowProblem as problem:
        return Preview(raw, [], 0, 0, False, len(rows), message(f"problems.{problem.kind}", count=1, rows=row + 1))
    labelled = tokens.tokenize([segments], tokenizer, config.data.max_length, config.data.train_on)[0]
    return Preview(
        row=raw,
        spans=_spans(labelled, tokenizer),
        tokens=len(labelled.ids),
        trained=labelled.trained,
        ends=tokens.ends_by_itself(labelled, tokenizer, tokens.stop_ids(tokenizer)),
        rows=len(rows),
    )


def _spans(labelled: Tokens, tokenizer: Any) -> list[tuple[str, str]]:
    """Decode token by token; tokens that are parts of one character are joined, since alone they are not text."""
    spans: list[tuple[str, str]] = []
    held: list[int] = []
    for token, label in zip(labelled.ids, labelled.labels, strict=True):
        held.append(token)
        text = tokenizer.decode(held)
        if not text.endswith("\ufffd") or len(held) > 8:
            spans.append((text, label.value))
            held = []
    if held:
        spans.append((tokenizer.decode(held), labelled.labels[-1].value))
    return spans


def _segments(row: dict[str, Any], chosen: MappingConfig, render: PromptRenderer) -> list[Segment]:
    return render.example(formats.conversation(row, chosen), row)


def prepare(config: RunConfig, tokenizer: Any, going: Callable[[float], None] = lambda share: None) -> Prepared:
    """Render, tokenize, check and split all rows.

    `going` is told the share done between two batches of rows, and may raise to end the work. Raises DataError when no
    row can be used, PromptError when the end of the answers would not be trained.
    """
    rows = table(config.data).rows
    detected = mapping(config.data)
    render = renderer(config, tokenizer, detected.mapping)
    stops = tokens.stop_ids(tokenizer)
    found: dict[str, list[int]] = {}
    numbered: list[tuple[int, Tokens]] = []
    for start in range(0, len(rows), BATCH):
        going(start / len(rows))
        kept, segments = [], []
        for number, row in enumerate(rows[start : start + BATCH], start=start + 1):
            try:
                segments.append(_segments(row, detected.mapping, render))
                kept.append(number)
            except RowProblem as problem:
                found.setdefault(problem.kind, []).append(number)
        labelled = tokens.tokenize(segments, tokenizer, config.data.max_length, config.data.train_on)
        numbered += zip(kept, labelled, strict=True)
    usable = _sort_out(numbered, found, config)
    if not usable:
        raise DataError("data.none_usable", rows=len(rows), kinds=", ".join(sorted(found)))
    for _, row_tokens in usable:
        tokens.require_end(row_tokens, tokenizer, stops)
    train, validation = split(len(usable), config.data.validation, config.data.seed)
    problems = [_problem(kind, where) for kind, where in found.items()]
    parts = [usable[i][1] for i in train], [usable[i][1] for i in validation]
    return Prepared(*parts, rows=len(rows), problems=problems, detected=detected, sha256=_hash(parts))


# Rows with these problems are used all the same.
_USED = {"answer_cut", "duplicate"}


def _problem(kind: str, rows: list[int]) -> Problem:
    return Problem(kind, "warning" if kind in _USED else "error", rows, used=kind in _USED)


def _sort_out(numbered: list[tuple[int, Tokens]], found: dict[str, list[int]], config: RunConfig):
    """Leave out rows that train nothing, and count those that are cut or stand twice."""
    usable, seen = [], set()
    for number, row in numbered:
        if row.trained == 0:
            found.setdefault("nothing_trained", []).append(number)
            continue
        if row.cut:
            found.setdefault("answer_cut", []).append(number)
        if row.ids in seen:
            found.setdefault("duplicate", []).append(number)
        seen.add(row.ids)
        usable.append((number, row))
    return usable


def _hash(parts: tuple[list[Tokens], list[Tokens]]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for row in part:
            digest.update(json.dumps(row.for_training()).encode())
        digest.update(b"|")
    return digest.hexdigest()


@dataclass(frozen=True)
class Report:
    """What a data set holds, without training on it."""

    rows: int
    usable: int
    problems: list[Problem]
    detected: Detected
    lengths: list[int] | None
    """Tokens of each usable row before cutting; None while the model's tokenizer is not on this machine."""
    trained: int
    """Trained tokens in all usable rows."""

    @property
    def token_figures(self) -> dict[str, int]:
        """Figures about the lengths in tokens; empty while the tokenizer is not on this machine."""
        if not self.lengths:
            return {}
        ordered = sorted(self.lengths)
        figures = {"shortest": ordered[0], "median": ordered[len(ordered) // 2], "longest": ordered[-1]}
        return figures | {"total": sum(ordered), "trained": self.trained}


def inspect(config: RunConfig) -> Report:
    """Check all rows of a data set; without the model's tokenizer, what depends on tokens is left out."""
    try:
        tokenizer = load_tokenizer(config.model)
    except ModelError:
        return _inspect_rows(config)
    prepared = prepare(config, tokenizer)
    used = [*prepared.train, *prepared.validation]
    return Report(
        prepared.rows,
        prepared.usable,
        prepared.problems,
        prepared.detected,
        lengths=[len(row.ids) for row in used],
        trained=sum(row.trained for row in used),
    )


def _inspect_rows(config: RunConfig) -> Report:
    rows = table(config.data).rows
    detected = mapping(config.data)
    found: dict[str, list[int]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            formats.conversation(row, detected.mapping)
        except RowProblem as problem:
            found.setdefault(problem.kind, []).append(number)
    left_out = sum(map(len, found.values()))
    problems = [_problem(kind, where) for kind, where in found.items()]
    return Report(len(rows), len(rows) - left_out, problems, detected, lengths=None, trained=0)


def held_out(name: str | None) -> list[str]:
    """Return the held-out prompts of a bundled data set (its first column); empty without a name."""
    if not name:
        return []
    rows = source.read(SourceConfig(kind="bundled", name=name)).rows
    return [str(next(iter(row.values()))) for row in rows]
