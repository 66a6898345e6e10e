"""The card as a picture of a fixed size for social posts: the first prompt, both answers, and what the run was."""

import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from studio.compare import fonts
from studio.compare.fonts import Face, Faces
from studio.compare.measures import is_hangul
from studio.compare.report import Card, ScoreRow, clean, thinned
from studio.errors import CompareError

SIZES = {"square": (1080, 1080), "landscape": (1200, 675), "portrait": (1080, 1350)}
"""Width and height in pixels."""

HEADLINES = ("perplexity", "marker", "chrf", "ends")
"""The first three of these that were taken are shown on the picture, whether they got better or not."""

_SIZES = (84, 72, 60, 50, 43, 38, 34, 30, 27, 24, 22, 20)
"""Type sizes of an answer in pixels, the largest first."""
_RECIPE_LINES = 2
_INSIDE, _PANEL_HEAD = 26, 58
"""Space beside an answer, and from the top of its panel to its first line."""
_SCALE = 2
"""Drawn twice as large and made smaller again, so that corners and the curve are smooth."""
_LONGEST = 4000
"""Characters of a text that are looked at; no picture holds as many."""
_PAGE, _CARD, _LINE, _INK, _QUIET = "#f8f9fb", "#ffffff", "#e3e7ed", "#202939", "#4b5565"
_BEFORE, _ACCENT, _GOOD, _WARN = "#98a2b3", "#0d9488", "#0f766e", "#9a4a08"
_COLOURS = {"better": _GOOD, "worse": _WARN, "unclear": _QUIET}
_BOX = "□"
_STAND_INS = {"→": ">", "−": "-", "–": "-", "—": "-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "·": "-"}
"""What is drawn instead where a font lacks a sign of typography."""
_UNSEEN = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U0001f3fb-\U0001f3ff\U000e0000-\U000e007f]"
)
"""Marks that only change the character before them (joiners, variants, skin tones) or the direction of text."""


@dataclass(frozen=True)
class Fitted:
    """A text broken into lines that fit."""

    lines: list[str]
    size: int
    cut: bool

    @property
    def height(self) -> int:
        """Height of all lines, in pixels."""
        return len(self.lines) * _leading(self.size)


