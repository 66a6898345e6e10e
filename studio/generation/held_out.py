"""The rows that a run is evaluated on: those kept from its training, or a list of prompts."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import runs
from studio.config import MappingConfig, SourceConfig
from studio.data import prepare, source, tokens
from studio.data.conversation import RowProblem, Turn
from studio.data.detection import detect
from studio.data.first_rows import FirstRows
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer, PromptRenderer
from studio.data.readers.base import BadRow
from studio.data.rows import evenly_spaced, read_conversation
from studio.data.source import Table
from studio.data.tokens import Segment
from studio.data.vocabulary import COLUMNS
from studio.errors import CompareError, DataError, PromptError
from studio.generation.answer_store import AnsweredPrompt
from studio.i18n import Message, message
from studio.runs import Run

GENERAL = "general-heldout"
"""The bundled set of ordinary questions, which measures what an adapter has forgotten."""


@dataclass(frozen=True)
class HeldOutRow:
    """A row to answer."""

    prompt: str
    reference: str | None
    ids: tuple[int, ...]
    answer: tuple[int, ...]
    """The tokens of the reference, its end included; empty without one, or where no template renders it."""

    @property
    def question(self) -> AnsweredPrompt:
        """The prompt as an `AnswerStore` knows it."""
        return AnsweredPrompt(self.prompt, self.ids)


def from_run(run: Run, tokenizer: Any, on_progress: Callable[[float], None] = lambda share: None) -> list[HeldOutRow]:
    """Return the rows that were kept from a run's training; empty when it kept none; raises CompareError."""
    if run.config().data.validation.kind == "none":
        return []
    rows, sha256 = prepare.validation_rows(run.config(), tokenizer, on_progress, runs.day_of(run.id))
    if sha256 != run.resolved()["data"]:
        raise CompareError("compare.data_changed", run=run.id)
    return [_training_row(turns, rendering.segments, tokenizer) for turns, rendering in rows]


def select(
    run: Run, rows: str, tokenizer: Any, on_progress: Callable[[float], None] = lambda share: None
) -> tuple[list[HeldOutRow], list[Message]]:
    """Return the rows to evaluate a run on, and what has to be said of them.

    `rows` is `validation`, `prompts` (the preset's), the path of a file, or `auto`: the first of these that the run
    has. Raises CompareError where it has none, DataError for a file that cannot be used.
    """
    if rows not in ("auto", "validation", "prompts"):
        read, left_out = _from_table(run, _open_file(Path(rows)), tokenizer)
        return read, [message("compare.note.left_out", count=left_out)] if left_out else []
    if rows != "prompts" and (validation := from_run(run, tokenizer, on_progress)):
        return validation, []
    if rows != "validation" and (prompts := run.config().evaluation.prompts):
        return from_bundled(run, prompts, tokenizer), []
    raise CompareError("compare.nothing_held_out", run=run.id)


def from_training(
    run: Run, tokenizer: Any, count: int, on_progress: Callable[[float], None] = lambda share: None
) -> tuple[list[HeldOutRow], Any]:
    """Return up to `count` of the rows that a run was trained on, evenly spaced, and all as a dataset of tokens."""
    prepared = prepare.tokenize_and_split(run.config(), tokenizer, on_progress, runs.day_of(run.id))
    if prepared.sha256 != run.resolved()["data"]:
        raise CompareError("compare.data_changed", run=run.id)
    chosen = evenly_spaced(prepared.train_numbers, count)
    return from_numbers(run, chosen, tokenizer, trained=True), prepared.train


def from_bundled(run: Run, name: str, tokenizer: Any) -> list[HeldOutRow]:
    """Return the rows of a bundled dataset, rendered as in the run's training."""
    return _from_table(run, source.open_table(SourceConfig(kind="bundled", name=name)), tokenizer)[0]


def ordinary(run: Run, tokenizer: Any) -> tuple[list[HeldOutRow], list[Message]]:
    """Return the ordinary questions; none, and a note, where the run's text template has more columns than one."""
    try:
        return from_bundled(run, GENERAL, tokenizer), []
    except PromptError as error:
        return [], [message("compare.note.no_general", detail=error.text())]


def from_prompts(run: Run, prompts: Sequence[str], tokenizer: Any) -> list[HeldOutRow]:
    """Return rows for some prompts; raises PromptError where the run's template cannot take a prompt alone."""
    renderer = run_renderer(run, tokenizer)
    return [_prompt_row(renderer, (Turn("user", prompt),), None, tokenizer) for prompt in prompts]


