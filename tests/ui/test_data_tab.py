"""The Data tab in a real browser: a file with problems is uploaded, mended and downloaded."""

import csv
import json
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import openpyxl
import pytest
from playwright.sync_api import Page, expect

from studio import presets, runs
from studio.config import MappingConfig, RunConfig, SourceConfig
from studio.data import prepare
from studio.i18n import text
from studio.train import suggest
from studio.ui import data_state, launch, templates
from studio.ui.form import MAPPING
from studio.ui.tabs.data import DataTab

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def bad_file(tmp_path):
    """A CSV with two empty answers, a duplicate, a cut row, a ragged row, and HTML in its cells."""
    rows = [[f"What is <b>{n}</b>?", f"Aye, {n} it be."] for n in range(20)]
    rows[3][1] = rows[7][1] = ""
    rows[9] = rows[1]
    rows[12][1] = "Long is the tale. " * 40
    path = tmp_path / "bad.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["question", "answer"], *rows])
        file.write("only one cell\r\n")
    return path


def open_page(browser, url: str, language: str, rows: int = 24) -> Page:
    page = browser.new_context(
        viewport={"width": 1280, "height": 900}, locale=language, accept_downloads=True
    ).new_page()
    page.set_default_timeout(60_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(url)
    expect(page.locator("#health")).to_contain_text(str(rows))
    return page


def upload(page: Page, path, language: str) -> None:
    page.get_by_text(text("config.data.source.kind.options.file", language), exact=True).click()
    page.locator("#upload input[type=file]").set_input_files(path)


def replace_upload(page: Page, path) -> None:
    page.locator("#upload").get_by_label(re.compile("clear|remove", re.IGNORECASE)).first.click()
    page.locator("#upload input[type=file]").set_input_files(path)


@pytest.mark.long
def test_from_a_file_with_problems_to_a_clean_one(page_url, browser, bad_file):
    language = "ko"
    page = open_page(browser, page_url, "ko-KR")
    upload(page, bad_file, language)

    # Counted over all rows, each with its rows and what it does
    health = page.locator("#health")
    expect(health).to_contain_text(text("ui.health.some", language, usable=18, rows=21))
    for kind in ("empty_answer", "duplicate", "answer_cut", "ragged"):
        expect(health).to_contain_text(text(f"problems.{kind}.effect", language))
    expect(page.locator("#structure")).to_contain_text("question")
    expect(page.locator("#rows")).to_contain_text("<b>0</b>")
    assert page.locator("#rows b, #spans b, #raw b").count() == 0

    # One click mends, another takes it back
    fix = health.locator("[data-fix=deduplicate]")
    fix.click()
    expect(fix).to_have_text(text("ui.health.undo", language))
    expect(health).to_contain_text(text("ui.health.some", language, usable=17, rows=21))
    fix.click()
    expect(fix).to_have_text(text("fixes.deduplicate", language))
    fix.click()
    expect(fix).to_have_text(text("ui.health.undo", language))

    # The worst row is the one that is cut; a row that a problem names is one click away
    page.locator("#jump-worst").click()
    expect(page.locator("#caption")).to_contain_text(text("ui.preview.cut", language))
    expect(page.locator("#row input")).to_have_value("13")
    expect(page.locator("#spans .t.cut").last).to_be_visible()
    health.locator("[data-row='4']").click()
    expect(page.locator("#row input")).to_have_value("4")
    expect(page.locator("#spans")).to_be_hidden()
    expect(page.locator("#caption .bad")).to_be_visible()

    # Lengths are drawn, and told in words
    expect(page.locator("#lengths svg")).to_have_attribute("aria-label", page.locator("#lengths .caption").inner_text())
    expect(page.locator("#lengths .cut-line")).to_be_visible()

    # The cleaned rows come as JSON lines
    with page.expect_download() as download:
        page.locator("#clean").click()
    kept = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert len(kept) == 17
    assert kept[0] == {"question": "What is <b>0</b>?", "answer": "Aye, 0 it be."}
    expect(page.locator("#written")).to_contain_text("17")

    # A kind of file that is not taken is named in the page's language
    junk = bad_file.with_name("junk.bin")
    junk.write_bytes(bytes(range(256)))
    page.locator("#upload button[aria-label]").first.click()
    page.locator("#upload input[type=file]").set_input_files(junk)
    expect(page.locator(".toast-message-text")).to_contain_text("‘junk.bin’ 파일은 읽지 않았어요.")
    expect(page.locator(".toast-message-text")).to_contain_text(".csv, .tsv")
    assert page.errors == []


@pytest.mark.long
def test_a_template_without_an_answer_and_a_set_of_the_hub_without_a_network_are_refused_in_place(page_url, browser):
    page = open_page(browser, page_url, "en-US")
    page.get_by_text(text("config.data.prompt.style.options.text"), exact=True).click()
    template = page.get_by_role("textbox", name=text("config.data.prompt.template.title"))
    expect(template).to_have_value("### question: {instruction}\n### answer: {output}")
    expect(page.locator("#spans")).to_contain_text("### answer:")

    template.fill("only {instruction}")
    template.blur()
    expect(page.locator("#caption .failure")).to_contain_text("{output}")
    template.fill("{nothing} {output}")
    template.blur()
    expect(page.locator("#caption .failure")).to_contain_text("instruction, output")

    page.get_by_text(text("config.data.source.kind.options.hub"), exact=True).click()
    page.get_by_label(text("ui.hub.id"), exact=True).fill("owner/name")
    page.locator("input[type=password]").fill("hf_canary")
    page.get_by_role("button", name=text("ui.hub.ask"), exact=True).click()
    expect(page.locator("#hub-said .failure")).to_contain_text("owner/name")
    expect(page.get_by_role("button", name=text("ui.hub.get"), exact=True)).to_be_disabled()
    assert "hf_canary" not in page.content()


@pytest.mark.long
def test_an_encoding_and_a_sheet_are_chosen_and_rows_that_cannot_be_used_block_the_start(
    page_url, browser, tmp_path, monkeypatch
):
    reading, read_on, table = threading.Event(), threading.Event(), prepare.table

    def slow(data):
        if Path(data.source.name).name.startswith("clear"):
            reading.set()
            read_on.wait(60)
        return table(data)

    monkeypatch.setattr(prepare, "table", slow)
    page = open_page(browser, page_url, "en-US")
    path = tmp_path / "unclear.csv"
    path.write_bytes("question,answer\n뽀글,쭈글\n".encode("cp949"))
    upload(page, path, "en")
    expect(page.locator("#found")).to_contain_text("cp949: 뽀글,쭈글")
    choice = page.locator("#encoding input")
    choice.fill("EUC-KR")
    choice.press("Enter")
    expect(page.locator("#rows")).to_contain_text("뽀글")
    expect(page.locator("#structure")).to_contain_text("CP949")

    # Another file is looked at for itself
    path = tmp_path / "clear.csv"
    path.write_text("question,answer\nHow?,So.\n", encoding="utf-8")
    upload_id = page.evaluate("window.gradio_config.components.find(part => part.props.elem_id === 'upload').id")
    late = []

    def hold_first(route):
        """Let what the page sends of the old file's end come late, when it reads the new file."""
        is_first = not late and route.request.post_data_json["trigger_id"] == upload_id
        late.append(route) if is_first else route.continue_()

    page.route("**/queue/join*", hold_first)
    replace_upload(page, path)
    while not reading.is_set():
        page.wait_for_timeout(100)
    expect(choice).to_have_value("")  # at once: what comes late would read the new file with it
    read_on.set()
    expect(page.locator("#structure")).to_contain_text("UTF-8")
    late[0].continue_()
    expect(page.locator("#health")).to_contain_text("1 row")
    expect(page.locator("#structure")).to_contain_text("UTF-8")
    expect(choice).to_have_value("")

    # Another sheet of a workbook
    book = openpyxl.Workbook()
    for name, answer in (("Train", "first"), ("Test", "second")):
        sheet = book.create_sheet(name)
        sheet.append(("question", "answer"))
        sheet.append(("Which?", answer))
    book.save(tmp_path / "a.xlsx")
    replace_upload(page, tmp_path / "a.xlsx")
    expect(page.locator("#found")).to_contain_text("Other sheets with content: Test")
    page.locator("#sheet-name input").click()
    page.get_by_role("option", name="Test").click()
    expect(page.locator("#rows")).to_contain_text("second")

    # Rows that cannot be used block the start, and say so
    path = tmp_path / "empty.csv"
    path.write_text("question,answer\nWhy?,\nHow?,\n", encoding="utf-8")
    expect(page.get_by_role("button", name=text("ui.data.continue"))).to_be_enabled()
    replace_upload(page, path)
    expect(page.locator("#health .failure")).to_contain_text("0 of 2 rows")
    expect(page.locator("#blocked")).to_contain_text(text("ui.health.blocked"))
    expect(page.get_by_role("button", name=text("ui.data.continue"))).to_be_disabled()
    assert page.errors == []


@pytest.mark.long
def test_a_file_that_is_chosen_while_another_is_read_is_not_lost(page_url, browser, tmp_path, monkeypatch):
    page = open_page(browser, page_url, "en-US")
    paths = [tmp_path / "first.csv", tmp_path / "second.csv"]
    for path in paths:
        path.write_text(f"question,answer\nWhich?,The {path.stem}.\n", encoding="utf-8")
    reading, read_on, table, row = threading.Event(), threading.Event(), prepare.table, DataTab.render_row
    first_shown, second_read, pause = threading.Event(), threading.Event(), threading.Event().wait

    def slow(data):
        if "first" in data.source.name:
            reading.set()
            read_on.wait(60)
        else:
            first_shown.wait(10)  # it is not, where the second file was asked for before the first one's row
        return table(data)

    def late(tab, look):
        """The first file's row is shown once the second file is read."""
        if "The second." in str(look.cells):
            second_read.set()
        if look.preview and "The first." in str(look.cells):
            first_shown.set()
            assert second_read.wait(60)
            pause(1)
        return row(tab, look)

    def postprocess(component, value):
        """What is read of the second file reaches the browser once the first one's row was shown."""
        if "The second." in str(value):
            pause(3)
        return of_html(component, value)

    monkeypatch.setattr(prepare, "table", slow)
    monkeypatch.setattr(DataTab, "render_row", late)
    of_html = gr.HTML.postprocess
    monkeypatch.setattr(gr.HTML, "postprocess", postprocess)
    upload(page, paths[0], "en")
    assert reading.wait(60)
    replace_upload(page, paths[1])
    expect(page.locator("#upload")).to_contain_text("second")
    page.wait_for_timeout(1000)  # the page has sent what it sends of the second file
    read_on.set()
    expect(page.locator("#health")).to_contain_text("1 row")
    page.wait_for_timeout(9000)  # all late answers are here
    expect(page.locator("#rows")).to_contain_text("The second.")
    assert page.errors == []


def test_no_path_comes_from_the_browser(home):
    before = SourceConfig(kind="hub", name="owner/name")

    assert data_state.source("file", None, None, before, RunConfig()).name == ""
    assert data_state.source("bundled", "captain", None, before, RunConfig()).kind == "bundled"
    assert data_state.source("hub", None, None, before, RunConfig()) is before


def test_templates_to_begin_with():
    assert templates.own(["q"], "prompt", "a") == "### question: {q}\n### answer: {a}"
    assert templates.own(["key1", "key2"], "keywords", "Lyric").startswith("### question: {keywords}")
    assert templates.template("lyrics", [], "prompt", None) == templates.NAMED["lyrics"]


@pytest.mark.long
def test_a_path_of_this_machine_is_read_where_it_lies(page_url, browser, bad_file):
    page = open_page(browser, page_url, "en-US")
    page.get_by_text(text("config.data.source.kind.options.file"), exact=True).click()
    path = page.locator("#path textarea, #path input")
    path.fill(str(bad_file) + ".gone")
    path.press("Enter")
    expect(page.get_by_text("is not there")).to_be_visible()
    path.fill(str(bad_file))
    path.press("Enter")
    expect(page.locator("#health")).to_contain_text(text("ui.health.some", usable=18, rows=21))
    assert bad_file.exists()


def test_paths_are_for_a_page_that_only_this_machine_reaches(monkeypatch):
    assert launch.is_local()
    monkeypatch.setenv("SPACE_ID", "someone/studio")
    assert not launch.is_local()


def test_a_chat_has_a_system_column_too():
    tab = SimpleNamespace(form=SimpleNamespace(parts={MAPPING + name: name for name in MappingConfig.model_fields}))

    visible = {name for name, update in DataTab.render_shape(tab, "messages").items() if update["visible"]}

    assert visible == {"messages", "system", "roles"}


@pytest.fixture
def quickstart(preset, monkeypatch):
    """The quickstart as it is: with a style's own system prompt, rate and held-out prompts."""
    style = {"preset": presets.QUICKSTART, "name": "captain", "data.prompt.system": "Answer briefly."}
    style |= {"data.source": {"kind": "bundled", "name": "captain"}, "train.learning_rate": 0.0018}
    whole = preset.with_settings(style | {"evaluation.prompts": "captain-heldout", "evaluation.marker": "yer"})
    monkeypatch.setattr(presets, "load", lambda name: whole)
    return whole


@pytest.fixture
def quickstart_url(quickstart, page_with):
    """The address of a page with the quickstart loaded."""
    return page_with(quickstart)


def test_suggestions_for_own_rows_are_applied_where_the_form_changes_while_they_are_looked_for(
    quickstart_url, browser, tmp_path, monkeypatch
):
    begun, go_on, look = threading.Event(), threading.Event(), suggest.suggest

    def search(*args):
        begun.set()
        return go_on.wait(60) and look(*args)

    monkeypatch.setattr(suggest, "suggest", search)
    page = open_page(browser, quickstart_url, "en-US", rows=239)
    rows = "".join(f"Which number {n}?,The answer to number {n}.\n" for n in range(60))
    (tmp_path / "own.csv").write_text("question,answer\n" + rows, encoding="utf-8")
    page.get_by_text(text("config.data.source.kind.options.file"), exact=True).first.click()
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "own.csv")
    page.get_by_role("button", name=text("ui.data.continue")).click()
    assert begun.wait(60)
    page.get_by_label(text("config.lora.r.title"), exact=True).fill("7")
    page.wait_for_timeout(1500)
    go_on.set()

    expect(page.locator("#suggest-said")).to_contain_text("Applied")
    expect(page.locator("#suggested")).to_be_hidden()
    assert page.errors == []


