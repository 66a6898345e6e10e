"""Messages in a real browser: they cover nothing, and end by themselves."""

import pytest
from playwright.sync_api import expect
from test_first_screen import LOCALES, go_to
from test_journey import open_page

from studio import runs
from studio.i18n import text
from studio.runs import State
from studio.ui import failures
from studio.ui.runs_views import MOST_CHOSEN

COVERED = """() => [...document.querySelectorAll('button, a[href], input, textarea, [role=tab], [role=button]')]
  .filter(control => control.checkVisibility({visibilityProperty: true, opacityProperty: true})
    && !control.closest('.toast-wrap'))
  .filter(control => {
    control.scrollIntoView({block: 'nearest'});
    const {left, right, bottom} = control.getBoundingClientRect();
    return document.elementFromPoint((left + right) / 2, bottom - 1)?.closest('.toast-wrap');
  }).map(control => control.outerHTML.slice(0, 200))"""


@pytest.mark.long
@pytest.mark.parametrize(("language", "screen"), [("en", "phone"), ("ko", "desktop")])
def test_a_message_covers_no_control_and_ends_by_itself(page_url, browser, preset, monkeypatch, language, screen):
    monkeypatch.setattr(failures, "CHARACTERS_PER_SECOND", 20)
    for number in range(30):
        runs.create(preset.with_settings({"name": f"run {number}"})).enter(State.STOPPED)
    page = open_page(browser, page_url, LOCALES[language])
    go_to(screen, page)
    page.get_by_role("tab", name=text("ui.tabs.runs", language), exact=True).click()
    boxes = page.locator("#runs-table input[data-do=choose]")
    expect(boxes).to_have_count(30)
    for number in range(MOST_CHOSEN + 1):
        boxes.nth(number).click()
    message = page.locator(".toast-body")
    expect(message).to_be_visible()
    height = page.locator(".toast-wrap").evaluate(
        "messages => `${Math.ceil(messages.getBoundingClientRect().height)}px`"
    )
    expect(page.locator(".gradio-container")).to_have_css("padding-bottom", height)

    assert page.evaluate(COVERED) == []
    expect(message).to_be_visible()

    expect(message).to_have_count(0)
    expect(page.locator(".gradio-container")).to_have_css("padding-bottom", "0px")
    assert page.errors == []
