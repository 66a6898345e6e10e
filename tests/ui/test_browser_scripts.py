"""What browsers get in place of Gradio's script: an index for its search for a component, and a tree made once."""

from pathlib import Path

import httpx
import pytest
from gradio.routes import BUILD_PATH_LIB

from studio.ui import browser_scripts


@pytest.fixture
def script() -> str:
    """Gradio's script as it is installed; fails where a new Gradio searches in another way."""
    return _gradio("core-")


def _gradio(start: str) -> str:
    """Return the script of Gradio whose name starts so, of those that are changed."""
    [path] = [Path(BUILD_PATH_LIB) / name for name in browser_scripts.changed() if name.startswith(start)]
    return path.read_text(encoding="utf-8")


def test_all_that_is_changed_stands_in_the_script_once(script):
    assert [script.count(old) for old in browser_scripts._CHANGES] == [1] * 5
    assert len(browser_scripts._SEARCH.findall(script)) == 1


def test_gradio_takes_the_answers_of_an_event_in_one_place():
    assert len(browser_scripts._ANSWERS.findall(_gradio("Blocks-"))) == 1


@pytest.mark.parametrize("old", browser_scripts._CHANGES)
def test_another_script_is_not_changed_in_part(script, old):
    other = script.replace(old, "")
    assert browser_scripts.with_changes(other) == other


def test_the_page_gets_the_script_with_the_index(page_url, script):
    [name] = [name for name in browser_scripts.changed() if name.startswith("core-")]

    served = httpx.get(f"{page_url}assets/{name}")

    assert served.status_code == 200
    assert served.headers["content-type"].startswith("text/javascript")
    assert served.headers["content-encoding"] == "gzip"
    assert served.text == browser_scripts.with_changes(script) != script
    others = [path.name for path in Path(BUILD_PATH_LIB).glob("*.js") if path.name not in browser_scripts.changed()]
    assert httpx.get(f"{page_url}assets/{others[0]}").content == (Path(BUILD_PATH_LIB) / others[0]).read_bytes()
    assert httpx.get(f"{page_url}assets/missing.js").status_code == 404


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
        [search[1], search[0], browser_scripts._INDEXED_SEARCH.format(name=search[1])],
    )

    assert [search for search, _ in answers["answers"]] == [index for _, index in answers["answers"]]
    assert answers["visits"] == 1  # of the component alone


def test_the_events_of_a_component_are_those_that_gradio_finds(browser, script):
    answers = browser.new_page().evaluate(
        """parts => {
            const [plain, changed] = parts.map(body => {
                const of = Object.assign(Object.create(null), { find: new Function('e', 't', body) });
                return (id, events) => of.find({ id, props: { shared_props: {} } }, events).props.shared_props;
            });
            const first = [
                { targets: [[1, 'click'], [2, 'change'], [1, 'change']] }, { targets: [] },
                { targets: [[1, 'click']] }, { targets: [[3, '']] }, { targets: [[null, 'load']] },
            ];
            const answers = [];
            for (const events of [first, [{ targets: [[2, 'input']] }], first])
                for (const id of [1, 2, 3, 4]) answers.push([plain(id, events), changed(id, events)]);
            return answers;
        }""",
        [browser_scripts._EVENTS, browser_scripts._EVENTS_BY_COMPONENT],
    )

    assert [plain for plain, _ in answers] == [changed for _, changed in answers]
    assert answers[0][0] == {"attached_events": ["click", "click"]}


def test_a_plain_template_is_its_value_and_all_others_are_compiled(browser):
    assert len(browser_scripts._TEMPLATE.findall(_gradio("HTML-"))) == 1
    changed = f"function fill(e,t,n=`html`){{{browser_scripts._PLAIN_TEMPLATE}return compiled(e)}}"

    answers = browser.new_page().evaluate(
        """changed => {
            const fill = new Function('compiled', `${changed}; return fill`)(template => `compiled ${template}`);
            return [fill('${value}', { value: '<b>`1`</b>' }), fill('${value}', { value: null }), fill('', {}, 'css'),
                    fill('{{value}}', {}), fill(' ${value}', { value: 1 })];
        }""",
        changed,
    )

    assert answers == ["<b>`1`</b>", "null", "", "compiled {{value}}", "compiled  ${value}"]
