"""The Help section shows the pages of `studio/docs`."""

import pytest

from studio.i18n import LANGUAGES
from studio.ui import help as help_pages
from studio.ui.help import TOPICS, page


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_shown_in_every_language_without_pictures_and_links_to_files(topic, language):
    text = page(topic, language)

    assert text.startswith("# ")
    assert "![" not in text
    assert "](../" not in text
    assert ("요." in text) is (language == "ko")


def test_every_page_of_the_docs_is_a_topic():
    assert {path.stem for path in help_pages._DOCS.glob("*.md")} == set(TOPICS)


@pytest.mark.parametrize("topic", ["../../README", None])
def test_an_unknown_topic_gives_the_first(topic):
    assert page(topic, "en") == page(TOPICS[0], "en")


def test_opening_and_choosing_show_a_page_in_its_language(build):
    from studio.ui import app

    events = [event for event in build(app).fns.values() if event.fn and event.fn.__module__ == help_pages.__name__]

    assert [[name for _, name in event.targets] for event in events] == [["expand", "input"]] * len(LANGUAGES)
    assert [event.fn("data") for event in events] == [page("data", event.page or "en") for event in events]
