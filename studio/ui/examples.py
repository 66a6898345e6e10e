"""Examples that a base is shown before the prompt, as a user writes them: a question a line, its answer on the next."""

from itertools import islice

from studio import runs
from studio.data.formats import Turn
from studio.data.readers.base import BadRow
from studio.errors import CompareError, StudioError

FIRST = 2
"""Rows of the run's data set that are offered to begin with."""


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


def of_run(run_id: str) -> str:
    """Return the first questions and answers of a run's data set; empty where it has none, or is gone."""
    from studio.config import MappingConfig
    from studio.data import formats, prepare

    try:
        run = runs.find(run_id)
        data, mapping = run.config().data, MappingConfig.model_validate(run.resolved()["mapping"])
        found: list[Turn] = []
        for row in islice(prepare.table(data).rows(), 10 * FIRST):
            turns = () if isinstance(row, BadRow) else formats.conversation(row, mapping)
            found += turns[-2:] if [turn.role for turn in turns[-2:]] == ["user", "assistant"] else ()
            if len(found) == 2 * FIRST:
                break
    except (StudioError, formats.RowProblem, OSError, KeyError):
        return ""
    return written(tuple(found))
