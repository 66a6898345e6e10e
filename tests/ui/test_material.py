"""From a chat export to a run on its rows, in a browser."""

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


@pytest.mark.parametrize("language", ["ko-KR"])
def test_a_chat_becomes_rows_without_numbers_and_is_trained(page_url, browser, home, tmp_path, language):
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
    assert page.errors == []

    page.get_by_role("tab", name=say("ui.tabs.train")).click()
    page.get_by_role("button", name=say("ui.train.start"), exact=True).click()
    expect(page.locator("#status")).to_contain_text(say("state.finished"), timeout=SLOW)
    run = runs.find("last")
    written = b"".join(path.read_bytes() for path in run.path.rglob("*") if path.is_file())
    rows = Path(run.config().data.source.name).read_text(encoding="utf-8")
    assert rows.count("그냥 있지롱") == 30
    assert "2345-67" not in rows
    assert "지연" not in rows
    assert b"2345-67" not in written
    assert "지연".encode() not in written
    page.context.close()
