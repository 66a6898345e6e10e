"""A before/after card: what was asked, what base and adapter say, and what the run was. Here its content, as Markdown
and as JSON; `report_html` makes the page and `report_png` the pictures.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import ConfigDict, TypeAdapter

from studio.compare.journal import Pair
from studio.compare.metrics import Score, Scoreboard, Verdict
from studio.errors import CompareError
from studio.i18n import DEFAULT_LANGUAGE, text
from studio.train.diagnosis import Diagnosis

SIGNS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "unclear": "="}
"""What stands beside a verdict, so that colour is never the only sign."""
_BARS = "▁▂▃▄▅▆▇█"
_BAR_COUNT = 32


@dataclass(frozen=True)
class Stills:
    """A few frames of the film strip of one prompt."""

    prompt: str
    answers: tuple[tuple[int, str], ...]
    """The step and the answer then."""


@dataclass(frozen=True)
class Card:
    """What a card shows. All texts are shown as they are: nothing in them is taken for markup."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="strings")

    title: str
    base: str
    """Name of the base model."""
    adapter: str
    """Name of the adapter or its run."""
    pairs: tuple[Pair, ...]
    recipe: tuple[str, ...] = ()
    """The settings worth telling, one line each."""
    data_hash: str = ""
    losses: tuple[float, ...] = ()
    """Training losses in order, for the sparkline."""
    reading: Diagnosis | None = None
    """What the run's curves say."""
    stills: tuple[Stills, ...] = ()
    """How answers changed during the training."""
    scoreboard: Scoreboard | None = None
    date: str = ""
    language: str = DEFAULT_LANGUAGE

    def __post_init__(self) -> None:
        """Refuse a card without answers; raises CompareError."""
        if not self.pairs:
            raise CompareError("compare.no_pairs")

    def words(self, name: str, /, **values: object) -> str:
        """Return words of the card in its language."""
        return text(f"card.{name}", self.language, **values)

    @property
    def loss_line(self) -> str:
        """The losses in words; empty without any."""
        known = finite(self.losses)
        if not known:
            return ""
        line = self.words("loss_fell", first=f"{known[0]:.2f}", last=f"{known[-1]:.2f}")
        left_out = len(self.losses) - len(known)
        return f"{line}. {self.words('loss_left_out', count=left_out)}" if left_out else line

    @property
    def reading_lines(self) -> list[str]:
        """What the curves say: the phases, then each finding with its sign and what to try; empty without a reading."""
        return self.reading.text(self.language) if self.reading else []

    @property
    def rows(self) -> "list[ScoreRow]":
        """The scoreboard in words; empty without one."""
        return rows_of(self.scoreboard, self.language) if self.scoreboard else []

    @property
    def notes(self) -> list[str]:
        """What belongs under the scoreboard: rows, intervals, choices, and what was left out; empty without one."""
        return notes_of(self.scoreboard, self.language) if self.scoreboard else []


@dataclass(frozen=True)
class ScoreRow:
    """One measure in words."""

    name: str
    title: str
    direction: str
    before: str
    after: str
    reference: str
    """The references' own figure where closer to it is better; empty for all other measures."""
    gain: str
    """How much better, with its interval."""
    verdict: Verdict
    verdict_words: str


def rows_of(board: Scoreboard, language: str) -> list[ScoreRow]:
    """Return a scoreboard in words."""
    return [_row(score, language) for score in board.scores]


def notes_of(board: Scoreboard, language: str) -> list[str]:
    """Return what belongs under a scoreboard: rows, intervals, choices, and what was left out."""
    percent, resamples = f"{100 * board.confidence:.0f}", f"{board.resamples:,}"
    rows = text("card.rows", language, rows=board.rows)
    notes = [f"{rows}. {text('card.note', language, percent=percent, resamples=resamples)}"]
    notes += [choice.reason.text(language) for choice in board.choices if choice.name == "tokenizer"]
    for name, reason in board.left_out.items():
        title = text(f"compare.measures.{name}.name", language)
        notes.append(text("card.left_out", language, name=title, reason=reason.text(language)))
    return notes


def _row(score: Score, language: str) -> ScoreRow:
    interval = ""
    if score.gain_interval:
        interval = " [{}, {}]".format(*(signed(value) for value in score.gain_interval))
    return ScoreRow(
        name=score.name,
        title=text(f"compare.measures.{score.name}.name", language),
        direction=text(f"compare.direction.{score.direction}", language),
        before=number(score.before),
        after=number(score.after),
        reference=number(score.reference) if score.direction == "closer" and score.reference is not None else "",
        gain=signed(score.gain) + interval,
        verdict=score.verdict,
        verdict_words=f"{SIGNS[score.verdict]} {text(f'compare.verdict.{score.verdict}', language)}",
    )


