"""Prepare a dataset for training: open, map, tokenize, fix, split, and report."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy

from studio import runs
from studio.config import ANSWER, QUESTION, DataConfig, MappingConfig, Method, RunConfig, SourceConfig
from studio.data import prompt, scan, source
from studio.data.conversation import RowProblem, Turn
from studio.data.detection import Detection, detect
from studio.data.health import Report, problem
from studio.data.prompt import PromptRenderer
from studio.data.readers.base import BadRow, OnProgress
from studio.data.rows import check_mapping, is_good
from studio.data.scan import ProblemCount, ScanResult
from studio.data.source import Table
from studio.data.tokens import Rendering
from studio.errors import DataError, ModelError
from studio.files import cached_by_file
from studio.i18n import message
from studio.model import estimate
from studio.model.hardware import precision
from studio.model.limits import within_positions
from studio.model.load import load_tokenizer, locate

TRAINED_COLUMNS: dict[Method, tuple[str, ...]] = {
    "sft": ("input_ids", "labels"),
    "dpo": ("input_ids", "labels", "rejected_ids", "rejected_labels"),
    "kto": ("input_ids", "labels", "good"),
}
"""What a method of training reads of a row; the better answer of a pair stands where the only one does."""
MIN_PREFERENCES = 20
"""Pairs, or judged answers, below which the report says that they are few."""
LENGTH_BIAS = 0.7
"""Share of the pairs whose better answer is the longer one (or the shorter one) from which the report says so."""


@dataclass(frozen=True)
class PreparedData:
    """The rows of a run, tokenized and split. The datasets have the columns of `TRAINED_COLUMNS`."""

    report: Report
    train: Any
    validation: Any | None
    train_numbers: tuple[int, ...]
    """Numbers (from 1) of the training rows in their file; see `conversations_at`."""
    validation_numbers: tuple[int, ...]
    """Numbers of the validation rows, in their own file where they have one."""
    longest: int
    """Tokens of the longest training row, after cutting."""

    @cached_property
    def sha256(self) -> str:
        """Hash of all that is trained and validated on: token ids and labels, in order."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            for batch in part.with_format("arrow").iter(1000) if part is not None else ():
                for name in part.column_names:
                    digest.update(repr(batch[name].to_pylist()).encode())
            digest.update(b"|")
        return digest.hexdigest()


def table(data: DataConfig) -> Table:
    """Open a dataset; the last ones are remembered until their file changes. Raises DataError."""
    return _open(source.path_of(data.source, data.limit if data.pick == "first" else None), data.source)


_open = cached_by_file(4)(source.open_file)


def mapping(data: DataConfig, method: Method = "sft") -> Detection:
    """Return the mapping of the settings, or the one that is detected for a method of training; raises DataError."""
    opened = table(data)
    if data.mapping is None:
        return detect(opened, method)
    if (missing := {"dpo": "rejected", "kto": "label"}.get(method)) and not getattr(data.mapping, missing):
        raise DataError(f"data.no_preference.mapped.{method}")
    check_mapping(data.mapping, opened.names)
    return Detection(data.mapping, message("data.found.chosen"))


def renderer(config: RunConfig, tokenizer: Any, chosen: MappingConfig, today: date | None = None) -> PromptRenderer:
    """Make the renderer of a run's prompts; `today` is the date for chat templates that write one."""
    if chosen.shape == "text" and not chosen.split_text:
        return prompt.PlainRenderer(tokenizer)
    if chosen.shape == "text":
        answer, question = ANSWER, QUESTION
    else:
        answer, question = chosen.completion, chosen.prompt[0] if len(chosen.prompt) == 1 else chosen.joined
    merge_system = "merge_system" in config.data.fixes
    return prompt.renderer(
        config.data.prompt, tokenizer, answer, question=question, merge_system=merge_system, today=today
    )


def run_renderer(run: runs.Run, tokenizer: Any) -> PromptRenderer:
    """Return the renderer of a run's prompts, with the mapping and the date of its training."""
    mapping = MappingConfig.model_validate(run.resolved()["mapping"])
    return renderer(run.config(), tokenizer, mapping, runs.day_of(run.id))


def prepare(
    config: RunConfig, tokenizer: Any, on_progress: OnProgress = lambda share: None, today: date | None = None
) -> PreparedData:
    """Read, render, tokenize, repair and split all rows, as `tokenize_and_split`; DataError when none can be used."""
    prepared = tokenize_and_split(config, tokenizer, on_progress, today)
    if prepared.report.blocks:
        raise _nothing_to_train(prepared.report)
    return prepared


def validation_rows(
    config: RunConfig, tokenizer: Any, on_progress: OnProgress = lambda share: None, today: date | None = None
) -> tuple[list[tuple[tuple[Turn, ...], Rendering]], str]:
    """Return the conversations of the validation rows, each with its rendering, and the hash of all rows.

    The hash is that of `PreparedData`; where it is not a run's own, these are not the rows that were held out from it.
    """
    prepared = tokenize_and_split(config, tokenizer, on_progress, today)
    mapping = prepared.report.detected.mapping
    rows = conversations_at(within_positions(config), prepared.validation_numbers, mapping, tokenizer, today)
    return rows, prepared.sha256


