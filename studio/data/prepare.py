"""From the settings to what the trainer gets, what the preview shows, and what the report counts."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Any

from studio import runs
from studio.config import DataConfig, MappingConfig, RunConfig, SourceConfig
from studio.data import formats, prompt, scan, source, tokens
from studio.data.formats import Detected, RowProblem, Turn
from studio.data.health import Problem, Report, problem
from studio.data.prompt import PromptRenderer
from studio.data.readers.base import BadRow, Going, Row
from studio.data.scan import Counted, Scanned
from studio.data.segments import Rendering
from studio.data.source import Table
from studio.data.split import split
from studio.data.tokens import Tokens
from studio.errors import DataError, ModelError
from studio.i18n import Message, message
from studio.model import estimate
from studio.model.hardware import precision
from studio.model.limits import within_positions
from studio.model.load import load_tokenizer, locate


@dataclass(frozen=True)
class Prepared:
    """The rows of a run, tokenized and split. The data sets have the columns `input_ids` and `labels`."""

    train: Any
    validation: Any | None
    report: Report
    sha256: str
    """Hash of all that is trained and validated on: token ids and labels, in order."""
    longest: int
    """Tokens of the longest training row, after cutting."""
    held: tuple[int, ...] = ()
    """Numbers (from 1) of the validation rows, in their own file where they have one; see `said_in`."""


@dataclass(frozen=True)
class Preview:
    """One row: as it is in the file, and as the model will see it."""

    row: Row
    spans: list[tuple[str, str]]
    """Text and label (`context`, `trained`, `cut`) of each token."""
    tokens: int
    trained: int
    ends: bool
    """Whether the end of the answer is trained, so that the model learns to stop."""
    rows: int
    """Number of rows in the file; 0 while that is not known of a large file."""
    text: str = ""
    """The rendered text, special tokens included."""
    problem: Message | None = None
    """Why the row is left out, if it is; then there are no spans."""
    notes: tuple[Message, ...] = ()
    """What is odd about the row although it is used."""


def table(data: DataConfig) -> Table:
    """Open a data set; the last ones are remembered until their file changes. Raises DataError."""
    path = source.path_of(data.source, data.limit if data.pick == "first" else None)
    return _table(path, data.source, path.stat().st_mtime_ns, path.stat().st_size)


@lru_cache(maxsize=4)
def _table(path: Any, chosen: SourceConfig, changed: int, size: int) -> Table:
    return source.open_file(path, chosen)


def mapping(data: DataConfig) -> Detected:
    """Return the mapping of the settings, or the one that is detected; raises DataError."""
    opened = table(data)
    if data.mapping is None:
        return formats.detect(opened)
    formats.check(data.mapping, opened.names)
    return Detected(data.mapping, message("data.found.chosen"))


def renderer(config: RunConfig, tokenizer: Any, chosen: MappingConfig, today: date | None = None) -> PromptRenderer:
    """Make the renderer of a run's prompts; `today` is the date for chat templates that write one."""
    if chosen.shape == "text" and not chosen.split_text:
        return prompt.PlainRenderer(tokenizer)
    return prompt.renderer(
        config.data.prompt,
        tokenizer,
        formats.answer_column(chosen),
        asked=formats.question_column(chosen),
        merge_system="merge_system" in config.data.fixes,
        today=today,
    )


def run_renderer(run: runs.Run, tokenizer: Any) -> PromptRenderer:
    """Return the renderer of a run's prompts, with the mapping and the date of its training."""
    mapping = MappingConfig.model_validate(run.resolved()["mapping"])
    return renderer(run.config(), tokenizer, mapping, runs.day_of(run.id))