def number(value: float) -> str:
    """Return a figure with about three digits (`0.53`, `12.0`, `1,204`)."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals}f}".replace("-", "−")


def signed(value: float) -> str:
    """Return a figure with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def finite(losses: Sequence[float]) -> list[float]:
    """Return the losses that are numbers."""
    return [loss for loss in losses if math.isfinite(loss)]


def thinned(losses: Sequence[float], most: int) -> list[float]:
    """Return at most `most` points of a curve, each the mean of its stretch; what is no number is left out."""
    known = finite(losses)
    count = min(most, len(known))
    edges = [len(known) * i // count for i in range(count + 1)] if count else [0]
    stretches = [known[a:b] for a, b in pairwise(edges)]
    return [sum(stretch) / len(stretch) for stretch in stretches]


def clean(content: str) -> str:
    """Return a text without what no format can hold: control characters and halves of surrogate pairs."""
    kept = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", content.replace("\r\n", "\n"))
    return kept.encode("utf-8", "replace").decode("utf-8")


_ADAPTER = TypeAdapter(Card)


def to_json(card: Card) -> str:
    """Return the card as JSON, with every figure of the scoreboard."""
    return _ADAPTER.dump_json(card, indent=1).decode("utf-8")


def to_markdown(card: Card) -> str:
    """Return the card as Markdown. Prompts and answers are in fences longer than any inside them."""
    parts = [f"# {inline(card.title)}"]
    sides = [(card.words("before"), card.base), (card.words("after"), card.adapter)]
    for place, pair in enumerate(card.pairs, 1):
        if len(card.pairs) > 1:
            parts.append(f"## {card.words('one_of', number=place, total=len(card.pairs))}")
        parts.append(f"**{card.words('prompt')}**\n\n{fenced(pair.prompt)}")
        for (side, name), answer in zip(sides, (pair.before, pair.after), strict=True):
            shown = fenced(answer) if answer.strip() else f"*{card.words('empty')}*"
            parts.append(f"**{side}** · {inline(name)}\n\n{shown}")
    if card.scoreboard:
        parts.append(f"## {card.words('scoreboard')}\n\n{table(card.scoreboard, card.language)}")
    facts = [inline(line) for line in card.recipe]
    if card.data_hash:
        facts.append(f"{card.words('data')}: {inline(card.data_hash)}")
    if card.loss_line:
        facts.append(f"{card.loss_line} {_spark(card.losses)}")
    if card.date:
        facts.append(f"{card.words('date')}: {inline(card.date)}")
    if facts:
        parts.append(f"## {card.words('recipe')}\n\n" + "\n".join(f"- {fact}" for fact in facts))
    if card.reading_lines:
        parts.append(f"## {card.words('reading')}\n\n" + "\n".join(f"- {inline(line)}" for line in card.reading_lines))
    parts.append(f"*{card.words('made')}*")
    return "\n\n".join(parts) + "\n"


def table(board: Scoreboard, language: str) -> str:
    """Return a scoreboard as a Markdown table, with its notes under it."""
    heads = ("measure", "before", "after", "reference", "gain", "verdict")
    rows = [[text(f"card.{name}", language) for name in heads], [":--", "--:", "--:", "--:", "--:", ":--"]]
    for row in rows_of(board, language):
        rows.append(
            [f"{row.title} ({row.direction})", row.before, row.after, row.reference, row.gain, row.verdict_words]
        )
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes_of(board, language))])


def _spark(losses: Sequence[float]) -> str:
    points = thinned(losses, _BAR_COUNT)
    low, span = min(points), max(points) - min(points)
    return "".join(_BARS[round((point - low) / span * (len(_BARS) - 1)) if span else 0] for point in points)


def fenced(content: str, language: str = "text") -> str:
    """Return a text in a fence longer than any inside it; `language` is what it is written in."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{clean(content)}\n{fence}"


def inline(content: str) -> str:
    """Return a text as one line of Markdown in which nothing has a meaning of its own."""
    line = " ".join(clean(content).split())
    line = re.sub(r"([\\`*_\[\]<>#|~&@!$])", r"\\\1", line)
    return re.sub(r"^(\d+(?=[.)])|(?=[-+=]))", r"\1\\", line)  # what would begin a list or underline a heading
