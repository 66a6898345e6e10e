"""The before/after card of a comparison."""

from dataclasses import replace
from datetime import date

from studio.compare.columns import ADAPTED, BASE, Column
from studio.compare.comparison import AnswerPair, Comparison
from studio.config import BUILTIN_MODEL, ModelConfig
from studio.evaluate import evaluation_store
from studio.evaluate.scoreboard import Scoreboard
from studio.i18n import text
from studio.model import builtin
from studio.reports.comparison_card import Card, SampleTimeline
from studio.runs import Run, metadata
from studio.runs.curve import read_curve
from studio.train import diagnosis, samples

MAX_TIMELINE_PROMPTS = 2
"""Sample timelines on a card."""


def comparison_card_of(run: Run, comparison: Comparison, language: str) -> Card:
    """Return the card of a comparison: its first column is the before, its last the after.

    The scoreboard is on it if the run has one that was measured with the adapter of the last column.
    """
    columns = comparison.request.columns
    prompts = zip(comparison.request.prompts, comparison.answers, strict=True)
    card = card_of_run(
        run, tuple(AnswerPair(prompt, sides[0].text, sides[-1].text) for prompt, sides in prompts), language
    )
    return replace(
        card,
        base=_side_name(card.base, columns[0], BASE, language),
        adapter=_side_name(card.adapter, columns[-1], ADAPTED, language),
        scoreboard=_matching_scoreboard(run, comparison),
    )


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


def _matching_scoreboard(run: Run, comparison: Comparison) -> Scoreboard | None:
    """Return the scoreboard of the base against the adapter on the card."""
    columns = comparison.request.columns
    last = len(columns) - 1
    if comparison.proof is None or columns[0].kind != "base" or not columns[0].is_plain:
        return None
    return evaluation_store.find_scoreboard(run, replace(columns[last], said=()), comparison.proof.adapter_sha256[last])


def is_scoreboard_missing(run: Run, card: Card) -> bool:
    """Whether the run's newest scoreboard is not on a card, since it is of another adapter, strength or question."""
    newest = evaluation_store.newest(run)
    return card.scoreboard is None and newest is not None and newest.board is not None


def _sample_timelines(run: Run) -> tuple[SampleTimeline, ...]:
    """Return the first, the middle and the last answers of a run's sample timeline; empty for fewer than two steps."""
    strip = samples.read(run)
    indices = sorted({0, len(strip.frames) // 2, len(strip.frames) - 1}) if len(strip.frames) > 1 else ()
    frames = [strip.frames[index] for index in indices]
    return tuple(
        SampleTimeline(prompt, tuple((frame.step, frame.answers[number].text) for frame in frames))
        for number, prompt in enumerate(strip.prompts[:MAX_TIMELINE_PROMPTS] if frames else ())
    )


def base_name(model: ModelConfig) -> str:
    """Return what people call a base model: the built-in one's name, else the last part of its id."""
    return builtin.NAME if model.id == BUILTIN_MODEL else model.id.rstrip("/").rsplit("/", 1)[-1]


def _side_name(plain: str, column: Column, usual: Column, language: str) -> str:
    """Return a side's name; a column that is not the usual one says what it is."""
    return plain if column == usual else f"{plain} · {column.title(language)}"
