"""The report in a sentence."""

from studio.compare.columns import Column
from studio.i18n import Message, message
from studio.runs import Run
from studio.style import style_store
from studio.style.report import ColumnReport, StyleReport
from studio.style.strength import MIN_ANSWERS, MIN_WORDS

EXAGGERATES = 100.0
"""Percent of style strength above which the whole interval must lie to be called an exaggeration."""


def headline(report: StyleReport) -> Message:
    """Return the report in one sentence: about its first adapter, or why nothing was measured."""
    if report.too_little:
        return report.too_little
    if not report.separable:
        return message("style.headline.same", percent=f"{100 * (report.accuracy or 0):.0f}")
    column = report.main
    return column_headline(column) if column else message("style.headline.no_adapter")


def headline_of(run: Run, column: Column, adapter_sha256: str | None) -> Message | None:
    """Return what the newest report that has measured this adapter at this strength says; None without one."""
    known = style_store.find_column(run, column, adapter_sha256)
    return column_headline(known[1]) if known and known[0].separable else None


def column_headline(column: ColumnReport) -> Message:
    """Return what the meter says of a column in one sentence."""
    return message(
        "style.headline.sentence",
        style=_style(column),
        fit=message("style.headline.fit", fits=sum(column.scores.fits), answers=len(column.scores.fits)),
        language=message("style.headline.fluent" if column.fluent else "style.headline.not_fluent"),
        copying=_copying(column),
        drift=message(f"style.headline.drift.{column.drift.level if column.drift else 'unknown'}"),
    )


def _style(column: ColumnReport) -> Message:
    strength = column.strength
    key = "exaggerates" if strength.low > EXAGGERATES else "strength"
    if strength.low <= 0:
        key = "none"
    values = {"percent": strength.value, "low": strength.low, "high": strength.high}
    return message(f"style.headline.{key}", **{name: f"{value:z.0f}" for name, value in values.items()})


def _copying(column: ColumnReport) -> Message:
    copied = sum(column.scores.copied)
    if not copied:
        return message("style.headline.nothing_copied")
    return message("style.headline.copied", copied=copied, answers=len(column.scores.copied))


def too_little(words: int, answers: int) -> Message:
    """Say that there is too little text of the author, and how much more is needed."""
    key = "text" if words and answers else "words" if words else "answers"
    values = {"words": words, "answers": answers, "min_words": MIN_WORDS, "min_answers": MIN_ANSWERS}
    return message(f"style.too_little.{key}", **values)


def too_few_prompts(prompts: int) -> Message:
    """Say that there are too few prompts to answer, and how many more are needed."""
    return message("style.too_little.prompts", prompts=prompts, more=MIN_ANSWERS - prompts, needed=MIN_ANSWERS)
