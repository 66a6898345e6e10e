"""No name or answer breaks the layout of a card's picture."""

from types import SimpleNamespace

import pytest

from studio.compare.comparison import AnswerPair
from studio.reports import card_png, comparison_card
from studio.reports.canvas import Canvas, line_height, wrap

TEXTS = {
    "stacked marks": "a" + "\u0301\u0302\u0303\u0308\u030a" * 60,
    "marks alone": "\u0301" * 4000,
    "from right to left": "\u202e\u2067" + "abc " * 20,
    "Arabic": "مرحبا بالعالم " * 40,
    "one long word": "W" * 4100,
    "line breaks": "a\nb\r\nc\u2028d\x85e\x0bf\x0cg",
    "control characters": "".join(map(chr, range(32))) + "x",
    "tabs": "\t" * 3000 + "x",
    "wide": "﷽" * 100,
    "half a surrogate pair": "\ud800x\udfff",
    "nothing visible": "\u061c\u00ad" * 50,
}


@pytest.fixture
def drawn(monkeypatch):
    """Keep where each text was drawn."""
    boxes, plain = [], Canvas.text

    def text(self, x, y, words, size, *colour, **settings):
        place = x * 2, (y + line_height(size) / 2 + 0.36 * size) * 2
        font = self._face(settings.get("bold", False)).at(size * 2)
        if words.strip():
            left, top, right, bottom = (side / 2 for side in self._draw.textbbox(place, words, font=font, anchor="ls"))
            boxes.append(
                SimpleNamespace(words=words, left=left, right=right, above=y - top, below=bottom - y, size=size)
            )
        return plain(self, x, y, words, size, *colour, **settings)

    monkeypatch.setattr(Canvas, "text", text)
    return boxes


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_stays_on_its_line_and_in_the_picture(drawn, name):
    text = TEXTS[name]
    pairs = (AnswerPair(text, text, text),)
    card = comparison_card.Card(text, text, text, pairs, (text,) * 3, text, (1.0, 0.5), None, (), date="2026-01-01")

    assert card_png.to_png(card, "portrait")

    assert drawn
    for box in drawn:
        assert box.left >= 0, box
        assert box.right <= card_png.SIZES["portrait"][0], box
        assert box.above <= line_height(box.size) / 2, box
        assert box.below <= 1.5 * line_height(box.size), box


def test_a_long_word_is_broken_without_measuring_all_of_it_for_each_line():
    measured = []
    lines = wrap("W" * 4000, 100, lambda text: measured.append(len(text)) or 10.0 * len(text))

    assert lines == ["W" * 10] * 400
    assert sum(measured) < 400 * 10 * 20 + 2 * 4000
