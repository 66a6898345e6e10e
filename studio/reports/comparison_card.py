"""A before/after card: prompts, the answers of base and adapter, and the run. Here its content, as Markdown and JSON;
`card_html` makes the page and `card_png` the pictures.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from pydantic import ConfigDict

from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.evaluate.scoreboard import Score, Scoreboard, Verdict
from studio.i18n import DEFAULT_LANGUAGE, Message, text
from studio.train.diagnosis import Diagnosis

VERDICT_SIGNS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "unclear": "="}
"""Shown beside a verdict, so that colour is never the only sign."""
_BARS = "▁▂▃▄▅▆▇█"
_BAR_COUNT = 32


@dataclass(frozen=True)
class SampleTimeline:
    """A few answers to one prompt during the training."""

    prompt: str
    answers: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Card:
    """The content of a card. All texts are plain: nothing in them is taken for markup."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="strings")

    title: str
    base: str
    adapter: str
    pairs: tuple[AnswerPair, ...]
    recipe: tuple[str, ...] = ()
    """The main settings, one line each."""
    data_hash: str = ""
    losses: tuple[float, ...] = ()
    reading: Diagnosis | None = None
    """The diagnosis of the run's curves."""
    stills: tuple[SampleTimeline, ...] = ()
    """How answers changed during the training."""
    scoreboard: Scoreboard | None = None
    style: Message | None = None
    """What the meter says of the adapter, in a sentence."""
    date: str = ""
    language: str = DEFAULT_LANGUAGE

    def __post_init__(self) -> None:
        """Refuse a card without answers; raises CompareError."""
        if not self.pairs:
            raise CompareError("compare.no_pairs")

    def words(self, name: str, /, **values: object) -> str:
        """Return words of the card in its language."""
        return text(f"card.{name}", self.language, **values)

    def sides(self, pair: AnswerPair) -> "list[Side]":
        """Return the columns of a pair, as they are named on the card."""
        names = pair.names or (self.base, self.adapter)
        titles = (self.words("before"), self.words("after"), "3", "4")
        return [Side(*each) for each in zip(_KINDS, titles, names, pair.answers, strict=False)]

    @property
    def style_line(self) -> str:
        """What the meter says, in the card's language; empty when it was not measured."""
        return self.style.text(self.language) if self.style else ""

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
        return scoreboard_rows(self.scoreboard, self.language) if self.scoreboard else []

    @property
    def notes(self) -> list[str]:
        """What belongs under the scoreboard: rows, intervals, choices, and what was left out; empty without one."""
        return scoreboard_notes(self.scoreboard, self.language) if self.scoreboard else []


_KINDS = ("before", "after", "third", "fourth")


class Side(NamedTuple):
    """One column of a card."""

    kind: str
    """`before`, `after`, `third` or `fourth`."""
    title: str
    name: str
    """What the model is called."""
    answer: str


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


def scoreboard_rows(board: Scoreboard, language: str) -> list[ScoreRow]:
    """Return a scoreboard in words."""
    return [_row(score, language) for score in board.scores]


def scoreboard_notes(board: Scoreboard, language: str) -> list[str]:
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
        interval = " [{}, {}]".format(*(format_signed(value) for value in score.gain_interval))
    return ScoreRow(
        name=score.name,
        title=text(f"compare.measures.{score.name}.name", language),
        direction=text(f"compare.direction.{score.direction}", language),
        before=format_number(score.before),
        after=format_number(score.after),
        reference=format_number(score.reference) if score.direction == "closer" and score.reference is not None else "",
        gain=format_signed(score.gain) + interval,
        verdict=score.verdict,
        verdict_words=f"{VERDICT_SIGNS[score.verdict]} {text(f'compare.verdict.{score.verdict}', language)}",
    )


