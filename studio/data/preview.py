"""One row, as it is in the file and as the model will see it."""

from dataclasses import dataclass

from studio.config import RunConfig
from studio.data import prepare, scan, tokens
from studio.data.conversation import RowProblem
from studio.data.health import Problem
from studio.data.readers.base import BadRow, Row
from studio.data.rows import is_good
from studio.i18n import Message, message
from studio.model.limits import within_positions
from studio.model.load import load_tokenizer


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
    """Its problems, although it is used."""
    rejected: tuple[tuple[str, str], ...] = ()
    """The worse answer of a pair, as `spans` has the better one; empty for other rows."""
    good: bool | None = None
    """Whether the answer is good, where the row says so to train on it."""


def preview_row(config: RunConfig, row: int) -> Preview:
    """Return row number `row` (from 0) as the model will see it; raises StudioError.

    Numbers beyond the last row begin again at the first.
    """
    config = within_positions(config)
    opened = prepare.table(config.data)
    is_small = opened.path.stat().st_size < 32 << 20  # its rows are counted in a moment
    count = opened.reader.count or (opened.count if is_small else 0)
    row = row % count if count else row
    raw = opened.row(row)
    tokenizer = load_tokenizer(config.model)
    data, method = prepare.method_data(config), config.train.method
    chosen = prepare.mapping(data, method).mapping
    row_text = {"": scan.writable(raw.text)} if isinstance(raw, BadRow) else raw
    try:
        renderer = prepare.renderer(config, tokenizer, chosen)
        conversation, renderings = scan.render_answers(raw, data, chosen, renderer, method)
        good = is_good(raw, chosen) if method == "kto" else None
    except RowProblem as wrong:
        return Preview(row_text, [], 0, 0, False, count, problem=_problem_of(wrong, row, count))
    segments = [rendering.segments for rendering in renderings]
    labelled, *worse = tokens.tokenize(segments, tokenizer, data.max_length, data.train_on)
    rendering_notes = [note for rendering in renderings for note in rendering.notes]
    notes = dict.fromkeys((*conversation.notes, *rendering_notes, *(["joined"] if labelled.joined else [])))
    not_used = []
    if count and row not in scan.chosen_numbers(config.data, count):
        not_used.append(message(f"preview.not_used.{config.data.pick}", limit=config.data.limit))
    return Preview(
        row=row_text,
        spans=tokens.spans(labelled, tokenizer),
        tokens=len(labelled.ids),
        trained=labelled.trained,
        ends=tokens.ends_by_itself(labelled, tokenizer, tokens.stop_ids(tokenizer)),
        rows=count,
        text=renderings[0].text,
        rejected=tuple(span for each in worse for span in tokens.spans(each, tokenizer)),
        good=good,
        notes=(*not_used, *(_problem_of(RowProblem(kind), row, count) for kind in notes)),
    )


def _problem_of(wrong: RowProblem, row: int, rows: int) -> Message:
    """Return the problem of one row in words; a file whose rows are not counted yet is a large one."""
    share = 1 / (rows or 1_000_000)
    return Problem(wrong.kind, 1, [row + 1], share=share, names=", ".join(wrong.names), detail=wrong.detail).message
