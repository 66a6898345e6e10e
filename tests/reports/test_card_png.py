"""The card as a picture: fixed sizes, readable in both languages, and honest about what is cut."""

import io
import re
import unicodedata
from dataclasses import replace

import pytest
from PIL import Image

from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.evaluate.metrics import Sample
from studio.evaluate.scoreboard import score
from studio.i18n import LANGUAGES
from studio.reports import fonts
from studio.reports.canvas import Canvas, wrap
from studio.reports.card_png import SIZES, to_png


def picture(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.convert("RGB")


def colours(image, box=None):
    part = image.crop(box) if box else image
    return {colour for _, colour in part.getcolors(part.width * part.height)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_has_its_fixed_size_and_both_panels(card, korean, size, language):
    image = picture(to_png(korean if language == "ko" else card, size))

    assert image.size == SIZES[size]
    assert {(13, 148, 136), (152, 162, 179), (255, 255, 255)} <= colours(image)


def test_the_picture_changes_with_every_text_on_it(card):
    seen = {to_png(card)}
    pair = card.pairs[0]
    for changed in (
        replace(card, title="Other"),
        replace(card, base="Other"),
        replace(card, adapter="Other"),
        replace(card, date="2026-11-25"),
        replace(card, data_hash="abcd" * 16),
        replace(card, recipe=("LoRA r 8",)),
        replace(card, losses=(1.0, 2.0)),
        replace(card, scoreboard=None),
        replace(card, pairs=(replace(pair, prompt="Other?"),)),
        replace(card, pairs=(replace(pair, before="Other."),)),
        replace(card, pairs=(replace(pair, after="Other."),)),
        replace(card, pairs=(pair, pair)),
        replace(card, language="ko"),
    ):
        seen.add(to_png(changed))
    assert len(seen) == 14


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
def test_long_answers_are_cut_and_the_card_says_so(card, size, monkeypatch):
    drawn = []
    draw = Canvas.text

    def noted(canvas, x, y, words, *rest, **more):
        drawn.append((x, y, words, draw(canvas, x, y, words, *rest, **more)))
        return drawn[-1][-1]

    monkeypatch.setattr(Canvas, "text", noted)
    to_png(card, size)
    assert not any("cut" in words for _, _, words, _ in drawn)
    drawn.clear()
    long = AnswerPair("Why? " * 200, "Bread is old. " * 900, "supercalifragilistic" * 400)
    to_png(replace(card, title="Title " * 60, base="base-" * 40, pairs=(long,), recipe=("x" * 300, "y " * 300)), size)

    assert sum("cut" in words for _, _, words, _ in drawn) == 3
    assert sum(words.endswith("…") for _, _, words, _ in drawn) >= 5
    width, height = SIZES[size]
    assert all(x >= 0 and right <= width - 40 for x, _, _, right in drawn)
    assert all(0 <= y <= height - 40 for _, y, _, _ in drawn)


def test_both_answers_have_the_same_size_of_type(card, monkeypatch):
    sizes, draw = {}, Canvas.lines
    monkeypatch.setattr(
        Canvas,
        "lines",
        lambda *given, **more: (sizes.update({given[3].lines[0]: given[3].size}), draw(*given, **more)),
    )
    to_png(replace(card, pairs=(AnswerPair("?", "Short.", "A much longer answer. " * 30),)))
    assert sizes["Short."] == next(size for line, size in sizes.items() if line.startswith("A much longer")) < 60


@pytest.mark.parametrize("size", SIZES)
def test_headlines_are_shown_with_their_verdict_even_when_nothing_got_better(card, size, monkeypatch):
    drawn, draw = [], Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda *given, **more: (drawn.append(given[3]), draw(*given, **more))[1])
    answers = [Sample(str(n), "x y", "x z", True, 2, 7.0, 3) for n in range(9)]
    worse = [replace(sample, nll=7.5) for sample in answers]
    to_png(replace(card, scoreboard=score(answers, worse)), size)

    at = drawn.index("Perplexity")
    assert drawn[at : at + 3] == ["Perplexity", "1,097 → 1,808", "▼ worse"]
    assert drawn.count("= no clear difference") == 2


def test_emoji_and_rare_letters_become_boxes_that_are_counted(card, monkeypatch):
    drawn, draw = [], Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda *given, **more: (drawn.append(given[3]), draw(*given, **more))[1])
    to_png(replace(card, pairs=(AnswerPair("?", "Family: 👩‍👩‍👧 and 👍🏽", "\U00012000 ok ☕️"),)))
    written = "\n".join(drawn)

    assert not re.search("[\U0001f000-\U0001ffff\U00012000\ufe0f\u200d]", written)
    assert "□" in written
    assert re.search(r"\d characters have no glyph", written)


