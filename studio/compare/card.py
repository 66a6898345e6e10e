"""The before/after card of a comparison."""

from dataclasses import replace
from datetime import date

from studio.compare import standing
from studio.compare.columns import ADAPTED, BASE, Column
from studio.compare.comparison import Comparison
from studio.compare.journal import Pair
from studio.compare.metrics import Scoreboard
from studio.compare.report import Card, Stills
from studio.config import BUILTIN_MODEL, ModelConfig
from studio.i18n import text
from studio.model import builtin
from studio.runs import Run, metadata
from studio.runs.curve import read_curve
from studio.train import diagnosis, samples

PROMPTS_SHOWN = 2
"""Prompts of the film strip on a card."""


def card_of(run: Run, made: Comparison, language: str) -> Card:
    """Return the card of a comparison: its first column is the before, its last the after.

    The scoreboard is on it if the run has one that was measured with the adapter of the last column.
    """
    columns = made.request.columns
    prompts = zip(made.request.prompts, made.answers, strict=True)
    card = of_run(run, tuple(Pair(prompt, sides[0].text, sides[-1].text) for prompt, sides in prompts), language)
    return replace(
        card,
        base=_name(card.base, columns[0], BASE, language),
        adapter=_name(card.adapter, columns[-1], ADAPTED, language),
        scoreboard=_board(run, made),
    )


def of_run(run: Run, pairs: tuple[Pair, ...], language: str) -> Card:
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
        stills=_stills(run),
        date=date.today().isoformat(),
        language=language,
    )


def _board(run: Run, made: Comparison) -> Scoreboard | None:
    """Return the scoreboard of what the card shows: the base against this very adapter."""
    columns = made.request.columns
    last = len(columns) - 1
    if made.proof is None or columns[0].kind != "base" or not columns[0].is_plain:
        return None
    return standing.board_of(run, replace(columns[last], said=()), made.proof.adapter_sha256[last])


def lacks_board(run: Run, card: Card) -> bool:
    """Whether the run's newest scoreboard is not on a card, since it is of another adapter, strength or question."""
    newest = standing.newest(run)
    return card.scoreboard is None and newest is not None and newest.board is not None


def _stills(run: Run) -> tuple[Stills, ...]:
    """Return the first, the middle and the last frame of a run's film strip; empty for fewer than two frames."""
    strip = samples.read(run)
    places = sorted({0, len(strip.frames) // 2, len(strip.frames) - 1}) if len(strip.frames) > 1 else ()
    frames = [strip.frames[place] for place in places]
    return tuple(
        Stills(prompt, tuple((frame.step, frame.answers[number].text) for frame in frames))
        for number, prompt in enumerate(strip.prompts[:PROMPTS_SHOWN] if frames else ())
    )


def base_name(model: ModelConfig) -> str:
    """Return what people call a base model: the built-in one's name, else the last part of its id."""
    return builtin.NAME if model.id == BUILTIN_MODEL else model.id.rstrip("/").rsplit("/", 1)[-1]


def _name(plain: str, column: Column, usual: Column, language: str) -> str:
    """Return a side's name; a column that is not the usual one says what it is."""
    return plain if column == usual else f"{plain} · {column.title(language)}"


def as_json(made: Comparison) -> dict[str, object]:
    """Return a comparison as what `--json` prints, in English."""
    proof = made.proof
    return {
        "run": made.request.run_id,
        "columns": [column.title() for column in made.request.columns],
        "answers": [
            {
                "prompt": prompt,
                "sides": [
                    {
                        "text": side.text,
                        "tokens": side.tokens,
                        "seconds": round(side.seconds, 3),
                        "first_seconds": side.first_seconds and round(side.first_seconds, 3),
                        "tokens_a_second": side.tokens_a_second and round(side.tokens_a_second, 1),
                        "end": side.end,
                    }
                    for side in sides
                ],
            }
            for prompt, sides in zip(made.request.prompts, made.answers, strict=True)
        ],
        "notes": [note.text() for note in made.notes],
        "proof": proof
        and {
            "verified": proof.verified,
            **{name: value for name, value in vars(proof).items() if name not in ("problems", "unproven")},
            "problems": [problem.text() for problem in proof.problems],
            "unproven": [left.text() for left in proof.unproven],
        },
    }
