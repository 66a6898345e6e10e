"""What browsers get besides Gradio's files: the index in place of its search for a component, and the font."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from gradio.routes import BUILD_PATH_LIB
from playwright.sync_api import expect

from studio.ui import browser_scripts


@pytest.fixture
def script() -> str:
    """Gradio's script as it is installed; fails where a new Gradio searches in another way."""
    [path] = [Path(BUILD_PATH_LIB) / name for name in browser_scripts.indexed_scripts()]
    return path.read_text(encoding="utf-8")


def test_the_page_gets_the_script_with_the_index(page_url, script):
    [name] = browser_scripts.indexed_scripts()

    served = httpx.get(f"{page_url}assets/{name}")

    assert served.status_code == 200
    assert served.headers["content-type"].startswith("text/javascript")
    assert served.headers["content-encoding"] == "gzip"
    assert served.text == browser_scripts.with_index(script) != script
    others = [path.name for path in Path(BUILD_PATH_LIB).glob("*.js") if path.name != name]
    assert httpx.get(f"{page_url}assets/{others[0]}").content == (Path(BUILD_PATH_LIB) / others[0]).read_bytes()
    assert httpx.get(f"{page_url}assets/missing.js").status_code == 404


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
    assert sum(map(len, browser_scripts.fonts().values())) < 500_000

    page.locator("h1").evaluate("heading => { heading.append('뷁'); return document.fonts.ready.then(() => 0) }")
    page.wait_for_function("[...document.fonts].filter(face => face.status === 'loaded').length > " + str(len(faces)))
    assert any("rest-" in url for url in requests)


def test_the_index_gives_the_answers_of_the_search_while_the_tree_changes(browser, script):
    [search] = browser_scripts._SEARCH.finditer(script)
    page = browser.new_page()
    answers = page.evaluate(
        """([name, search, indexed]) => {
            const both = [search, indexed].map(source => new Function(`${source}; return ${name}`)());
            let visits = 0;
            const node = (id, ...children) => ({ get id() { visits++; return id }, children });
            const tree = node(1, node(2, node(3), node(4, node(5))), node(6), { id: 7 });
            const answers = [];
            const compare = () => {
                for (const id of [1, 2, 3, 4, 5, 6, 7, 8, 9, 5, null, undefined])
                    answers.push(both.map(find => find(tree, id)?.id ?? null));
                for (const id of [1, 3, 5, 7, 9]) answers.push([both[0](tree, id) === both[1](tree, id), true]);
            };
            compare();
            tree.children.unshift(tree.children.pop());        // another order
            compare();
            tree.children[1].children.pop();                   // 4 and 5 are gone
            compare();
            tree.children.push(node(9, node(5)));              // and come back elsewhere
            compare();
            both[1](tree, 5);
            visits = 0;
            both[1](tree, 5);
            both[1](tree, null);
            return { answers, visits };
        }""",
        [search[1], search[0], browser_scripts.with_index(search[0])],
    )

    assert [search for search, _ in answers["answers"]] == [index for _, index in answers["answers"]]
    assert answers["visits"] == 1  # of the component alone
