"""What a page needs is named in its head, and comes from memory."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from studio.ui import assets, theme


def _loaded(page, address: str) -> list[str]:
    """Return the names of all scripts and style sheets that a page loads until it can be used."""
    loaded = []
    page.on("request", lambda request: loaded.append(Path(urlsplit(request.url).path).name))
    page.goto(address)
    expect(page.locator("#device")).to_contain_text("ⓘ")
    return [name for name in loaded if name.endswith((".js", ".css"))]


def test_the_head_names_all_that_a_page_loads(page_url, browser):
    head = httpx.get(page_url).text.partition("</head>")[0]
    page = browser.new_page()

    loaded = _loaded(page, page_url)

    assert {name for name in loaded if name not in head} <= {"iframeResizer.contentWindow.min.js"}
    sheets = [name for name in loaded if name.endswith(".css") and name != "theme.css"]
    assert len(sheets) == 2, "Gradio's own, and one for all components"
    scripts = [name for name in loaded if name.endswith(".js")]
    assert len(scripts) == len(set(scripts))
    assert page.evaluate("[...document.styleSheets].filter(sheet => sheet.disabled).length") == 0


def test_the_joined_sheet_holds_the_sheets_of_all_components(page_url):
    head = httpx.get(page_url).text.partition("</head>")[0]
    names = [part.partition('"')[0] for part in head.split('<link rel="stylesheet" disabled href="./assets/')[1:]]
    [joined] = {
        part.partition('"')[0] for part in head.split('crossorigin href="./assets/') if part.startswith("page-")
    }

    sheet = httpx.get(f"{page_url}assets/{joined}")

    assert len(names) > 30
    assert sheet.headers["content-type"].startswith("text/css")
    assert "immutable" in sheet.headers["cache-control"]
    assert all(assets.files()[name].read_text(encoding="utf-8") in sheet.text for name in names)
    assert theme.css() in sheet.text


def test_scripts_that_look_otherwise_leave_the_page_as_it_is(monkeypatch, tmp_path):
    (tmp_path / "core-12345678.js").write_text("export const nothing = 1;")
    monkeypatch.setattr(assets, "files", lambda: {path.name: path for path in tmp_path.iterdir()})
    assets._needed.cache_clear()
    try:
        page = assets.with_links('<head><script>{"id":1,"type":"row"}</script></head>')
    finally:
        assets._needed.cache_clear()
    start, _, rest = page.partition('<link rel="stylesheet" crossorigin href="./assets/')
    own, _, end = rest.partition('">')
    assert start + end == '<head><script>{"id":1,"type":"row"}</script></head>'
    assert assets._content(own).decode() == theme.css()


def test_what_cannot_stand_inside_of_another_rule_stands_in_the_first_sheet():
    _, *sheets = ((Path(theme.__file__).parent / name).read_text(encoding="utf-8") for name in theme.SHEETS)
    assert [re.findall(r"@(?!media)\w+|^(?:html|:root).*", sheet, re.MULTILINE) for sheet in sheets] == [[]] * len(
        sheets
    )
    assert [sheet.count("{") - sheet.count("}") for sheet in sheets] == [0] * len(sheets)


@pytest.mark.long
@pytest.mark.parametrize(("locale", "parts"), [("en-US", {"latin"}), ("ko-KR", {"latin", "page"})])
def test_the_page_brings_its_font_in_parts(page_url, browser, locale, parts):
    page = browser.new_context(locale=locale).new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_url)
    expect(page.locator("#device")).to_contain_text("ⓘ")
    page.evaluate("document.fonts.ready.then(() => 0)")
    faces = page.evaluate("[...document.fonts].filter(face => face.status === 'loaded').map(face => face.family)")

    loaded = [urlsplit(url).path.rpartition("/")[2] for url in requests if ".woff2" in url]
    assert {face.strip('"') for face in faces} == {"Restyle Sans"}
    assert {name.partition("-")[0] for name in loaded} == parts
    assert {urlsplit(url).netloc for url in requests if not url.startswith("data:")} == {urlsplit(page_url).netloc}
    served = httpx.get(f"{page_url}assets/{loaded[0]}")
    assert (served.headers["content-type"], served.content[:4]) == ("font/woff2", b"wOF2")
    assert "immutable" in served.headers["cache-control"]
    assert sum(path.stat().st_size for path in assets.files().values() if path.suffix == ".woff2") < 500_000

    page.locator("h1").evaluate("heading => { heading.append('뷁'); return document.fonts.ready.then(() => 0) }")
    page.wait_for_function("[...document.fonts].filter(face => face.status === 'loaded').length > " + str(len(faces)))
    assert any("rest-" in url for url in requests)