def conversations_at(
    config: RunConfig,
    numbers: Iterable[int],
    chosen: MappingConfig,
    tokenizer: Any,
    today: date | None = None,
    *,
    trained: bool = False,
) -> list[tuple[tuple[Turn, ...], Rendering]]:
    """Return the conversations of the validation rows with these numbers (from 1), each with its rendering.

    With `trained` the numbers are those of training rows.
    """
    data = config.data
    if not trained and (own := validation_source(data)) is not None:
        data = data.model_copy(update={"source": own, "limit": None})
    render = renderer(config, tokenizer, chosen, today)
    conversations = []
    for row in table(data).reader.rows_at([number - 1 for number in numbers]):
        turns = scan.conversation_of(row, data, chosen).turns
        conversations.append((turns, scan.render_row(row, turns, data, chosen, render)))
    return conversations


def inspect(config: RunConfig, on_progress: OnProgress = lambda share: None) -> Report:
    """Check all rows of a dataset; without the model's tokenizer, what depends on tokens is left out."""
    try:
        tokenizer = load_tokenizer(config.model)
    except ModelError:
        return _inspect_rows(config, on_progress)
    report = tokenize_and_split(config, tokenizer, on_progress).report
    located = locate(config.model)
    if located is None or not report.train:
        return report
    tokens = report.token_figures["padded_grouped" if config.train.length_grouping else "padded_random"]
    seconds = estimate.epoch_seconds(
        int(tokens * report.train / report.usable),
        located.path,
        precision(config.model.precision, located.settings.get("model_type", "")).value,
        upper_half=config.lora.layers == "upper-half",
        checkpointing=config.train.gradient_checkpointing == "on",
    )
    return replace(report, epoch_seconds=seconds)


def tokenize_and_split(
    config: RunConfig, tokenizer: Any, on_progress: OnProgress = lambda share: None, today: date | None = None
) -> PreparedData:
    """Tokenize the dataset, and the validation set that the settings name; apply the fixes, split, and count.

    `on_progress` gets the share done between two batches of rows, and may raise to end the work. `today` is the date
    for chat templates that write one. Raises PromptError when the settings do not fit.
    """
    config = within_positions(config)
    data, fixes, method = method_data(config), config.data.fixes, config.train.method
    detected = mapping(data, method)
    render = renderer(config, tokenizer, detected.mapping, today)

    def tokenized(data: DataConfig) -> ScanResult:
        return scan.scan(table(data), data, detected.mapping, render, tokenizer, on_progress, today, method)

    scanned = tokenized(data)
    own = validation_source(data)
    rows = scanned.dataset()
    held_out = tokenized(data.model_copy(update={"source": own, "limit": None})).dataset() if own else rows
    counts = dict(scanned.problems)
    numbers, lengths, trained, hashes = (column(rows, name) for name in ("number", "length", "trained", "hash"))

    def count(kind: str, indices: Any) -> None:
        if len(indices):
            example = scan.example_of(table(data).row(int(numbers[indices[0]]) - 1))
            counts[kind] = ProblemCount(len(indices), numbers[indices[: scan.ROWS_NAMED]].tolist(), example)

    usable = trained > 0
    _, first, inverse = numpy.unique(hashes, return_index=True, return_inverse=True)
    repeated = usable & (first[inverse] != numpy.arange(len(hashes)))
    near = usable & numpy.isin(numbers, scanned.near)
    if method != "sft":
        opposed = usable & numpy.isin(hashes, column(rows, "opposite")[usable])
        count("contradiction", numpy.flatnonzero(opposed))
        usable &= ~opposed
    count("duplicate", numpy.flatnonzero(repeated))
    count("near_duplicate", numpy.flatnonzero(near))
    for fix, where in (("drop_cut", lengths > data.max_length), ("deduplicate", repeated), ("near_deduplicate", near)):
        if fix in fixes:
            usable &= ~where
    train, validation = numpy.flatnonzero(usable), numpy.zeros(0, dtype=int)
    if own:
        validation = numpy.flatnonzero(column(held_out, "trained"))
    elif data.validation.kind == "fraction":
        groups = column(rows, "group")[train].tolist() if data.validation.group else range(len(train))
        left, validation_rows = split(groups, data.validation.fraction, data.seed)
        train, validation = train[left], train[validation_rows]
        if not validation_rows:
            counts["few_rows"] = ProblemCount(1)
    counts |= {kind: ProblemCount(number) for kind, number in _preference_problems(rows, train, method).items()}
    leaks = numpy.isin(hashes[train], column(held_out, "hash")[validation])
    count("leak", train[leaks])
    if "remove_leaks" in fixes:
        train = train[~leaks]
    used = train if own else numpy.concatenate((train, validation))
    report = Report(
        rows=scanned.rows,
        usable=len(used),
        problems=[problem(kind, one, scanned.rows, fixes, detected.mapping) for kind, one in counts.items()],
        detected=detected,
        train=len(train),
        validation=len(validation),
        lengths=lengths[used],
        row_numbers=numbers[used],
        trained_each=trained[used],
        max_length=data.max_length,
        batch_size=config.train.batch_size,
        near_rows=scanned.near_rows if scanned.near_rows < scanned.rows else None,
        speech=scanned.speech,
    )
    if not len(train):
        report.blocks.append(_nothing_to_train(report).message)
    columns = list(TRAINED_COLUMNS[method])
    return PreparedData(
        report,
        rows.select(train).select_columns(columns),
        held_out.select(validation).select_columns(columns) if len(validation) else None,
        tuple(numbers[train].tolist()),
        tuple(column(held_out, "number")[validation].tolist()),
        min(int(lengths[train].max(initial=0)), data.max_length),
    )


