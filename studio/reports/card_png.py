"""The card as a picture of a fixed size for social posts: the first prompt, both answers, and what the run was."""

from collections.abc import Sequence
from dataclasses import dataclass

from studio.data.language import is_hangul
from studio.errors import CompareError
from studio.reports import fonts
from studio.reports.canvas import ACCENT, BEFORE, GOOD, INK, MUTED, WARN, Canvas, FittedText, line_height
from studio.reports.comparison_card import Card, ScoreRow, Side

SIZES = {"square": (1080, 1080), "landscape": (1200, 675), "portrait": (1080, 1350)}

HEADLINE_METRICS = ("perplexity", "marker", "chrf", "ends")
"""The picture shows the first three of these that the scoreboard has, better or not."""

_ANSWER_FONT_SIZES = (84, 72, 60, 50, 43, 38, 34, 30, 27, 24, 22, 20)
_RECIPE_LINES = 2
_PANEL_PADDING, _PANEL_HEAD = 26, 58  # space beside an answer, and from the top of its panel to its first line
_COLOURS = {"better": GOOD, "worse": WARN, "unclear": MUTED}


def to_png(card: Card, size: str = "square") -> bytes:
    """Return the card as a picture of one of `SIZES`, with its first pair.

    Text that does not fit ends in an ellipsis, and the panel says that it is cut; characters that no font here has are
    drawn as boxes, and counted. Raises CompareError for an unknown size, and for Korean text without a Korean font.
    """
    if size not in SIZES:
        raise CompareError("compare.card_size", size=str(size)[:40], sizes=", ".join(SIZES))
    sides = [part for side in card.sides(card.pairs[0]) for part in (side.title, side.name, side.answer)]
    words = "".join([card.title, card.pairs[0].prompt, *sides, *card.recipe])
    canvas = Canvas(*SIZES[size], fonts.find(any(map(is_hangul, words))))
    return _Drawing(card, canvas, wide=size == "landscape", stacked=size == "portrait").draw()


