"""From a chat export to a run on its rows, in a browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from test_journey import SLOW, open_page

from studio import runs
from studio.i18n import text

pytestmark = pytest.mark.timeout(300)

EXPORT = """지연 님과 카카오톡 대화
저장한 날짜 : 2026년 3월 2일 오후 3:10

--------------- 2026년 3월 1일 일요일 ---------------
{talk}
"""


def export(path, turns: int = 30):
    talk = "\n".join(
        f"[지연] [오후 {hour}:{minute:02d}] 오늘 {hour}시 {minute}분엔 뭐 해?\n"
        f"[민수] [오후 {hour}:{minute:02d}] 그냥 있지롱. {minute}분 뒤에 010-2345-67{minute:02d}로 전화해!"
        for hour in range(1, 11)
        for minute in (1, 20, 40)[: turns // 10]
    )
    path.write_text(EXPORT.format(talk=talk), encoding="utf-8")
    return path


def numbers(kept: int = 0, edited: int = 0, dropped: int = 0) -> dict[str, int]:
    """Return what is said of the eight conversations of the export."""
    left = 8 - kept - dropped
    return {"first": 1, "last": 5, "rows": 8, "kept": kept, "edited": edited, "dropped": dropped, "open": left}


@pytest.mark.parametrize("language", ["ko-KR", "en-US"])
def test_a_chat_becomes_rows_without_numbers_and_is_trained_and_compared(page_url, browser, home, tmp_path, language):
    def say(key, **values):
        return text(key, language[:2], **values)

    page = open_page(browser, page_url, language)
    page.get_by_role("button", name=say("ui.material.title")).click()
    unknown = tmp_path / "notes.bin"
    unknown.write_bytes(bytes(range(256)))
    report = page.locator("#material-report")
    files = page.locator("#material input[type=file]")
    files.set_input_files(unknown)
    expect(report.get_by_role("alert")).to_contain_text("notes.bin", timeout=SLOW)
    go = page.get_by_role("button", name=say("ui.material.go"), exact=True)
    expect(go).to_be_disabled()

    page.locator("#material button:has(svg)").last.click()  # empties the list
    files.set_input_files(export(tmp_path / "KakaoTalk_지연.txt"))
    expect(report).to_contain_text(say("material.read_as", formats="KakaoTalk (1)"), timeout=SLOW)
    expect(go).to_be_disabled()  # nobody was chosen
    page.get_by_label(say("ui.material.speaker")).click()
    page.get_by_role("option", name="민수 (30)").click()
    go.click()
    expect(report).to_contain_text(say("material.kinds.phone") + ": 30", timeout=SLOW)
    expect(page.locator("#spans")).to_contain_text("그냥 있지롱", timeout=SLOW)
    expect(page.locator("#spans")).not_to_contain_text("010-2345")

    cards, counts = page.locator("#review-cards"), page.locator("#review-counts")
    expect(cards.get_by_role("listitem")).to_have_count(5)
    drop = cards.get_by_role("button", name=say("ui.review.drop_row", number=1), exact=True)
    drop.focus()
    page.keyboard.press("Enter")
    expect(counts).to_contain_text(say("ui.review.counts", **numbers(dropped=1)))
    expect(drop).to_be_focused()
    cards.get_by_role("button", name=say("ui.review.keep_row", number=2), exact=True).click()
    expect(counts).to_contain_text(say("ui.review.counts", **numbers(kept=1, dropped=1)))
    page.get_by_role("button", name=say("ui.review.undo"), exact=True).click()
    expect(counts).to_contain_text(say("ui.review.counts", **numbers(dropped=1)))
    cards.get_by_role("button", name=say("ui.review.edit_row", number=3), exact=True).click()
    row = page.get_by_label(say("ui.review.text"))
    row.fill(row.input_value().replace("[assistant]\n", "[assistant]\n하하, ", 1))
    page.get_by_role("button", name=say("ui.review.save"), exact=True).click()
    expect(counts).to_contain_text(say("ui.review.counts", **numbers(kept=1, edited=1, dropped=1)))
    page.get_by_role("button", name=say("ui.review.use"), exact=True).click()
    expect(page.locator("#structure")).to_contain_text(say("ui.structure.rows", n=7), timeout=SLOW)
    assert page.errors == []

    page.get_by_role("tab", name=say("ui.tabs.train")).click()
    page.get_by_role("button", name=say("ui.train.start"), exact=True).click()
    expect(page.locator("#status")).to_contain_text(say("state.finished"), timeout=SLOW)
    run = runs.find("last")
    written = b"".join(path.read_bytes() for path in run.path.rglob("*") if path.is_file())
    rows = Path(run.config().data.source.name).read_text(encoding="utf-8")
    assert len(rows.splitlines()) == 7
    assert rows.count("하하, ") == 1
    origin = run.resolved()["material"]
    assert origin["recipes"].keys() == {"chat"}
    assert (origin["edited"], origin["dropped"]) == (1, 1)
    assert "2345-67" not in rows
    assert "지연" not in rows
    assert b"2345-67" not in written
    assert "지연".encode() not in written

    page.get_by_role("tab", name=say("ui.tabs.compare")).click()
    page.locator("#prompt textarea").fill("뭐 해?")
    page.get_by_role("button", name=say("ui.compare.go"), exact=True).click()
    for side in ("before", "after"):
        expect(page.locator(f"#caption-{side}")).to_contain_text(re.compile(r"\d"), timeout=SLOW)
    expect(page.get_by_role("button", name=say("ui.compare.go"), exact=True)).to_be_enabled(timeout=SLOW)
    assert page.errors == []
    page.context.close()
