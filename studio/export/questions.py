"""What an export is asked when it is checked: rows that the run was not trained on, where it kept some; or words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from studio.compare import held_out
from studio.compare.held_out import Row
from studio.compare.proof import run_renderer
from studio.data import tokens
from studio.data.tokens import IGNORED
from studio.errors import ExportError, StudioError
from studio.export.subject import Subject
from studio.train import pinned, recorded_rows, samples

COUNT = 8
"""Questions that are asked."""
TEXTS = ("What is the sea?", "바다는 무엇인가요?", "  List: a, b;\n\nthen {c}. ")
"""Questions that are put through an export's own template."""

Where = Literal["held_out", "trained"]


@dataclass(frozen=True)
class Question:
    """The tokens of a prompt, and of a good answer to it (with its end) where there is one."""

    ids: tuple[int, ...]
    answer: tuple[int, ...] = ()
    asked: tuple[str, ...] = ()
    """The same in words, one text for each column of the prompt; empty for a row."""


def of(subject: Subject, most: int) -> tuple[list[Question], Where]:
    """Return the questions, and whether they are from held-out rows; `most` is the longest answer that is made.

    Raises ExportError when the run kept no rows at all.
    """
    for where, found in (("held_out", _held_out(subject)), ("trained", _trained(subject))):
        if fitting := fit(subject, found, most):
            return fitting, where  # type: ignore[return-value]
    raise ExportError("export.no_questions", run=subject.run.id)


def fit(subject: Subject, found: Sequence[Question], most: int) -> list[Question]:
    """Return some questions that the model has room for, with an answer of `most` tokens."""
    room = subject.base.settings.get("max_position_embeddings") or 1 << 30
    return [row for row in found if row.ids and len(row.ids) + max(most, len(row.answer)) <= room][:COUNT]


def pinned_prompts(subject: Subject) -> list[Question]:
    """Return the prompts of the film strip, else of the settings, else ordinary questions.

    Raises PromptError where the run's template takes no prompt alone.
    """
    run, tokenizer = subject.run, subject.tokenizer
    prompts = samples.read(run).prompts or subject.config.samples.prompts
    return in_words(subject, prompts) or [
        Question(row.ids, asked=(row.prompt,))
        for row in held_out.bundled(run, held_out.GENERAL, tokenizer)[: pinned.PROMPTS]
    ]


def in_words(subject: Subject, prompts: Sequence[str]) -> list[Question]:
    """Return prompts as the run is asked them; raises PromptError where its template takes no prompt alone."""
    rows = held_out.of_prompts(subject.run, prompts, subject.tokenizer)
    return [Question(row.ids, asked=(row.prompt,)) for row in rows]


def of_columns(subject: Subject) -> list[Question]:
    """Return texts in the columns of the run's template, as it renders them."""
    render, columns = run_renderer(subject.run, subject.tokenizer), subject.prompt.columns
    found = []
    for first in range(len(TEXTS)):
        asked = tuple(TEXTS[(first + place) % len(TEXTS)] for place in range(len(columns)))
        row = dict(zip(columns, asked, strict=True)) | {render.answer: ""}
        before = render.example((), row).segments[:-1]
        found.append(Question(tuple(tokens.prompt_ids(before, subject.tokenizer)), asked=asked))
    return found


def _held_out(subject: Subject) -> list[Question]:
    run, tokenizer = subject.run, subject.tokenizer
    try:
        rows: Sequence[Row] = held_out.of_run(run, tokenizer)
        if not rows and subject.config.evaluation.prompts:
            rows = held_out.bundled(run, subject.config.evaluation.prompts, tokenizer)
    except StudioError:  # the data are gone or changed, or the template takes more than a question
        return []
    return [Question(row.ids, row.answer) for row in rows]


def _trained(subject: Subject) -> list[Question]:
    """Return rows of the training, each split before its last answer; text that is trained as a whole in its middle."""
    from pyarrow import parquet

    path = recorded_rows.folder_of(subject.run.path) / "train.parquet"
    if not path.is_file():
        return []
    rows = next(parquet.ParquetFile(path).iter_batches(COUNT * 4)).to_pylist()
    found = []
    for row in rows:
        ids, labels = row["input_ids"], row["labels"]
        last = len(labels) - next((n for n, label in enumerate(reversed(labels)) if label == IGNORED), len(labels))
        split = last if 0 < last < len(ids) else len(ids) // 2
        found.append(Question(tuple(ids[:split]), tuple(ids[split:])))
    return found