@dataclass
class _Canvas:
    """A picture that is drawn on in pixels of the finished size."""

    width: int
    height: int
    faces: Faces
    undrawn: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (self.width * _SCALE, self.height * _SCALE), _PAGE)
        self._draw = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, words: str, size: int, colour: str = _INK, bold: bool = False) -> float:
        """Draw one line with its top left corner at x, y; return its right edge."""
        baseline = y + _leading(size) / 2 + 0.36 * size  # capitals and Hangul stand in the middle, whatever the font
        font = self._face(bold).at(size * _SCALE)
        self._draw.text((x * _SCALE, baseline * _SCALE), words, font=font, fill=colour, anchor="ls")
        return x + self.measure(words, size, bold)

    def measure(self, words: str, size: int, bold: bool = False) -> float:
        """Return the width of one line."""
        return self._face(bold).at(size * _SCALE).getlength(words) / _SCALE

    def drawable(self, words: str, bold: bool = False) -> str:
        """Return a text in which every character that the font lacks is a box; those are remembered."""
        content = unicodedata.normalize("NFC", clean(words[:_LONGEST])).expandtabs(4)
        return "".join(self._drawable(character, self._face(bold)) for character in _UNSEEN.sub("", content))

    def _drawable(self, character: str, face: Face) -> str:
        if face.draws(character):
            return character
        if character in _STAND_INS:
            return _STAND_INS[character]
        self.undrawn.add(character)
        return _BOX if face.draws(_BOX) else "?"

    def fit(self, words: str, width: float, height: float, sizes: Sequence[int], bold: bool = False) -> Fitted:
        """Break a text into lines in the largest size that fits; in the smallest one it is cut."""
        content = self.drawable(words.strip(), bold)
        longer = len(words.strip()) > _LONGEST
        for size in sizes:
            room = max(1, int(height // _leading(size)))
            lines = wrap(content, width, lambda text, size=size: self.measure(text, size, bold))
            if len(lines) <= room and not longer:
                return Fitted(lines, size, cut=False)
        last, dots = lines[:room][-1].rstrip(" ,.;:"), self._drawable("…", self._face(bold))
        while last and self.measure(last + dots, size, bold) > width:
            last = last[:-1].rstrip()
        return Fitted([*lines[: room - 1], last + dots], size, cut=True)

    def lines(self, x: float, y: float, fitted: Fitted, colour: str = _INK, bold: bool = False) -> None:
        """Draw what `fit` has broken into lines."""
        for number, line in enumerate(fitted.lines):
            self.text(x, y + number * _leading(fitted.size), line, fitted.size, colour, bold)

    def panel(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Draw a white panel with a bar of `colour` along its top."""
        self._rounded(x, y, width, height, 18, [(0, 0, width, height, _CARD), (0, 0, width, 6, colour)])
        box = [c * _SCALE for c in (x, y, x + width, y + height)]
        self._draw.rounded_rectangle(box, 18 * _SCALE, outline=_LINE, width=_SCALE)
        self._rounded(x, y, width, 6, 18, [(0, 0, width, 6, colour)], below=18)

    def mark(self, x: float, y: float, size: float) -> None:
        """Draw the studio's mark: half grey, half teal."""
        halves = [(0, 0, size / 2, size, "#ccd3dd"), (size / 2, 0, size, size, _ACCENT)]
        self._rounded(x, y, size, size, size * 0.3, halves)

    def curve(self, x: float, y: float, width: float, height: float, losses: Sequence[float]) -> None:
        """Draw the sparkline."""
        points = thinned(losses, 90)
        low, high = min(points), max(points)
        across, down = width / max(len(points) - 1, 1), height / ((high - low) or 1)
        places = [((x + i * across) * _SCALE, (y + (high - p) * down) * _SCALE) for i, p in enumerate(points)]
        self._draw.line(places, fill=_ACCENT, width=3 * _SCALE, joint="curve")
        (right, bottom), radius = places[-1], 5 * _SCALE
        self._draw.ellipse((right - radius, bottom - radius, right + radius, bottom + radius), fill=_ACCENT)

    def finished(self) -> bytes:
        """Return the picture as PNG."""
        from PIL import Image

        file = io.BytesIO()
        small = self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        small.save(file, "PNG", optimize=True)
        return file.getvalue()

    def _rounded(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        radius: float,
        areas: Sequence[tuple[float, float, float, float, str]],
        below: float = 0,
    ) -> None:
        """Fill areas, clipped to a rounded rectangle that goes on for `below` pixels under what is seen."""
        from PIL import Image, ImageDraw

        size = (round(width * _SCALE), round(height * _SCALE))
        patch, mask = Image.new("RGB", size), Image.new("L", size)
        for *box, colour in areas:
            ImageDraw.Draw(patch).rectangle([c * _SCALE for c in box], fill=colour)
        whole = (0, 0, size[0] - 1, size[1] - 1 + below * _SCALE)
        ImageDraw.Draw(mask).rounded_rectangle(whole, radius * _SCALE, fill=255)
        self.image.paste(patch, (round(x * _SCALE), round(y * _SCALE)), mask)

    def _face(self, bold: bool) -> Face:
        return self.faces.bold if bold else self.faces.regular


def wrap(content: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break a text at spaces, and inside a word only where it is wider than a line; its own line breaks stay."""
    lines: list[str] = []
    for paragraph in content.splitlines() or [""]:
        line = ""
        for word in re.findall(r"\s*\S+", paragraph):
            if measure(line + word) <= width:
                line += word
                continue
            if line:
                lines.append(line)
            line = word.lstrip()
            while measure(line) > width and len(line) > 1:
                fits = _widest(line, width, measure)
                lines.append(line[:fits])
                line = line[fits:]
        lines.append(line)
    return lines


def _widest(word: str, width: float, measure: Callable[[str], float]) -> int:
    """Return how many characters of a word fit in a line, at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(word[:middle]) <= width else (low, middle - 1)
    return low


def _leading(size: int) -> int:
    return round(size * 1.5)


def to_png(card: Card, size: str = "square", pair: int = 0) -> bytes:
    """Return the card as a picture of one of `SIZES`, with the pair at index `pair`.

    Text that does not fit ends in an ellipsis, and the panel says that it is cut; characters that no font here has are
    drawn as boxes, and counted. Raises CompareError for an unknown size, and for Korean text without a Korean font.
    """
    if size not in SIZES:
        raise CompareError("compare.card_size", size=str(size)[:40], sizes=", ".join(SIZES))
    canvas = _Canvas(*SIZES[size], fonts.find(_has_hangul(card, pair)))
    return _Drawing(card, pair, canvas, wide=size == "landscape", stacked=size == "portrait").drawn()


def _has_hangul(card: Card, pair: int) -> bool:
    shown = card.pairs[pair]
    texts = [card.title, card.base, card.adapter, card.words("before"), shown.prompt, shown.before, shown.after]
    return any(map(is_hangul, "".join([*texts, *card.recipe])))


@dataclass
class _Drawing:
    """One card on one canvas, from top to bottom."""

    card: Card
    pair: int
    canvas: _Canvas
    wide: bool
    stacked: bool

    def drawn(self) -> bytes:
        """Draw everything and return the picture."""
        shown, margin = self.card.pairs[self.pair], 48 if self.wide else 56
        for words in (self.card.title, shown.prompt, shown.before, shown.after, *self.card.recipe):
            self.canvas.drawable(words)  # so that the foot can say what has no glyph
        left, width = margin, self.canvas.width - 2 * margin
        top = self._head(left, margin - 10, width)
        top = self._prompt(left, top, width)
        bottom = self._foot(left, self.canvas.height - margin + 8, width)
        bottom = self._scores(left, bottom, width)
        self._sides(left, top, width, bottom - top)
        return self.canvas.finished()

    def _head(self, left: float, top: float, width: float) -> float:
        canvas, card, size = self.canvas, self.card, 30 if self.wide else 36
        date = canvas.drawable(card.date)[:40]
        date_width = canvas.measure(date, 20)
        canvas.mark(left, top + (_leading(size) - size) / 2, size)
        room = width - size - 16 - (date_width + 24 if date else 0)
        title = canvas.fit(" ".join(card.title.split()), room, _leading(size), [size], bold=True)
        canvas.lines(left + size + 16, top, title, bold=True)
        canvas.text(left + width - date_width, top + (_leading(size) - _leading(20)) / 2, date, 20, _QUIET)
        return top + _leading(size) + (12 if self.wide else 24)

    def _prompt(self, left: float, top: float, width: float) -> float:
        canvas, card, total = self.canvas, self.card, len(self.card.pairs)
        label = canvas.drawable(card.words("prompt"))
        canvas.text(left, top, label, 18, _QUIET, bold=True)
        if total > 1:
            count = canvas.drawable(card.words("one_of", number=self.pair + 1, total=total))
            canvas.text(left + width - canvas.measure(count, 18), top, count, 18, _QUIET)
        top += _leading(18) + 2
        sizes = [26, 24, 22] if self.wide else [32, 28, 25]
        fitted = canvas.fit(card.pairs[self.pair].prompt, width, 2 * _leading(sizes[0]), sizes, bold=True)
        canvas.lines(left, top, fitted, bold=True)
        if fitted.cut:
            right = left + canvas.measure(label, 18, bold=True) + 14
            canvas.text(right, top - _leading(18) - 2, self._cut_words(), 18, _WARN)
        return top + fitted.height + (16 if self.wide else 24)

    def _sides(self, left: float, top: float, width: float, height: float) -> None:
        """Draw both answers in one size of type, side by side or one above the other."""
        card, shown, gap = self.card, self.card.pairs[self.pair], 24
        each = width if self.stacked else (width - gap) / 2
        heights = [height, height]
        if self.stacked:
            needs = [
                self._fitted(answer, each, height, _SIZES[-2:]).height + 90 for answer in (shown.before, shown.after)
            ]
            share = min(max(needs[0] / sum(needs), 0.3), 0.7)
            heights = [(height - gap) * share, (height - gap) * (1 - share)]
        rooms = list(zip((shown.before, shown.after), heights, strict=True))
        size = min(self._fitted(answer, each, tall, _SIZES).size for answer, tall in rooms)
        spare = min(tall - self._fitted(answer, each, tall, [size]).height for answer, tall in rooms)
        lead = max(0, spare - _PANEL_HEAD - 16) / 3  # short answers stand a little above the middle, on one line
        y = top
        for side, name, (answer, tall) in zip(("before", "after"), (card.base, card.adapter), rooms, strict=True):
            x = left + (each + gap if side == "after" and not self.stacked else 0)
            self._panel(x, y, each, tall, side, name, answer, size, lead)
            y += tall + gap if self.stacked else 0

    def _fitted(self, answer: str, width: float, height: float, sizes: Sequence[int]) -> Fitted:
        """Fit an answer into a panel."""
        content = answer if answer.strip() else self.card.words("empty")
        return self.canvas.fit(content, width - 2 * _INSIDE, height - _PANEL_HEAD - 16, sizes)

    def _panel(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        side: str,
        name: str,
        answer: str,
        size: int,
        lead: float,
    ) -> None:
        canvas, after = self.canvas, side == "after"
        canvas.panel(x, y, width, height, _ACCENT if after else _BEFORE)
        left, edge, top = x + _INSIDE, x + width - _INSIDE, y + 18
        fitted = self._fitted(answer, width, height, [size])
        note = self._cut_words() if fitted.cut else ""
        label = canvas.text(left, top, self.card.words(side), 20, _GOOD if after else _QUIET, bold=True)
        room = edge - label - 14 - (canvas.measure(note, 18) + 14 if note else 0)
        canvas.lines(label + 14, top + 1.5, canvas.fit(name, room, _leading(18), [18]), _QUIET)
        canvas.text(edge - canvas.measure(note, 18), top + 1.5, note, 18, _WARN)
        canvas.lines(left, y + _PANEL_HEAD + lead, fitted, _INK if answer.strip() else _QUIET)

    def _cut_words(self) -> str:
        return f"✂ {self.card.words('cut')}" if self._has("✂") else self.card.words("cut")

    def _has(self, character: str) -> bool:
        return self.canvas.faces.regular.draws(character)

    def _foot(self, left: float, bottom: float, width: float) -> float:
        """Draw recipe, data and loss above `bottom`, and return where they begin."""
        canvas, card, size = self.canvas, self.card, 18
        about = [card.words("rows", rows=card.scoreboard.rows)] if card.scoreboard else []
        about += [f"{card.words('data')} {card.data_hash[:12]}"] if card.data_hash else []
        about += [card.words("undrawn", count=len(canvas.undrawn))] if canvas.undrawn else []
        about.append(card.words("made"))
        chart = 200 if card.loss_line else 0
        room = width - (chart + 40 if chart else 0)
        recipe = self._packed(card.recipe, room, size)
        if len(recipe) > _RECIPE_LINES:
            recipe = [*recipe[: _RECIPE_LINES - 1], f"{recipe[_RECIPE_LINES - 1]} · …"]
        lines = [*recipe, *self._packed(about, room, size)]
        fitted = [canvas.fit(line, room, _leading(size), [size]) for line in lines]
        height = max(sum(part.height for part in fitted), 84 if chart else 0)
        top = bottom - height
        if chart:
            words = canvas.drawable(card.loss_line.split(". ")[0])
            canvas.curve(left + width - chart, bottom - 78, chart - 6, 40, card.losses)
            canvas.text(left + width - max(chart, canvas.measure(words, size)), bottom - 30, words, size, _QUIET)
        line = bottom - sum(part.height for part in fitted)
        for part in fitted:
            canvas.lines(left, line, part, _QUIET)
            line += part.height
        return top - (16 if self.wide else 22)

    def _packed(self, items: Sequence[str], width: float, size: int) -> list[str]:
        """Put items into lines, as many as fit in each."""
        lines: list[str] = []
        for item in (" ".join(item.split()) for item in items):
            longer = f"{lines[-1]} · {item}" if lines else item
            if lines and self.canvas.measure(self.canvas.drawable(longer), size) <= width:
                lines[-1] = longer
            else:
                lines.append(item)
        return lines

    def _scores(self, left: float, bottom: float, width: float) -> float:
        """Draw the headline measures side by side above `bottom`, and return where they begin."""
        rows = [row for name in HEADLINES for row in self.card.rows if row.name == name][:3]
        if not rows:
            return bottom
        height, gap = (62 if self.wide else 96), 24
        each = (width - gap * (len(rows) - 1)) / len(rows)
        for place, row in enumerate(rows):
            self._score(left + place * (each + gap), bottom - height, each, row)
        return bottom - height - (16 if self.wide else 22)

    def _score(self, x: float, y: float, width: float, row: ScoreRow) -> None:
        canvas, size = self.canvas, 22 if self.wide else 28
        canvas.lines(x, y, canvas.fit(row.title, width, _leading(18), [18, 16]), _QUIET)
        y += _leading(18)
        figures = canvas.drawable(f"{row.before} → {row.after}", bold=True)
        right = canvas.text(x, y, figures, size, bold=True)
        sign, words = row.verdict_words.split(" ", 1)
        verdict = f"{sign} {words}" if self._has(sign) else words
        place = (right + 10, y + (_leading(size) - _leading(18)) / 2) if self.wide else (x, y + _leading(size))
        canvas.lines(*place, canvas.fit(verdict, x + width - place[0], _leading(18), [18]), _COLOURS[row.verdict])