def test_hangul_written_in_letters_is_put_together(card, monkeypatch):
    drawn, draw = [], Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda *given, **more: (drawn.append(given[3]), draw(*given, **more))[1])
    to_png(
        replace(card, pairs=(AnswerPair(*(unicodedata.normalize("NFD", words) for words in ("한글", "바다", "등대"))),))
    )

    assert {"한글", "바다", "등대"} <= set(drawn)


def test_without_a_korean_font_korean_is_refused_and_english_still_drawn(card, korean, monkeypatch, tmp_path):
    monkeypatch.setattr(fonts, "folders", lambda: iter([tmp_path]))
    with pytest.raises(CompareError) as raised:
        to_png(korean)
    assert raised.value.key == "compare.no_font"
    assert "fonts-noto-cjk" in raised.value.text("ko")

    assert picture(to_png(card)).size == SIZES["square"]


def test_typography_is_no_hangul_and_has_stand_ins_in_pillows_own_font(card, monkeypatch, tmp_path):
    drawn, draw = [], Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda *given, **more: (drawn.append(given[3]), draw(*given, **more))[1])
    monkeypatch.setattr(fonts, "folders", lambda: iter([tmp_path]))
    to_png(replace(card, pairs=(AnswerPair("Well…", "“Aye” → ‘no’ – that’s it — " * 99, "−3 · ok"),)))

    assert not [words for words in drawn if "?" in words or "no glyph" in words]
    assert "“Aye” > ‘no’ - that’s" in "\n".join(drawn)


def test_a_file_that_is_no_font_is_passed_over(monkeypatch, tmp_path):
    (tmp_path / "NotoSansCJK-Regular.ttc").write_bytes(b"not a font")
    (tmp_path / "Other.ttf").write_bytes(b"")
    monkeypatch.setattr(fonts, "folders", lambda: iter([tmp_path]))
    with pytest.raises(CompareError):
        fonts.find(needs_hangul=True)
    assert fonts.find(needs_hangul=False).regular.path is None


def test_a_korean_font_of_an_unknown_name_is_found(monkeypatch, tmp_path):
    known = fonts.find(needs_hangul=True).regular
    (tmp_path / f"Surprise{known.path.suffix}").symlink_to(known.path)
    monkeypatch.setattr(fonts, "folders", lambda: iter([tmp_path]))
    found = fonts.find(needs_hangul=True)

    assert found.regular.path.stem == "Surprise"
    assert found.regular.draws("한")
    assert not found.regular.draws("\U00012000")


def test_a_font_that_is_installed_later_is_found_without_a_restart(korean, monkeypatch, tmp_path):
    known = fonts.find(needs_hangul=True).regular.path
    monkeypatch.setattr(fonts, "folders", lambda: iter([tmp_path]))
    with pytest.raises(CompareError):
        to_png(korean)
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / known.name).symlink_to(known)

    assert picture(to_png(korean)).size == SIZES["square"]


@pytest.mark.parametrize("size", ["", "huge", "../square"])
def test_an_unknown_size_is_refused(card, size):
    with pytest.raises(CompareError) as raised:
        to_png(card, size)
    assert raised.value.key == "compare.card_size"


def test_text_is_broken_at_spaces_and_long_words_inside():
    assert wrap("one two three", 7, len) == ["one two", "three"]
    assert wrap("a abcdefghij b", 4, len) == ["a", "abcd", "efgh", "ij b"]
    assert wrap("  two  spaces\n\nline", 20, len) == ["  two  spaces", "", "line"]
    assert wrap("", 5, len) == [""]
    assert wrap("wide", 0, len) == ["w", "i", "d", "e"]
