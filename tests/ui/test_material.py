"""From a chat export to a run on its rows, in a browser."""

import re
from pathlib import Path

import endpoint_stand_in
import pytest
from playwright.sync_api import expect
from test_journey import open_page

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


@pytest.mark.long
def test_a_chat_becomes_rows_without_numbers_and_is_trained_and_compared(page_url, browser, home, tmp_path):
    def say(key, **values):
        return text(key, "ko", **values)

    page = open_page(browser, page_url, "ko-KR")
    page.get_by_role("button", name=say("ui.material.title")).click()
    unknown = tmp_path / "notes.bin"
    unknown.write_bytes(bytes(range(256)))
    report = page.locator("#material-report")
    files = page.locator("#material input[type=file]")
    files.set_input_files(unknown)
    expect(report.get_by_role("alert")).to_contain_text("notes.bin")
    go = page.get_by_role("button", name=say("ui.material.go"), exact=True)
    expect(go).to_be_disabled()

    page.locator("#material button:has(svg)").last.click()  # empties the list
    expect(report.get_by_role("alert")).to_have_count(0)
    files.set_input_files(export(tmp_path / "KakaoTalk_지연.txt"))
    expect(report).to_contain_text(say("material.read_as", formats="KakaoTalk (1)"))
    expect(go).to_be_disabled()  # nobody was chosen
    page.get_by_label(say("ui.material.speaker")).click()
    page.get_by_role("option", name="민수 (30)").click()
    go.click()
    expect(report).to_contain_text(say("material.kinds.phone") + ": 30")
    expect(page.locator("#spans")).to_contain_text("그냥 있지롱")
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
    expect(row).to_be_focused()
    page.get_by_role("button", name=say("ui.review.save"), exact=True).click()
    expect(counts).to_contain_text(say("ui.review.counts", **numbers(kept=1, edited=1, dropped=1)))
    page.get_by_role("button", name=say("ui.review.use"), exact=True).click()
    expect(page.locator("#structure")).to_contain_text(say("ui.structure.rows", n=7))
    assert page.errors == []

    page.get_by_role("tab", name=say("ui.tabs.train")).click()
    page.get_by_role("button", name=say("ui.train.start"), exact=True).click()
    expect(page.locator("#status")).to_contain_text(say("state.finished"))
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
        expect(page.locator(f"#caption-{side}")).to_contain_text(re.compile(r"\d"))
    expect(page.get_by_role("button", name=say("ui.compare.go"), exact=True)).to_be_enabled()
    assert page.errors == []
    page.context.close()


@pytest.mark.long
def test_an_endpoint_is_sent_nothing_before_the_press_and_its_key_is_not_kept(page_url, browser, home, tmp_path):
    document = tmp_path / "keeper.txt"
    days = ("Monday", "Tuesday", "Wednesday", "Thursday")
    passage = "On {day} the keeper Halvard climbs the tower, trims the lamp and counts {ships} ships on the way home."
    passages = [passage.format(day=day, ships=ships) for ships, day in enumerate(days * 4, 9)]
    document.write_text("\n\n".join(passages), encoding="utf-8")
    page = open_page(browser, page_url)
    page.get_by_role("button", name=text("ui.material.title")).click()
    report = page.locator("#material-report")
    page.locator("#material input[type=file]").set_input_files(document)
    expect(report).to_contain_text("txt (1)")
    page.locator("#recipes input").click()
    page.get_by_role("option", name=text("material.recipes.plain")).click()
    every_way = page.get_by_text(text("ui.material.every_ways.share"))
    expect(every_way).to_be_visible()  # "beginning" is chosen too
    page.locator("#recipes .token-remove").first.click()
    expect(every_way).to_be_hidden()
    expect(page.get_by_label(text("ui.material.instructions.plain"))).to_have_value(re.compile("neutral language"))
    page.get_by_text(text("ui.material.writers.endpoint"), exact=True).click()
    with endpoint_stand_in.serve() as stand_in:
        stand_in.failures = [endpoint_stand_in.fail(401, "invalid_api_key")] * 4
        page.get_by_label(text("ui.material.address"), exact=True).fill(stand_in.url)
        page.get_by_label(text("ui.material.endpoint_model"), exact=True).fill("small")
        key = page.get_by_label(text("ui.material.key"))
        go = page.get_by_role("button", name=text("ui.material.go"), exact=True)
        send = page.get_by_role("button", name=text("ui.material.send"), exact=True)
        for outcome in ("401", "Made"):
            key.fill(endpoint_stand_in.KEY)
            go.click()
            expect(report).to_contain_text(text("ui.material.not_sent"))
            before = len(stand_in.requests)
            send.click()
            expect(report).to_contain_text(outcome)
            expect(key).to_have_value("")
            assert len(stand_in.requests) > before
            stand_in.failures.clear()
    expect(page.locator("#review-cards")).to_contain_text("It is reported")
    assert endpoint_stand_in.KEY not in page.content()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert endpoint_stand_in.KEY.encode() not in written
    assert page.errors == []
    page.context.close()