def preview(config: RunConfig, row: int) -> Preview:
    """Show row number `row` (from 0) as the model will see it; raises StudioError.

    Numbers beyond the last row begin again at the first.
    """
    config = within_positions(config)
    opened = table(config.data)
    count = opened.reader.count or (opened.count if opened.is_small else 0)
    row = row % count if count else row
    raw = opened.row(row)
    tokenizer = load_tokenizer(config.model)
    chosen = mapping(config.data).mapping
    shown = {"": scan.writable(raw.text)} if isinstance(raw, BadRow) else _writable(raw)
    try:
        conversation = scan.conversation_of(raw, config.data, chosen)
        made = scan.render_row(raw, conversation.turns, config.data, chosen, renderer(config, tokenizer, chosen))
    except RowProblem as wrong:
        return Preview(shown, [], 0, 0, False, count, problem=_said(wrong, row))
    labelled = tokens.tokenize([made.segments], tokenizer, config.data.max_length, config.data.train_on)[0]
    notes = dict.fromkeys((*conversation.notes, *made.notes, *(["joined"] if labelled.joined else [])))
    return Preview(
        row=shown,
        spans=tokens.spans(labelled, tokenizer),
        tokens=len(labelled.ids),
        trained=labelled.trained,
        ends=tokens.ends_by_itself(labelled, tokenizer, tokens.stop_ids(tokenizer)),
        rows=count,
        text=made.text,
        notes=tuple(Problem(kind, 1, [row + 1]).message for kind in notes),
    )


def _said(wrong: RowProblem, row: int) -> Message:
    return Problem(wrong.kind, 1, [row + 1], names=", ".join(wrong.names), detail=wrong.detail).message


def _writable(value: Any) -> Any:
    """Return a row, or what is in it, with texts that can be written; see `scan.writable`."""
    if isinstance(value, str):
        return scan.writable(value)
    if isinstance(value, Mapping):
        return {_writable(key): _writable(held) for key, held in value.items()}
    return [_writable(held) for held in value] if isinstance(value, list) else value


def prepare(
    config: RunConfig, tokenizer: Any, going: Going = lambda share: None, today: date | None = None
) -> Prepared:
    """Read, render, tokenize, mend and split all rows.

    `going` is told the share done between two batches of rows, and may raise to end the work. `today` is the date for
    chat templates that write one. Raises DataError when no row can be used, PromptError when the settings do not fit.
    """
    config = within_positions(config)
    detected, scanned, rows, own = _scan(config, tokenizer, going, today)
    report, train, validation = _sort_out(config, detected, scanned, rows, own)
    if report.blocks:
        raise _block(config, report)
    columns = ["input_ids", "labels"]
    chosen = rows.select(train).select_columns(columns)
    held = (own or rows).select(validation).select_columns(columns) if validation else None
    longest = min(int(column(rows, "length")[train].max()), config.data.max_length)
    return Prepared(chosen, held, report, _sha256(chosen, held), longest, _numbers(own or rows, validation))


def validation_rows(
    config: RunConfig, tokenizer: Any, going: Going = lambda share: None, today: date | None = None
) -> tuple[list[tuple[tuple[Turn, ...], Rendering]], str]:
    """Return what is said in the rows that are validated on, rendered too, and the hash that `prepare` gives all rows.

    With another hash than a run's own, these are not the rows that were kept from it.
    """
    config = within_positions(config)
    detected, scanned, rows, own = _scan(config, tokenizer, going, today)
    _, train, validation = _sort_out(config, detected, scanned, rows, own)
    columns = ["input_ids", "labels"]
    held = (own or rows).select(validation).select_columns(columns) if validation else None
    found = said_in(config, _numbers(own or rows, validation), detected.mapping, tokenizer, today)
    return found, _sha256(rows.select(train).select_columns(columns), held)


def said_in(
    config: RunConfig,
    numbers: Iterable[int],
    chosen: MappingConfig,
    tokenizer: Any,
    today: date | None = None,
) -> list[tuple[tuple[Turn, ...], Rendering]]:
    """Return what is said in the validation rows with these numbers (from 1), rendered too."""
    data = config.data
    if (own := validation_source(data)) is not None:
        data = data.model_copy(update={"source": own, "limit": None})
    render = renderer(config, tokenizer, chosen, today)
    found = []
    for number in numbers:
        row = table(data).row(number - 1)
        turns = scan.conversation_of(row, data, chosen).turns
        found.append((turns, scan.render_row(row, turns, data, chosen, render)))
    return found


def _numbers(rows: Any, chosen: list[int]) -> tuple[int, ...]:
    return tuple(column(rows, "number")[chosen].tolist()) if chosen else ()