@dataclass
class _Drawing:
    """One card on one canvas, from top to bottom."""

    card: Card
    canvas: Canvas
    wide: bool
    stacked: bool

    def draw(self) -> bytes:
        answers, margin = self.card.pairs[0], 48 if self.wide else 56
        for words in (self.card.title, answers.prompt, *answers.answers, *self.card.recipe):
            self.canvas.drawable(words)  # so that the foot can say what has no glyph
        left, width = margin, self.canvas.width - 2 * margin
        top = self._head(left, margin - 10, width)
        top = self._prompt(left, top, width)
        bottom = self._draw_footer(left, self.canvas.height - margin + 8, width)
        bottom = self._scores(left, bottom, width)
        self._sides(left, top, width, bottom - top)
        return self.canvas.to_png()

    def _head(self, left: float, top: float, width: float) -> float:
        canvas, card, size = self.canvas, self.card, 30 if self.wide else 36
        date = canvas.drawable(card.date)[:40]
        date_width = canvas.measure(date, 20)
        canvas.mark(left, top + (line_height(size) - size) / 2, size)
        room = width - size - 16 - (date_width + 24 if date else 0)
        title = canvas.fit(" ".join(card.title.split()), room, line_height(size), [size], bold=True)
        canvas.lines(left + size + 16, top, title, bold=True)
        canvas.text(left + width - date_width, top + (line_height(size) - line_height(20)) / 2, date, 20, MUTED)
        return top + line_height(size) + (12 if self.wide else 24)

    def _prompt(self, left: float, top: float, width: float) -> float:
        canvas, card, total = self.canvas, self.card, len(self.card.pairs)
        label = canvas.drawable(card.words("prompt"))
        canvas.text(left, top, label, 18, MUTED, bold=True)
        if total > 1:
            count = canvas.drawable(card.words("one_of", number=1, total=total))
            canvas.text(left + width - canvas.measure(count, 18), top, count, 18, MUTED)
        top += line_height(18) + 2
        sizes = [26, 24, 22] if self.wide else [32, 28, 25]
        fitted = canvas.fit(card.pairs[0].prompt, width, 2 * line_height(sizes[0]), sizes, bold=True)
        canvas.lines(left, top, fitted, bold=True)
        if fitted.cut:
            right = left + canvas.measure(label, 18, bold=True) + 14
            canvas.text(right, top - line_height(18) - 2, self._cut_words(), 18, WARN)
        return top + fitted.height + (16 if self.wide else 24)

    def _sides(self, left: float, top: float, width: float, height: float) -> None:
        """Draw the answers in one size of type, side by side or in rows."""
        gap, sides = 24, self.card.sides(self.card.pairs[0])
        is_grid = len(sides) > (3 if self.stacked else 2)
        in_row = len(sides) if self.wide else 2 if is_grid or not self.stacked else 1
        rows = [sides[first : first + in_row] for first in range(0, len(sides), in_row)]
        widths = [(width - gap * (len(row) - 1)) / len(row) for row in rows]
        room = height - gap * (len(rows) - 1)
        heights = [room * share for share in self._shares(rows, widths, room)]
        panels = [(side, each, tall) for row, each, tall in zip(rows, widths, heights, strict=True) for side in row]
        size = min(self._fitted(side.answer, each, tall, _ANSWER_FONT_SIZES).size for side, each, tall in panels)
        spare = min(tall - self._fitted(side.answer, each, tall, [size]).height for side, each, tall in panels)
        lead = max(0, spare - _PANEL_HEAD - 16) / 3  # short answers stand a little above the middle, on one line
        y = top
        for row, each, tall in zip(rows, widths, heights, strict=True):
            for place, side in enumerate(row):
                self._panel(left + place * (each + gap), y, each, tall, side, size, lead)
            y += tall + gap

    def _shares(self, rows: Sequence[Sequence[Side]], widths: Sequence[float], room: float) -> list[float]:
        """Return the share of the height that each row of panels gets: by its longest answer, and at least 0.6 of
        an equal one.
        """
        smallest = _ANSWER_FONT_SIZES[-2:]
        needs = [
            max(self._fitted(side.answer, each, room, smallest).height + 90 for side in row)
            for row, each in zip(rows, widths, strict=True)
        ]
        least = 0.6 / len(rows)
        shares = [max(need / sum(needs), least) for need in needs]
        excess, spare = sum(shares) - 1, sum(share - least for share in shares)
        return [share - excess * (share - least) / spare if spare else share for share in shares]

    def _fitted(self, answer: str, width: float, height: float, sizes: Sequence[int]) -> FittedText:
        content = answer if answer.strip() else self.card.words("empty")
        return self.canvas.fit(content, width - 2 * _PANEL_PADDING, height - _PANEL_HEAD - 16, sizes)

    def _panel(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        side: Side,
        size: int,
        lead: float,
    ) -> None:
        canvas, answer, after = self.canvas, side.answer, side.kind != "before"
        canvas.panel(x, y, width, height, ACCENT if after else BEFORE)
        left, edge, top = x + _PANEL_PADDING, x + width - _PANEL_PADDING, y + 18
        fitted = self._fitted(answer, width, height, [size])
        note = self._cut_words() if fitted.cut else ""
        label = canvas.text(left, top, side.title, 20, GOOD if after else MUTED, bold=True)
        room = edge - label - 14 - (canvas.measure(note, 18) + 14 if note else 0)
        canvas.lines(label + 14, top + 1.5, canvas.fit(side.name, room, line_height(18), [18]), MUTED)
        canvas.text(edge - canvas.measure(note, 18), top + 1.5, note, 18, WARN)
        canvas.lines(left, y + _PANEL_HEAD + lead, fitted, INK if answer.strip() else MUTED)

    def _cut_words(self) -> str:
        return f"✂ {self.card.words('cut')}" if self.canvas.has("✂") else self.card.words("cut")

    def _draw_footer(self, left: float, bottom: float, width: float) -> float:
        """Draw recipe, data and loss above `bottom`, and return where they begin."""
        canvas, card, size = self.canvas, self.card, 18
        about = [card.words("rows", rows=card.scoreboard.rows)] if card.scoreboard else []
        about[:0] = [card.style_line] if card.style_line else []
        about += [f"{card.words('data')} {card.data_hash[:12]}"] if card.data_hash else []
        about += [card.words("undrawn", count=len(canvas.missing_glyphs))] if canvas.missing_glyphs else []
        about.append(card.words("made"))
        chart = 200 if card.loss_line else 0
        room = width - (chart + 40 if chart else 0)
        recipe = self._packed(card.recipe, room, size)
        if len(recipe) > _RECIPE_LINES:
            recipe = [*recipe[: _RECIPE_LINES - 1], f"{recipe[_RECIPE_LINES - 1]} · …"]
        lines = [*recipe, *self._packed(about, room, size)]
        fitted = [canvas.fit(line, room, line_height(size), [size]) for line in lines]
        height = max(sum(part.height for part in fitted), 84 if chart else 0)
        top = bottom - height
        if chart:
            words = canvas.drawable(card.loss_line.split(". ")[0])
            canvas.curve(left + width - chart, bottom - 78, chart - 6, 40, card.losses)
            canvas.text(left + width - max(chart, canvas.measure(words, size)), bottom - 30, words, size, MUTED)
        line = bottom - sum(part.height for part in fitted)
        for part in fitted:
            canvas.lines(left, line, part, MUTED)
            line += part.height
        return top - (16 if self.wide else 22)

    def _packed(self, items: Sequence[str], width: float, size: int) -> list[str]:
        lines: list[str] = []
        for item in (" ".join(item.split()) for item in items):
            longer = f"{lines[-1]} · {item}" if lines else item
            if lines and self.canvas.measure(self.canvas.drawable(longer), size) <= width:
                lines[-1] = longer
            else:
                lines.append(item)
        return lines

    def _scores(self, left: float, bottom: float, width: float) -> float:
        rows = [row for name in HEADLINE_METRICS for row in self.card.rows if row.name == name][:3]
        if not rows:
            return bottom
        height, gap = (62 if self.wide else 96), 24
        each = (width - gap * (len(rows) - 1)) / len(rows)
        for place, row in enumerate(rows):
            self._score(left + place * (each + gap), bottom - height, each, row)
        return bottom - height - (16 if self.wide else 22)

    def _score(self, x: float, y: float, width: float, row: ScoreRow) -> None:
        canvas, size = self.canvas, 22 if self.wide else 28
        canvas.lines(x, y, canvas.fit(row.title, width, line_height(18), [18, 16]), MUTED)
        y += line_height(18)
        figures = canvas.drawable(f"{row.before} → {row.after}", bold=True)
        right = canvas.text(x, y, figures, size, bold=True)
        sign, words = row.verdict_words.split(" ", 1)
        verdict = f"{sign} {words}" if self.canvas.has(sign) else words
        place = (right + 10, y + (line_height(size) - line_height(18)) / 2) if self.wide else (x, y + line_height(size))
        canvas.lines(*place, canvas.fit(verdict, x + width - place[0], line_height(18), [18]), _COLOURS[row.verdict])