def format_number(value: float) -> str:
    """Return a figure with about three digits (`0.53`, `12.0`, `1,204`)."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals}f}".replace("-", "−")


def format_signed(value: float) -> str:
    """Return a figure with its sign."""
    return f"+{format_number(value)}" if value > 0 else format_number(value)


def finite(losses: Sequence[float]) -> list[float]:
    """Return the losses that are numbers."""
    return [loss for loss in losses if math.isfinite(loss)]


def downsample(losses: Sequence[float], most: int) -> list[float]:
    """Return at most `most` points of a curve, each the mean of its stretch; what is no number is left out."""
    known = finite(losses)
    count = min(most, len(known))
    edges = [len(known) * i // count for i in range(count + 1)] if count else [0]
    stretches = [known[a:b] for a, b in pairwise(edges)]
    return [sum(stretch) / len(stretch) for stretch in stretches]


def curve_places(
    losses: Sequence[float], most: int, box: tuple[float, float, float, float]
) -> list[tuple[float, float]]:
    """Return the points of a curve in a box (x, y, width, height), at most `most` of them; y grows downwards."""
    x, y, width, height = box
    points = downsample(losses, most)
    low, high = min(points, default=0.0), max(points, default=0.0)
    across, down = width / max(len(points) - 1, 1), height / ((high - low) or 1)
    return [(x + i * across, y + (high - point) * down) for i, point in enumerate(points)]


def remove_control_characters(content: str) -> str:
    """Return a text without what no format can hold: control characters and halves of surrogate pairs."""
    result = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", content.replace("\r\n", "\n"))
    return result.encode("utf-8", "replace").decode("utf-8")


def to_markdown(card: Card) -> str:
    """Return the card as Markdown. Prompts and answers are in fences longer than any inside them."""
    parts = [f"# {escape_inline(card.title)}"]
    if card.style_line:
        parts.append(f"> {escape_inline(card.style_line)}")
    for place, pair in enumerate(card.pairs, 1):
        if len(card.pairs) > 1:
            parts.append(f"## {card.words('one_of', number=place, total=len(card.pairs))}")
        parts.append(f"**{card.words('prompt')}**\n\n{fenced_block(pair.prompt)}")
        for side in card.sides(pair):
            block = fenced_block(side.answer) if side.answer.strip() else f"*{card.words('empty')}*"
            parts.append(f"**{side.title}** · {escape_inline(side.name)}\n\n{block}")
    if card.scoreboard:
        parts.append(f"## {card.words('scoreboard')}\n\n{table(card.scoreboard, card.language)}")
    facts = [escape_inline(line) for line in card.recipe]
    if card.data_hash:
        facts.append(f"{card.words('data')}: {escape_inline(card.data_hash)}")
    if card.loss_line:
        points = downsample(card.losses, _BAR_COUNT)
        low, span = min(points), (max(points) - min(points)) or 1
        bars = "".join(_BARS[round((point - low) / span * (len(_BARS) - 1))] for point in points)
        facts.append(f"{card.loss_line} {bars}")
    if card.date:
        facts.append(f"{card.words('date')}: {escape_inline(card.date)}")
    if facts:
        parts.append(f"## {card.words('recipe')}\n\n" + "\n".join(f"- {fact}" for fact in facts))
    if card.reading_lines:
        parts.append(
            f"## {card.words('reading')}\n\n" + "\n".join(f"- {escape_inline(line)}" for line in card.reading_lines)
        )
    parts.append(f"*{card.words('made')}*")
    return "\n\n".join(parts) + "\n"


def table(board: Scoreboard, language: str) -> str:
    """Return a scoreboard as a Markdown table, with its notes under it."""
    heads = ("measure", "before", "after", "reference", "gain", "verdict")
    rows = [[text(f"card.{name}", language) for name in heads], [":--", "--:", "--:", "--:", "--:", ":--"]]
    for row in scoreboard_rows(board, language):
        rows.append(
            [f"{row.title} ({row.direction})", row.before, row.after, row.reference, row.gain, row.verdict_words]
        )
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in scoreboard_notes(board, language))])


def shortened(content: str, characters: int) -> str:
    """Return a text of at most about so many characters; one that was cut ends with the mark […]."""
    if len(content) <= characters:
        return content
    start = content[:characters]
    return f"{start[: max(start.rfind(' '), start.rfind(chr(10)), characters // 2)].rstrip()} […]"


def fenced_block(content: str, language: str = "text") -> str:
    """Return a text in a fence longer than any inside it; `language` is what it is written in."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{remove_control_characters(content)}\n{fence}"


def escape_inline(content: str) -> str:
    """Return a text as one line of Markdown in which nothing has a meaning of its own."""
    line = " ".join(remove_control_characters(content).split())
    line = re.sub(r"([\\`*_\[\]<>#|~&@!$])", r"\\\1", line)
    return re.sub(r"^(\d+(?=[.)])|(?=[-+=]))", r"\1\\", line)  # what would begin a list or underline a heading


def inline_code(content: str) -> str:
    """Return a text as inline code on one line; where a table or a backtick forbids that, as plain text."""
    line = " ".join(remove_control_characters(content).split())
    return escape_inline(line) if "`" in line or "|" in line else f"`{line}`"