def inspect(config: RunConfig, going: Going = lambda share: None) -> Report:
    """Check all rows of a data set; without the model's tokenizer, what depends on tokens is left out."""
    try:
        tokenizer = load_tokenizer(config.model)
    except ModelError:
        return _inspect_rows(config, going)
    config = within_positions(config)
    detected, scanned, rows, own = _scan(config, tokenizer, going)
    report = _sort_out(config, detected, scanned, rows, own)[0]
    return replace(report, epoch_seconds=_epoch_seconds(config, report))


def _epoch_seconds(config: RunConfig, report: Report) -> float | None:
    located = locate(config.model)
    if located is None or not report.train:
        return None
    figures = report.token_figures
    tokens = figures["padded_grouped" if config.train.length_grouping else "padded_random"]
    model_type = located.settings.get("model_type", "")
    return estimate.epoch_seconds(
        int(tokens * report.train / report.usable),
        located.path,
        precision(config.model.precision, model_type).value,
        upper_half=config.lora.layers == "upper-half",
        checkpointing=config.train.gradient_checkpointing == "on",
    )


def _scan(
    config: RunConfig, tokenizer: Any, going: Going, today: date | None = None
) -> tuple[Detected, Scanned, Any, Any | None]:
    """Scan the data set, and the validation set that the settings name; return both as data sets."""
    detected = mapping(config.data)
    render = renderer(config, tokenizer, detected.mapping, today)
    scanned = scan.scan(table(config.data), config.data, detected.mapping, render, tokenizer, going, today)
    own_source = validation_source(config.data)
    if own_source is None:
        return detected, scanned, scanned.dataset(), None
    own_data = config.data.model_copy(update={"source": own_source, "limit": None})
    own = scan.scan(table(own_data), own_data, detected.mapping, render, tokenizer, going, today)
    return detected, scanned, scanned.dataset(), own.dataset()


def validation_source(data: DataConfig) -> SourceConfig | None:
    """Return the source of the validation rows when it is one of its own."""
    chosen = data.validation
    if chosen.kind == "file":
        return source.beside(data.source, chosen.name or "")
    if chosen.kind == "split":
        if data.source.kind != "hub":
            raise DataError("data.no_splits", name=data.source.name)
        return data.source.model_copy(update={"split": chosen.name})
    return None


def _sort_out(
    config: RunConfig, detected: Detected, scanned: Scanned, rows: Any, own: Any | None
) -> tuple[Report, list[int], list[int]]:
    """Mend what the settings say, split, count what is left; return the report and the indices of both sides."""
    import numpy

    fixes = config.data.fixes
    numbers, lengths, trained, hashes = (column(rows, name) for name in ("number", "length", "trained", "hash"))
    found = dict(scanned.problems)
    keep = trained > 0
    seen_at = _first_seen(hashes)
    repeated = keep & (seen_at != numpy.arange(len(hashes)))
    near = numpy.isin(numbers, [number for number, _ in scanned.near]) & keep
    for kind, where in (("duplicate", repeated), ("near_duplicate", near)):
        if where.any():
            found[kind] = _counted(numbers[where], config)
    for fix, where in (("drop_cut", lengths > config.data.max_length), ("deduplicate", repeated)):
        if fix in fixes:
            keep &= ~where
    if "near_deduplicate" in fixes:
        keep &= ~near
    usable = numpy.flatnonzero(keep)
    train, validation = _split(config, rows, usable, own)
    train = _without_leaks(config, found, train, validation, rows, own)
    if config.data.validation.kind == "fraction" and not validation:
        found["few_rows"] = Counted(1, [])
    problems = [problem(kind, counted, scanned.rows, fixes, detected.mapping) for kind, counted in found.items()]
    used = [*train, *([] if own is not None else validation)]
    report = Report(
        rows=scanned.rows,
        usable=len(used),
        problems=problems,
        detected=detected,
        train=len(train),
        validation=len(validation),
        lengths=lengths[used],
        row_numbers=numbers[used],
        trained_each=trained[used],
        max_length=config.data.max_length,
        batch_size=config.train.batch_size,
        near_rows=scanned.near_rows if scanned.near_rows < scanned.rows else None,
    )
    if not train:
        report.blocks.append(_block(config, report).message)
    return report, train, validation