def from_numbers(run: Run, numbers: Iterable[int], tokenizer: Any, *, trained: bool = False) -> list[HeldOutRow]:
    """Return those of a run's validation rows, or of its training rows, that have these numbers."""
    mapping = MappingConfig.model_validate(run.resolved()["mapping"])
    rows = prepare.conversations_at(run.config(), numbers, mapping, tokenizer, runs.day_of(run.id), trained=trained)
    return [_training_row(turns, rendering.segments, tokenizer) for turns, rendering in rows]


def _open_file(path: Path) -> Table:
    if not path.is_file():
        raise DataError("data.no_file", path=path.name)
    return source.open_file(path)


def read_prompts(path: Path) -> tuple[list[str], int]:
    """Return the prompts of a file (one a line, or one a row), and how many rows have none.

    Raises DataError when it cannot be read or holds no prompt.
    """
    rows = list(_rows(_open_file(path)))
    prompts = [turns[0][-1].content for turns in rows if turns]
    if not prompts:
        raise DataError("data.empty", name=path.name)
    return prompts, len(rows) - len(prompts)


def _from_table(run: Run, table: Table, tokenizer: Any) -> tuple[list[HeldOutRow], int]:
    renderer = run_renderer(run, tokenizer)
    read = list(_rows(table))
    rows = [_prompt_row(renderer, *turns, tokenizer) for turns in read if turns]
    if not rows:
        raise DataError("data.empty", name=table.path.name)
    return rows, len(read) - len(rows)


def _rows(table: Table) -> Iterator[tuple[tuple[Turn, ...], str | None] | None]:
    """Yield the prompt of each row and its reference; None for a row without a prompt.

    Where the table has no answers, the prompt is the column with a name for prompts, else the first one.
    """
    try:
        mapping = detect(table).mapping
    except DataError:
        mapping = None
    if mapping is not None and mapping.shape == "text":
        mapping = None
    column = FirstRows(table).first(COLUMNS.user) if mapping is None else None
    for row in table.rows():
        yield _turns(row, mapping, column)


def _turns(row: Any, mapping: MappingConfig | None, column: str | None) -> tuple[tuple[Turn, ...], str | None] | None:
    if isinstance(row, BadRow):
        return None
    if mapping is None:
        value = source.cell(row, column) if column else next(iter(row.values()), "")
        prompt = str(value or "").strip()
        return ((Turn("user", prompt),), None) if prompt else None
    try:
        turns = read_conversation(row, mapping).turns
    except RowProblem:
        return None
    return (turns[:-1], turns[-1].content) if turns[-1].role == "assistant" else (turns, None)


def _prompt_row(renderer: PromptRenderer, turns: Sequence[Turn], reference: str | None, tokenizer: Any) -> HeldOutRow:
    ids = tuple(tokens.prompt_ids(renderer.question(turns), tokenizer))
    answer: tuple[int, ...] = ()
    if reference and isinstance(renderer, ChatRenderer):
        try:
            segments = renderer.example([*turns, Turn("assistant", reference)], {}).segments
        except RowProblem:  # answered all the same, without a likelihood
            segments = ()
        answer = _split(segments, tokenizer)[1] if segments and segments[-1].trained else ()
    return HeldOutRow(_readable(turns), reference, ids, answer)


def _training_row(turns: Sequence[Turn], segments: Sequence[Segment], tokenizer: Any) -> HeldOutRow:
    """Split a row at its last answer; a text without a question is split near its middle, to be continued."""
    last = max(number for number, segment in enumerate(segments) if segment.trained)
    segments = segments[: last + 1]
    prompt, reference = _readable(turns[:-1]), turns[-1].content
    before = "".join(segment.text for segment in segments[:last])
    if not prompt and before not in ("", tokenizer.bos_token):  # a text with a template's marks
        prompt, reference = before, segments[last].text
    elif not prompt:
        middle = len(reference) // 2
        space = max(reference.find(" ", middle), reference.find("\n", middle))
        half = space if 0 < space < len(reference) - 1 else max(1, middle)
        prompt, reference = reference[:half], reference[half:]
        whole = segments[last]
        at = whole.text.find(prompt) + half
        before = Segment(whole.text[:at], False, plain=tuple(span for span in whole.plain if span[1] <= at))
        rest = tuple((start - at, end - at) for start, end in whole.plain if start >= at)
        segments = [*segments[:last], before, Segment(whole.text[at:], True, plain=rest)]
    return HeldOutRow(prompt, reference.strip(), *_split(segments, tokenizer))


def _split(segments: Sequence[Segment], tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the tokens of a prompt, and those of the answer that is its last segment."""
    [row] = tokens.tokenize([segments], tokenizer, sys.maxsize, "completion")
    first = len(row.ids) - next((n for n, label in enumerate(reversed(row.labels)) if label != "trained"), len(row.ids))
    return row.ids[:first], row.ids[first:]


def _readable(turns: Sequence[Turn]) -> str:
    return "\n\n".join(turn.content for turn in turns if turn.role != "system")
