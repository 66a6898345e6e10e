"""The card as a page, in a real browser: complete, offline, and deaf to whatever an answer holds."""

import re
from dataclasses import replace

import pytest

from studio.compare.comparison import AnswerPair
from studio.evaluate.metrics import METRICS
from studio.i18n import text
from studio.reports.card_html import to_html
from studio.reports.card_png import to_png
from studio.reports.comparison_card import Card, to_markdown


@pytest.fixture
def opened(browser, tmp_path):
    """Open a card's page from a file, offline, and return the page with what its console said and what it asked for."""
    pages = []

    def open_card(card, width=1440, **options):
        path = tmp_path / "card.html"
        path.write_text(to_html(card), encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        pages.append(page)
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_card
    for page in pages:
        page.close()


def test_the_page_shows_everything_offline_and_says_nothing_on_its_console(card, opened):
    page = opened(card)
    body = page.inner_text("main")

    facts = "LoRA r 16", "Loss: 3.50 → 0.50", "Exaggerates: 122 %"
    for words in (card.title, card.base, card.adapter, card.data_hash, card.date, *facts):
        assert words in body
    assert page.locator(".reading li").all_inner_texts() == card.reading_lines
    assert page.inner_text(".before .answer") == card.pairs[0].before
    assert page.inner_text(".after .answer") == card.pairs[0].after
    assert page.locator("tbody tr").count() == len(card.scoreboard.scores) == len(METRICS) - 1
    assert page.locator("polyline").count() == 1
    assert page.said == []
    assert len(page.asked) == 1


def test_the_pages_own_style_is_not_blocked_by_its_policy(card, opened):
    page = opened(card)
    assert page.evaluate("getComputedStyle(document.querySelector('.after')).borderTopColor") == "rgb(13, 148, 136)"


def test_markup_in_any_field_is_shown_as_text_and_runs_nothing(hostile, opened):
    page = opened(hostile)
    page.wait_for_timeout(300)

    assert page.evaluate("window.hit") is None
    assert page.locator("script, img, a, iframe, svg[onload], meta[http-equiv=refresh]").count() == 0
    assert page.inner_text(".after .answer") == hostile.title
    assert page.title() == hostile.title
    assert page.inner_text("h1") == hostile.title
    assert len(page.asked) == 1


def test_without_the_escaping_the_policy_alone_still_stops_a_script(card, browser, tmp_path):
    path = tmp_path / "card.html"
    path.write_text(to_html(card).replace("Seven minutes", "<script>window.hit = 1</script>"), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())

    assert page.locator("script").count() == 1
    assert page.evaluate("window.hit") is None
    page.close()


def test_line_breaks_of_an_answer_are_kept(korean, opened):
    assert opened(korean).inner_text(".after .answer") == korean.pairs[0].after


@pytest.mark.parametrize("width", [390, 700, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_screen_in_light_and_dark(hostile, opened, width, scheme):
    page = opened(hostile, width, color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(11, 16, 25)"

    assert dark is (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = [page.locator(f".{side}").bounding_box()["y"] for side in ("before", "after")]
    assert (tops[0] == tops[1]) is (width > 700)


def test_the_page_prints_on_white_paper_side_by_side(card, opened):
    page = opened(card, 680, color_scheme="dark")
    page.emulate_media(media="print")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator(".before").bounding_box()["y"] == page.locator(".after").bounding_box()["y"]


def test_all_words_are_in_the_cards_language(korean, opened):
    page = opened(korean)
    body = page.inner_text("main")

    assert page.get_attribute("html", "lang") == "ko"
    for key in ("prompt", "before", "after", "recipe", "data", "scoreboard", "made"):
        assert text(f"card.{key}", "ko") in body
        assert not re.search(rf"\b{re.escape(text(f'card.{key}', 'en'))}\b", body)


def test_a_card_without_extras_has_no_empty_places(opened):
    page = opened(Card("Hi", "base", "adapter", (AnswerPair("Hi", "", "Ahoy!"), AnswerPair("Two", "2", "3"))))

    assert page.inner_text(".before .answer >> nth=0") == "(empty answer)"
    assert page.locator("h2, svg[role=img], table, time").count() == 0
    assert "2 of 2" in page.inner_text("main")


def test_control_characters_and_half_characters_do_no_harm(card, opened):
    odd = replace(card, pairs=(AnswerPair("a\x00b\x1b[31m", "x\ud800y", "\u202eevil\u2066"),))
    assert opened(odd).inner_text(".before .answer") == "x?y"
    assert to_markdown(odd).encode("utf-8")
    assert to_png(odd)