def _split(config: RunConfig, rows: Any, usable: Any, own: Any | None) -> tuple[list[int], list[int]]:
    chosen = config.data.validation
    if own is not None:
        return usable.tolist(), column(own, "trained").nonzero()[0].tolist()
    if chosen.kind != "fraction":
        return usable.tolist(), []
    groups = column(rows, "group")[usable].tolist() if chosen.group else range(len(usable))
    train, validation = split(groups, chosen.fraction, config.data.seed)
    return usable[train].tolist() if train else [], usable[validation].tolist() if validation else []


def _without_leaks(
    config: RunConfig, found: dict[str, Counted], train: list[int], validation: list[int], rows: Any, own: Any | None
) -> list[int]:
    """Count the validation rows that stand in the training rows too, and leave those out of training if asked to."""
    if not validation:
        return train
    hashes = column(rows, "hash")
    held = set(column(own or rows, "hash")[validation].tolist())
    leaks = [i for i in train if hashes[i] in held]
    if leaks:
        found["leak"] = _counted(column(rows, "number")[leaks], config)
    if "remove_leaks" not in config.data.fixes:
        return train
    gone = set(leaks)
    return [i for i in train if i not in gone]


def column(rows: Any, name: str) -> Any:
    """Return a column of numbers of a whole data set as an array, without a detour through Python's numbers."""
    return rows.data.column(name).to_numpy()


def _first_seen(hashes: Any) -> Any:
    """Return for each row the index of the first row with the same hash."""
    import numpy

    _, first, inverse = numpy.unique(hashes, return_index=True, return_inverse=True)
    return first[inverse]


def _counted(numbers: Any, config: RunConfig) -> Counted:
    example = scan.example_of(table(config.data).row(int(numbers[0]) - 1))
    return Counted(len(numbers), [int(number) for number in numbers[: scan.ROWS_NAMED]], example)


def _block(config: RunConfig, report: Report) -> DataError:
    kinds = {problem.kind for problem in report.problems}
    if kinds == {"nothing_trained"}:
        return DataError("data.all_too_long", limit=config.data.max_length, rows=report.rows)
    told = "; ".join(problem.message.text() for problem in report.problems)
    return DataError("data.none_usable", rows=report.rows, kinds=told)


def _inspect_rows(config: RunConfig, going: Going) -> Report:
    opened = table(config.data)
    detected = mapping(config.data)
    count = opened.index(going)
    found: dict[str, Counted] = {}
    left_out = 0
    for number, row in scan.chosen_rows(opened, config.data, count):
        names: dict[str, str] = {}
        try:
            odd = scan.conversation_of(row, config.data, detected.mapping).notes
        except RowProblem as wrong:
            odd, names = (wrong.kind,), wrong.names
            left_out += 1
        for kind in odd:
            found.setdefault(kind, Counted()).add(number, scan.example_of(row), names)
    rows = min(count, config.data.limit or count)
    fixes, mapped = config.data.fixes, detected.mapping
    problems = [problem(kind, counted, rows, fixes, mapped) for kind, counted in found.items()]
    return Report(rows, rows - left_out, problems, detected, train=rows - left_out)


def _sha256(train: Any, validation: Any | None) -> str:
    digest = hashlib.sha256()
    for part in (train, validation):
        for batch in part.with_format("arrow").iter(1000) if part is not None else ():
            for name in ("input_ids", "labels"):
                digest.update(repr(batch[name].to_pylist()).encode())
        digest.update(b"|")
    return digest.hexdigest()


def held_out(name: str | None) -> list[str]:
    """Return the held-out prompts of a bundled data set (its first column); empty without a name."""
    if not name:
        return []
    rows = source.open_table(SourceConfig(kind="bundled", name=name)).rows()
    return [str(next(iter(row.values()))) for row in rows if not isinstance(row, BadRow)]


__all__ = ["Prepared", "Preview", "Report", "Tokens", "held_out", "inspect", "mapping", "prepare", "preview", "table"]
