"""No name of a run, an adapter or a base is markup: on the page, on a card, in what is exported."""

import csv
import re
from dataclasses import replace

import outside
import pytest
from playwright.sync_api import expect
from test_guest_page import HOSTILE
from visitors import log_in

from studio.compare.comparison import AnswerPair
from studio.export import export_context, model_card, space
from studio.i18n import message, text
from studio.reports import card_html, comparison_card
from studio.runs import RunWriter, metadata

pytestmark = pytest.mark.timeout(300)
NAMES = (
    HOSTILE,
    "[x](javascript:window.taken=1) ![y](x)",
    "`</code><img src=x onerror='window.taken=1'>`",
    "| <b>x</b> |\n\n<script>window.taken=1</script>\n\n---\n# x",
    "</title></details></textarea>--><svg onload='window.taken=1'>",
    "&lt;img src=x onerror='window.taken=1'&gt;",
    "```\n<img src=x onerror='window.taken=1'>\n````\n<svg onload='window.taken=1'>",
)


def owners_page(shared, browser):
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
    log_in(page, shared.url, "owner")
    expect(page.locator("#device")).to_contain_text("ⓘ")
    return page


@pytest.mark.long
def test_nothing_that_an_adapter_of_somebody_else_says_runs_on_the_owners_page(
    shared, two_runs, browser, tiny_model, tmp_path
):
    alien = outside.make(tmp_path / "alien", tiny_model, HOSTILE)
    (alien / "chat_template.jinja").write_text(
        f"{HOSTILE}{{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}", encoding="utf-8"
    )
    page = owners_page(shared, browser)
    page.get_by_role("tab", name=text("ui.tabs.compare", "en"), exact=True).click()
    page.locator("#outside").get_by_role("button", name=text("ui.outside.title", "en")).click()
    files, said = page.locator("#outside-files input[type=file]"), page.locator("#outside-said")
    page.locator("#outside-same-base input").check()

    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "<img src=x onerror=window.taken=1>").write_bytes(b"x")
    files.set_input_files(outside.zipped(tmp_path / "odd", tmp_path / "odd.zip"))
    expect(said.locator("[role=alert]")).to_contain_text("<img src=x")
    files.set_input_files(outside.zipped(alien, tmp_path / "<img src=x onerror=window.taken=1>.zip"))
    expect(said.locator("[role=alert]")).to_contain_text("<script>")
    expect(page.locator("#extra-3 input").first).to_have_value(re.compile("img-src-x"))
    page.locator("#prompt textarea").fill("What is 3?")
    page.get_by_role("button", name=text("ui.compare.go", "en"), exact=True).click()
    expect(page.locator("#proof .unproven")).to_contain_text("<img src=x")

    assert page.evaluate("window.taken") is None
    assert page.locator("img[src=x]").count() == 0
    page.context.close()


IMG = "<img src=x onerror=window.taken=1>"


@pytest.mark.long
def test_nothing_that_a_run_or_a_file_says_runs_on_any_tab_of_the_owners_page(shared, two_runs, browser, tmp_path):
    def go(name):
        page.get_by_role("tab", name=text(f"ui.tabs.{name}", "en"), exact=True).click()

    run = two_runs.published
    metadata.rename(run, HOSTILE[:60])
    metadata.annotate(run, HOSTILE)
    RunWriter(run.path).note(message("log.licence", id=IMG, licence=IMG), "warning")
    path = tmp_path / f"{IMG}.csv"
    rows = [(f"prompt {IMG}", f"answer {IMG}"), *[(f"{n} {HOSTILE}", HOSTILE) for n in range(6)], ("only one cell",)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    page = owners_page(shared, browser)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def harmless():
        assert page.evaluate("window.taken") is None
        assert page.locator("img[src=x], [onerror], svg[onload]").count() == 0

    page.get_by_text(text("config.data.source.kind.options.file", "en"), exact=True).click()
    page.locator("#upload input[type=file]").set_input_files(path)
    for part in ("#rows", "#structure", "#health"):
        expect(page.locator(part)).to_contain_text("<img src=x")
    harmless()
    go("train")
    expect(page.locator("#status")).not_to_be_empty()
    harmless()
    go("compare")
    expect(page.locator(".who input").first).to_have_value(re.compile("<img src=x"))
    harmless()
    go("export")
    expect(page.locator("#export-run input").first).to_have_value(re.compile("<img src=x"))
    harmless()
    go("runs")
    expect(page.locator("#runs-table")).to_contain_text("<img src=x")
    harmless()
    page.locator(f"#open-{run.id}").click()
    expect(page.locator("#run-head")).to_contain_text("<img src=x")
    harmless()
    assert errors == []
    page.context.close()


@pytest.fixture
def page(browser):
    return browser.new_page()


def opened(page, html):
    """Return what a page has made of markup: what has run, and its images, scripts and links to scripts."""
    page.goto("about:blank")  # with a window of its own
    page.set_content(html)
    page.wait_for_timeout(100)
    strange = "img[src=x], svg[onload], b, [onerror], a[href^='javascript']"
    return page.evaluate("window.taken"), page.locator(strange).count(), page.locator("script").count()


def test_a_page_is_not_that_of_the_markup_before(page):
    assert opened(page, "<script>window.taken = 1</script>") == (1, 0, 1)
    assert opened(page, "<p>x</p>") == (None, 0, 0)


def rendered(markdown):
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").render(markdown.partition("\n---\n")[2] or markdown)


def card(name):
    stills = (comparison_card.SampleTimeline(name, ((1, name),)),)
    return comparison_card.Card(
        name, name, name, (AnswerPair(name, name, name),), (name,), name, (1.0, 0.5), None, stills, date=name
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_markup_on_a_card(name, page):
    for write in (card_html.to_html, lambda card: rendered(comparison_card.to_markdown(card))):
        assert opened(page, write(card(name))) == (None, 0, 0)


def test_a_card_without_such_a_name_has_no_markup_either(page):
    usual = replace(card("x"), stills=())
    for write in (card_html.to_html, lambda card: rendered(comparison_card.to_markdown(card))):
        assert opened(page, write(usual)) == (None, 0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_markup_on_the_card_of_an_export(name, page, finished_run, tmp_path):
    metadata.rename(finished_run, " ".join(name.split())[:60])
    RunWriter(finished_run.path).note(message("log.rows", usable=1, rows=2, validation=name), "info")
    whole = export_context.load_context(finished_run)
    data = {"data.source": {"kind": "hub", "name": "x/y", "subset": name, "split": name, "revision": name}}
    whole = replace(whole, config=whole.config.with_settings(data), language="en")
    prompt = export_context.PromptFormat("chat", system=name)
    whole = replace(whole, base=replace(whole.base, id=name, origin="folder"), prompt=prompt)
    model_card.write(tmp_path, whole, "adapter")
    made = (tmp_path / model_card.NAME).read_text(encoding="utf-8")
    assert opened(page, rendered(made)) == (None, 0, 0)
    demo = space._demo(whole, (AnswerPair(name, name, name),))
    assert opened(page, rendered("\n\n".join((f"# {demo['heading']}", demo["about"])))) == (None, 0, 0)
    if (html := tmp_path / model_card.PAGE).is_file():
        assert opened(page, html.read_text(encoding="utf-8")) == (None, 0, 0)


def test_such_markup_would_run(page):
    taken, strange, scripts = opened(page, f"<p>{HOSTILE}</p>")
    assert (strange, scripts) == (1, 1)
    assert taken in ("name", "script")