@pytest.mark.long
@pytest.mark.parametrize("way", ["path", "upload"])
def test_rows_of_ones_own_get_a_recipe_of_their_own(quickstart, quickstart_url, browser, tmp_path, way):
    page = open_page(browser, quickstart_url, "en-US", rows=239)
    rows = "".join(f"Which number {n}?,The answer to number {n}.\n" for n in range(60))
    (tmp_path / "own.csv").write_text("question,answer\n" + rows, encoding="utf-8")
    page.get_by_text(text("config.data.source.kind.options.file"), exact=True).first.click()
    system = page.get_by_label(text("config.data.prompt.system.title")).first
    if way == "path":
        page.locator("#path textarea, #path input").fill(str(tmp_path / "missing.csv"))
        page.locator("#path textarea, #path input").press("Enter")
        expect(page.locator(".toast-body").first).to_be_visible()
        page.wait_for_timeout(2000)
        expect(system).to_have_value("Answer briefly.")  # a file that is not there changes nothing
        page.locator("#path textarea, #path input").fill(str(tmp_path / "own.csv"))
        page.locator("#path textarea, #path input").press("Enter")
    else:
        page.locator("#upload input[type=file]").set_input_files(tmp_path / "own.csv")
    expect(system).to_have_value("")
    expect(page.locator("#spans")).to_contain_text("The answer to number 0.")

    page.get_by_role("button", name=text("ui.data.continue")).click()
    expect(page.get_by_label(text("config.name.title")).first).to_have_value("own")
    expect(page.locator(f"#preset input[value={presets.OWN}]")).to_be_checked()
    expect(page.locator("#suggest-said ul li").first).to_be_visible(timeout=120_000)  # applied, each with its reason
    expect(page.get_by_role("button", name=text("ui.suggest.undo"), exact=True)).to_be_visible()
    expect(page.locator("#changed")).to_contain_text("Changed from My data: ")
    expect(page.get_by_role("button", name=text("ui.train.start"), exact=True)).to_be_in_viewport()
    page.get_by_role("button", name=text("ui.train.start"), exact=True).click()
    expect(page.locator("#progress")).to_be_visible()
    made = runs.find("last").config()
    assert (made.data.prompt.system, made.evaluation.prompts, made.evaluation.marker) == (None, None, None)
    assert made.train.learning_rate != quickstart.train.learning_rate
    assert made.model.id == quickstart.model.id  # its precision may be one of the suggestions
    assert Path(made.data.source.name).suffix == ".csv"
    assert (made.name, made.preset) == ("own", presets.OWN)
    assert page.errors == []