def method_data(config: RunConfig) -> DataConfig:
    """Return the settings of the data as the method of training reads them: of preferences, the last answers count."""
    return config.data if config.train.method == "sft" else config.data.model_copy(update={"turns": "last"})


def _preference_problems(rows: Any, train: Any, method: Method) -> dict[str, int]:
    """Return what is to be said of training preferences as a whole, each kind of problem with a count of rows."""
    problems: dict[str, int] = {}
    if method == "sft" or not len(train):
        return problems
    if len(train) < MIN_PREFERENCES:
        problems["few_preferences"] = len(train)
    if method == "kto":
        good = int(column(rows, "good")[train].sum())
        return problems | ({} if 0 < good < len(train) else {"one_verdict": len(train)})
    better, worse = column(rows, "trained")[train], column(rows, "rejected_trained")[train]
    longer, shorter = int((better > worse).sum()), int((better < worse).sum())
    if max(longer, shorter) >= LENGTH_BIAS * len(train):
        problems["longer_preferred" if longer > shorter else "shorter_preferred"] = max(longer, shorter)
    return problems


def _nothing_to_train(report: Report) -> DataError:
    if {problem.kind for problem in report.problems} == {"nothing_trained"}:
        return DataError("data.all_too_long", limit=report.max_length, rows=report.rows)
    kinds = "; ".join(problem.message.text() for problem in report.problems)
    return DataError("data.none_usable", rows=report.rows, kinds=kinds)


def validation_source(data: DataConfig) -> SourceConfig | None:
    """Return the source of the validation rows when it is one of its own."""
    chosen = data.validation
    if chosen.kind == "file":
        return source.sibling(data.source, chosen.name or "")
    if chosen.kind == "split":
        if data.source.kind != "hub":
            raise DataError("data.no_splits", name=data.source.name)
        return data.source.model_copy(update={"split": chosen.name})
    return None


def split(groups: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the indices of the training rows and of the validation rows, each in the order of the data.

    `groups` has a number for each row; rows with the same one stay together. At least one group goes to each side when
    there are two or more; the validation side takes whole groups until it has its share of the rows.
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    order = list(members)
    random.Random(seed).shuffle(order)
    chosen: set[int] = set()
    for group in order[:-1]:  # one group at least stays for training
        if chosen and len(chosen) + len(members[group]) / 2 > len(groups) * fraction:
            break
        chosen.update(members[group])
    return [row for row in range(len(groups)) if row not in chosen], sorted(chosen)


def column(rows: Any, name: str) -> Any:
    """Return a column of numbers of a whole dataset as an array, without converting it to Python numbers."""
    return rows.data.column(name).to_numpy()


def _inspect_rows(config: RunConfig, on_progress: OnProgress) -> Report:
    data, method = method_data(config), config.train.method
    detected = mapping(data, method)
    total = table(data).index(on_progress)
    counts: defaultdict[str, ProblemCount] = defaultdict(ProblemCount)
    left_out = 0
    for number, row in scan.chosen_rows(table(data), data, total):
        try:
            for kind in scan.conversation_of(row, data, detected.mapping).notes:
                counts[kind].add(number, row)
            if method == "dpo":
                scan.worse_conversation(row, data, detected.mapping)
            elif method == "kto":
                is_good(row, detected.mapping)
        except RowProblem as wrong:
            counts[wrong.kind].add(number, row, wrong.names)
            left_out += 1
    rows = min(total, data.limit or total)
    problems = [problem(kind, one, rows, data.fixes, detected.mapping) for kind, one in counts.items()]
    return Report(rows, rows - left_out, problems, detected, train=rows - left_out)


def held_out(name: str | None) -> list[str]:
    """Return the held-out prompts of a bundled dataset (its first column); empty without a name."""
    if not name:
        return []
    rows = source.open_table(SourceConfig(kind="bundled", name=name)).rows()
    return [str(next(iter(row.values()))) for row in rows if not isinstance(row, BadRow)]
