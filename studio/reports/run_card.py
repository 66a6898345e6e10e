"""The before/after card of a comparison."""

from dataclasses import replace
from datetime import date

from studio.compare.columns import ADAPTED, BASE, NOW, Column
from studio.compare.comparison import AnswerPair, Comparison
from studio.config import BUILTIN_MODEL, ModelConfig
from studio.evaluate import evaluation_store
from studio.i18n import text
from studio.model import builtin
from studio.reports.comparison_card import Card, SampleTimeline
from studio.runs import Run, metadata
from studio.runs.curve import read_curve
from studio.style.headline import headline_of
from studio.train import diagnosis, samples

MAX_TIMELINE_PROMPTS = 2
"""Sample timelines on a card."""


def comparison_card_of(
    run: Run, comparison: Comparison, language: str, after: int = -1, names: tuple[str, str] | None = None
) -> Card:
    """Return the card of a comparison: its first column is the before, the one at index `after` the after.

    The other columns follow. The scoreboard and the style are on it as they were measured with the adapter of the
    column `after`. `names` are what base and adapter are called, if it is not what the run says.
    """
    columns, proof, scoreboard, style = comparison.request.columns, comparison.proof, None, None
    place = after % len(columns)
    if proof and columns[0].kind == "base" and columns[0].is_plain:
        adapter_sha256 = proof.adapter_sha256[place]
        adapted = replace(columns[place], said=())
        scoreboard = evaluation_store.find_scoreboard(run, adapted, adapter_sha256)
        style = headline_of(run, adapted, adapter_sha256)
    pairs = answer_pairs(comparison, names or (base_name(run.config().model), metadata.name_of(run)), language, place)
    base, adapter, *_ = pairs[0].names
    return replace(card_of_run(run, pairs, language), base=base, adapter=adapter, scoreboard=scoreboard, style=style)


def answer_pairs(
    comparison: Comparison, names: tuple[str, str], language: str, after: int = 1
) -> tuple[AnswerPair, ...]:
    """Return the answers to each prompt: the first column's, those of the column `after`, then the others.

    `names` are what base and adapter are called; a column that is not the usual one says what it is.
    """
    columns = comparison.request.columns
    order = list(dict.fromkeys((0, after, *range(len(columns)))))
    called = tuple(column_name(columns[number], *names, language) for number in order)
    pairs = []
    for prompt, sides in zip(comparison.request.prompts, comparison.answers, strict=True):
        first, second, *more = (sides[number].text for number in order)
        pairs.append(AnswerPair(prompt, first, second, tuple(more), called))
    return tuple(pairs)


def column_name(column: Column, base: str, adapter: str, language: str) -> str:
    """Return what a card calls a column: the base's or the adapter's name, and what is not usual about it."""
    column = replace(column, said=())
    if column in (BASE, ADAPTED):
        return base if column == BASE else adapter
    title = column.title(language)
    is_own = column.adapter == NOW or column.step is not None
    return f"{base} · {title}" if column.kind == "base" else f"{adapter} · {title}" if is_own else title


def card_of_run(run: Run, pairs: tuple[AnswerPair, ...], language: str) -> Card:
    """Return the card of a run's own adapter beside its base, with these answers and without a scoreboard."""
    config = run.config()
    curve = read_curve(run)
    recipe = [text("card.lora", language, r=config.lora.r, alpha=config.lora.alpha)]
    if len(curve.steps):
        rate = f"{config.train.learning_rate:g}"
        recipe.append(text("card.steps", language, steps=int(curve.steps[-1]), rate=rate))
    return Card(
        title=metadata.name_of(run),
        base=base_name(config.model),
        adapter=metadata.name_of(run),
        pairs=pairs,
        recipe=tuple(recipe),
        data_hash=str(run.resolved().get("data", "")),
        losses=tuple(curve.losses.tolist()),
        reading=diagnosis.diagnose_run(run) if len(curve.steps) else None,
        stills=_sample_timelines(run),
        date=date.today().isoformat(),
        language=language,
    )


def is_scoreboard_missing(run: Run, card: Card) -> bool:
    """Whether the run's newest scoreboard is not on a card, since it is of another adapter, strength or question."""
    newest = evaluation_store.newest(run)
    return card.scoreboard is None and newest is not None and newest.board is not None


def _sample_timelines(run: Run) -> tuple[SampleTimeline, ...]:
    """Return the first, the middle and the last answers of a run's sample timeline; empty for fewer than two steps."""
    timeline = samples.read(run)
    count = len(timeline.frames)
    if count < 2:
        return ()
    frames = [timeline.frames[index] for index in sorted({0, count // 2, count - 1})]
    return tuple(
        SampleTimeline(prompt, tuple((frame.step, frame.answers[number].text) for frame in frames))
        for number, prompt in enumerate(timeline.prompts[:MAX_TIMELINE_PROMPTS])
    )


def base_name(model: ModelConfig) -> str:
    """Return what people call a base model: the built-in one's name, else the last part of its id."""
    return builtin.NAME if model.id == BUILTIN_MODEL else model.id.rstrip("/").rsplit("/", 1)[-1]
