"""A canvas for pictures with text: lines that fit, panels, curves; drawn with the fonts that are here."""

import io
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.reports.comparison_card import curve_places, remove_control_characters
from studio.reports.fonts import Face, Faces

_SCALE = 2  # drawn twice as large and made smaller again, so that corners and the curve are smooth
_MAX_CHARACTERS = 4000  # characters of a text that are looked at; no picture holds as many
PAGE, PANEL, LINE, INK, MUTED = "#f8f9fb", "#ffffff", "#e3e7ed", "#202939", "#4b5565"
BEFORE, ACCENT, GOOD, WARN = "#98a2b3", "#0d9488", "#0f766e", "#9a4a08"
_BOX = "□"
_SUBSTITUTES = {"→": ">", "−": "-", "–": "-", "—": "-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "·": "-"}
"""What is drawn instead where a font lacks a sign of typography."""
_INVISIBLE = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U0001f3fb-\U0001f3ff\U000e0000-\U000e007f]"
)
"""Marks that only change the character before them (joiners, variants, skin tones) or the direction of text."""


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class FittedText:
    """A text broken into lines that fit."""

    lines: list[str]
    size: int
    cut: bool

    @property
    def height(self) -> int:
        """Height of all lines, in pixels."""
        return len(self.lines) * line_height(self.size)


@dataclass
class Canvas:
    """A picture that is drawn on in pixels of the finished size."""

    width: int
    height: int
    faces: Faces
    missing_glyphs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (self.width * _SCALE, self.height * _SCALE), PAGE)
        self._draw = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, words: str, size: int, colour: str = INK, bold: bool = False) -> float:
        """Draw one line with its top left corner at x, y; return its right edge."""
        baseline = y + line_height(size) / 2 + 0.36 * size  # capitals and Hangul are centred, whatever the font
        font = self._face(bold).at(size * _SCALE)
        self._draw.text((x * _SCALE, baseline * _SCALE), words, font=font, fill=colour, anchor="ls")
        return x + self.measure(words, size, bold)

    def measure(self, words: str, size: int, bold: bool = False) -> float:
        """Return the width of one line."""
        return self._face(bold).at(size * _SCALE).getlength(words) / _SCALE

    def drawable(self, words: str, bold: bool = False) -> str:
        """Return a text in which every character that the font lacks is a box; those are remembered."""
        content = unicodedata.normalize("NFC", remove_control_characters(words[:_MAX_CHARACTERS])).expandtabs(4)
        content, face = _INVISIBLE.sub("", content), self._face(bold)
        missing = {character for character in content if not face.draws(character)}
        self.missing_glyphs |= missing - _SUBSTITUTES.keys()
        box = _BOX if face.draws(_BOX) else "?"
        return content.translate({ord(character): _SUBSTITUTES.get(character, box) for character in missing})

    def fit(self, words: str, width: float, height: float, sizes: Sequence[int], bold: bool = False) -> FittedText:
        """Break a text into lines in the largest size that fits; in the smallest one it is cut."""
        content = self.drawable(words.strip(), bold)
        longer = len(words.strip()) > _MAX_CHARACTERS
        for size in sizes:
            room = max(1, int(height // line_height(size)))
            lines = wrap(content, width, lambda text, size=size: self.measure(text, size, bold))
            if len(lines) <= room and not longer:
                return FittedText(lines, size, cut=False)
        last, dots = lines[:room][-1].rstrip(" ,.;:"), self.drawable("…", bold)
        while last and self.measure(last + dots, size, bold) > width:
            last = last[:-1].rstrip()
        return FittedText([*lines[: room - 1], last + dots], size, cut=True)

    def lines(self, x: float, y: float, fitted: FittedText, colour: str = INK, bold: bool = False) -> None:
        """Draw what `fit` has broken into lines."""
        for number, line in enumerate(fitted.lines):
            self.text(x, y + number * line_height(fitted.size), line, fitted.size, colour, bold)

    def panel(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Draw a white panel with a bar of `colour` along its top."""
        self._rounded((x, y, width, height), 18, [(0, 0, width, height, PANEL), (0, 0, width, 6, colour)])
        box = [c * _SCALE for c in (x, y, x + width, y + height)]
        self._draw.rounded_rectangle(box, 18 * _SCALE, outline=LINE, width=_SCALE)
        self._rounded((x, y, width, 6), 18, [(0, 0, width, 6, colour)], below=18)

    def mark(self, x: float, y: float, size: float) -> None:
        """Draw the studio's mark: half grey, half teal."""
        halves = [(0, 0, size / 2, size, "#ccd3dd"), (size / 2, 0, size, size, ACCENT)]
        self._rounded((x, y, size, size), size * 0.3, halves)

    def curve(self, x: float, y: float, width: float, height: float, losses: Sequence[float]) -> None:
        """Draw the sparkline."""
        places = curve_places(losses, 90, (x, y, width, height))
        self.line(places, ACCENT, 3)
        self.dot(*places[-1], 5, ACCENT)

    def line(self, places: Sequence[tuple[float, float]], colour: str, width: int) -> None:
        """Draw a line through some places."""
        scaled = [(x * _SCALE, y * _SCALE) for x, y in places]
        self._draw.line(scaled, fill=colour, width=width * _SCALE, joint="curve")

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """Draw a filled circle."""
        self._draw.ellipse([c * _SCALE for c in (x - radius, y - radius, x + radius, y + radius)], fill=colour)

    def has(self, character: str) -> bool:
        """Whether the regular font draws a character."""
        return self.faces.regular.draws(character)

    def to_png(self) -> bytes:
        """Return the picture as PNG."""
        from PIL import Image

        file = io.BytesIO()
        small = self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        small.save(file, "PNG", optimize=True)
        return file.getvalue()

    def _rounded(self, box: Box, radius: float, areas: Sequence[tuple[Any, ...]], below: float = 0) -> None:
        """Fill areas, clipped to a rounded rectangle that extends `below` pixels under the visible part."""
        from PIL import Image, ImageDraw

        x, y, width, height = (round(c * _SCALE) for c in box)
        size = (width, height)
        patch, mask = Image.new("RGB", size), Image.new("L", size)
        for *area, colour in areas:
            ImageDraw.Draw(patch).rectangle([c * _SCALE for c in area], fill=colour)
        whole = (0, 0, size[0] - 1, size[1] - 1 + below * _SCALE)
        ImageDraw.Draw(mask).rounded_rectangle(whole, radius * _SCALE, fill=255)
        self.image.paste(patch, (x, y), mask)

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
            while (fits := _count_fitting(line, width, measure)) < len(line):
                lines.append(line[:fits])
                line = line[fits:]
        lines.append(line)
    return lines


def _count_fitting(line: str, width: float, measure: Callable[[str], float]) -> int:
    """Return how many characters of a line fit, at least 1; no text much wider than `width` is measured."""
    end = 1
    while end < len(line) and measure(line[:end]) <= width:
        end *= 2
    end = min(end, len(line))
    return max(1, bisect_right(range(1, end + 1), width, key=lambda count: measure(line[:count])))


def line_height(size: int) -> int:
    """Return the height of a line of a type size, in pixels."""
    return round(size * 1.5)
