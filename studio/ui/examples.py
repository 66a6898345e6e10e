"""Examples that a base is shown before the prompt, as a user writes them: a question a line, its answer on the next."""

from collections.abc import Iterator
from itertools import islice

from studio import runs
from studio.data.conversation import RowProblem, Turn
from studio.data.readers.base import BadRow
from studio.errors import CompareError, StudioError
from studio.runs import Run

FIRST = 2
"""Rows of the run's training that are offered to begin with."""


def parsed(written: str) -> tuple[Turn, ...]:
    """Return the turns that are written; raises CompareError without any, or for a question without an answer."""
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    if not lines or len(lines) % 2:
        raise CompareError("ui.shots", count=len(lines))
    return tuple(Turn("assistant" if place % 2 else "user", line) for place, line in enumerate(lines))


def written(turns: tuple[Turn, ...]) -> str:
    """Write turns so that `parsed` reads them; a turn of several lines becomes one."""
    lines = [" ".join(turn.content.split()) for turn in turns]
    return "\n\n".join("\n".join(lines[at : at + 2]) for at in range(0, len(lines), 2))


def of_run(run_id: str, prompt: str = "") -> str:
    """Return the first questions and answers that the run was trained on; empty where it has none, or is gone.

    Never a row that is held out, nor the `prompt` that is asked: an example would give its answer away.
    """
    from studio.config import MappingConfig
    from studio.data import prepare
    from studio.data.rows import read_conversation

    try:
        run = runs.find(run_id)
        data, mapping = run.config().data, MappingConfig.model_validate(run.resolved()["mapping"])
        unfit = {_plain(prompt), *_held_out(run)}
        shot_turns: list[Turn] = []
        for row in islice(prepare.table(data).rows(), 10 * FIRST):
            turns = () if isinstance(row, BadRow) else read_conversation(row, mapping).turns
            last = turns[-2:]
            if [turn.role for turn in last] == ["user", "assistant"] and _plain(last[0].content) not in unfit:
                shot_turns += last
            if len(shot_turns) == 2 * FIRST:
                break
    except (StudioError, RowProblem, OSError, KeyError):
        return ""
    return written(tuple(shot_turns))


def _held_out(run: Run) -> Iterator[str]:
    """Yield what is asked in the rows that are held out of a run's training, and in its list of prompts.

    Raises CompareError when the data are no longer those of the run: then nobody knows which rows were held out.
    """
    from studio.data import prepare
    from studio.model.load import load_tokenizer

    config = run.config()
    yield from map(_plain, prepare.held_out(config.evaluation.prompts))
    if config.data.validation.kind == "none":
        return
    rows, sha256 = prepare.validation_rows(config, load_tokenizer(config.model), today=runs.day_of(run.id))
    if sha256 != run.resolved()["data"]:
        raise CompareError("compare.data_changed", run=run.id)
    yield from (_plain(turn.content) for turns, _ in rows for turn in turns if turn.role == "user")


def require_unasked(turns: tuple[Turn, ...], prompt: str) -> None:
    """Raise CompareError when an example asks the very prompt."""
    if any(turn.role == "user" and _plain(turn.content) == _plain(prompt) for turn in turns):
        raise CompareError("ui.shot_asked")


def _plain(prompt: str) -> str:
    return " ".join(prompt.split()).casefold()
