"""Answers that come late change nothing: neither what a session keeps nor what its browser shows."""

import functools
import threading
from collections.abc import Iterator

import gradio as gr
import pytest
from gradio_client import Client
from playwright.sync_api import expect

from studio.errors import RunError
from studio.ui import failures, launch
from studio.ui.page import Page, components, view


class App:
    """A page of handlers that wait for the test, and some that are quick."""

    def __init__(self) -> None:
        self.go_on = {name: threading.Event() for name in ("one", "two", "work")}
        self.prepare = threading.Event()
        """Set when slow values may be prepared for the browser."""
        self.begun = {name: threading.Event() for name in self.go_on}
        with Page() as self.page:
            name, state = gr.Textbox(), gr.State("first")
            html = gr.HTML()
            html.postprocess = self.postprocess

            def wait(name: str) -> None:
                self.begun[name].set()
                self.go_on[name].wait(10)

            def pick(name: str) -> dict:
                if name in self.go_on:
                    wait(name)
                return {state: name, html: name}

            @view(state)
            def render(shown: str) -> str:
                wait("one")
                return f"about {shown}"

            @view(state)
            def work() -> Iterator[str]:
                yield "working"
                wait("work")
                yield "done"

            def stream() -> Iterator[str]:
                yield "streamed"
                wait("two")

            def put(name: str) -> dict:
                return {state: name, html: name}

            def read(kept: str) -> str:
                return kept

            gr.on(None, pick, name, [state, html], api_name="pick", concurrency_limit=None)
            gr.on(None, render, state, html, api_name="render", concurrency_limit=None)
            gr.on(None, work, None, html, api_name="work", concurrency_limit=None)
            gr.on(None, stream, None, html, api_name="stream", concurrency_limit=None)
            gr.on(None, put, name, [state, html], api_name="put", concurrency_limit=None)
            gr.on(None, read, state, gr.HTML(), api_name="read", concurrency_limit=None)

    def postprocess(self, value: str | None) -> str | None:
        if value == "slow":
            self.prepare.wait(10)
        return value


@pytest.fixture
def app():
    app = App()
    _, url, _ = app.page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    app.client = Client(url, verbose=False)
    yield app
    for event in app.go_on.values():
        event.set()
    app.prepare.set()
    app.page.close()


@pytest.fixture
def app_in_browser():
    go_on = {name: threading.Event() for name in ("older", "newer", "stream", "long")}

    def answer(name: str) -> str:
        go_on[name].wait(60)
        return name

    def echo(name: str) -> str:
        return name

    def stream() -> Iterator[list]:
        yield ["streamed", 150]
        go_on["stream"].wait(20)

    def show_long() -> Iterator[list]:
        yield [gr.update(visible=True), "drawing"]
        yield [gr.skip(), "earlier"]
        go_on["long"].set()  # what was yielded has been sent

    with Page() as page:
        html = gr.HTML(elem_id="answer")
        for name in ("older", "newer"):
            gr.Button(name).click(functools.partial(answer, name), None, html, concurrency_limit=None)
        for name in ("sent first", "sent last"):
            gr.Button(name).click(echo, gr.State(name), html, concurrency_limit=None)
        inputs = gr.Textbox(interactive=True, elem_id="typed"), gr.Slider(0, 200, interactive=True, elem_id="moved")
        gr.Button("stream").click(stream, None, list(inputs)).then(lambda: "over", None, html)
        gr.Button("last").click(functools.partial(answer, "long"), None, html, concurrency_limit=None)
        with gr.Column(visible=False) as long:
            for _ in range(300):
                gr.Textbox()
        gr.Button("long").click(show_long, None, [long, html], concurrency_limit=None)
    _, url, _ = launch.launch(page, prevent_thread_lock=True, quiet=True)
    yield go_on, url
    for event in go_on.values():
        event.set()
    page.close()


def changes(answer: object) -> bool:
    return not (isinstance(answer, dict) and set(answer) == {"__type__"})


def test_of_the_calls_of_a_handler_the_one_that_began_last_counts(app):
    earlier = app.client.submit("one", api_name="/pick")
    assert app.begun["one"].wait(10)
    app.client.predict("two!", api_name="/pick")
    app.go_on["one"].set()

    assert not changes(earlier.result())
    assert app.client.predict(api_name="/read") == "two!"


def test_a_view_of_what_was_changed_meanwhile_is_not_shown(app):
    shown = app.client.submit(api_name="/render")
    assert app.begun["one"].wait(10)
    app.client.predict("another", api_name="/pick")
    app.go_on["one"].set()

    assert not changes(shown.result())


def test_a_view_ends_without_its_last_values_where_its_state_has_changed(app):
    working = app.client.submit(api_name="/work")
    assert app.begun["work"].wait(10)
    app.client.predict("another", api_name="/pick")
    app.go_on["work"].set()

    assert not changes(working.result())


def test_a_view_of_what_stays_is_shown(app):
    app.client.predict("another", api_name="/pick")
    app.go_on["one"].set()

    assert app.client.predict(api_name="/render") == "about another"


def test_values_come_in_the_order_of_their_states(app):
    slow = app.client.submit("slow", api_name="/pick")
    while app.client.predict(api_name="/read") != "slow":
        pass
    assert app.client.predict("quick", api_name="/put") == "quick"
    app.prepare.set()

    assert not changes(slow.result())
    assert app.client.predict(api_name="/read") == "quick"


def test_the_result_of_a_stream_is_its_last_value_to_a_client_of_the_api(app):
    streamed = app.client.submit(api_name="/stream")
    app.go_on["two"].set()

    assert streamed.result() == "streamed"


LATE_TIMERS = """
const timer = window.setTimeout;
window.setTimeout = (callback, delay, ...values) => timer(callback, values[0]?.msg ? 3000 : delay, ...values);
"""
"""What makes a browser hand on the answers that it gets by timers as late as a busy one does."""


def test_a_busy_browser_shows_the_answers_in_the_order_in_which_they_were_sent(app_in_browser, browser):
    go_on, url = app_in_browser
    page = browser.new_page()
    page.add_init_script(LATE_TIMERS)
    page.goto(url)
    held = []
    with page.expect_response("**/queue/data*"):
        page.get_by_role("button", name="older").click()
    page.route("**/queue/join*", lambda route: held.append((route, route.fetch())))
    page.get_by_role("button", name="newer").click()
    while not held:
        page.wait_for_timeout(100)
    for event in go_on.values():
        event.set()
        page.wait_for_timeout(500)  # its answer has come; nobody there knows yet that the newer's is one
    ((route, confirmation),) = held
    route.fulfill(response=confirmation)
    expect(page.locator("#answer")).to_have_text("newer")
    page.wait_for_timeout(3500)
    expect(page.locator("#answer")).to_have_text("newer")
    page.close()


def test_an_event_that_reaches_the_server_late_does_not_undo_one_that_was_sent_after_it(app_in_browser, browser):
    _, url = app_in_browser
    page = browser.new_page()
    page.goto(url)
    held = []
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    page.get_by_role("button", name="sent first").click()
    while not held:
        page.wait_for_timeout(50)
    page.get_by_role("button", name="sent last").click()
    expect(page.locator("#answer")).to_have_text("sent last")
    with page.expect_response("**/queue/join*"):
        held[0].continue_()
    page.wait_for_timeout(1500)
    expect(page.locator("#answer")).to_have_text("sent last")
    page.close()


def test_the_end_of_a_stream_does_not_undo_what_was_typed_and_moved_meanwhile(app_in_browser, browser):
    go_on, url = app_in_browser
    page = browser.new_page()
    page.goto(url)
    page.get_by_role("button", name="stream").click()
    typed, moved = page.locator("#typed textarea"), page.locator("#moved input[type=number]")
    expect(typed).to_have_value("streamed")
    expect(moved).to_have_value("150")
    typed.fill("typed")
    moved.fill("100")
    go_on["stream"].set()
    expect(page.locator("#answer")).to_have_text("over")
    expect(typed).to_have_value("typed")
    expect(moved).to_have_value("100")
    page.close()


def test_every_handler_shows_its_failure_in_the_language_of_its_page(monkeypatch):
    shown = []
    monkeypatch.setattr(failures, "warn", lambda message, language: shown.append((message.key, language)))

    def fail() -> None:
        raise RunError("run.none")

    def fail_later() -> Iterator[str]:
        yield "begun"
        raise RunError("run.none")

    with Page() as page:
        for _ in range(2):
            gr.Button().click(fail)
        gr.Button().click(fail_later)
    with page.route("Korean", "ko"):
        gr.Textbox().input(fail)
    first, second, generator, korean = page.fns.values()

    assert first.fn is second.fn  # of one handler, the newest call counts, whichever button was pressed
    assert [first.fn(), *generator.fn(), korean.fn()] == [gr.skip(), "begun", gr.skip(), gr.skip()]
    assert shown == [("errors.run.none", "en"), ("errors.run.none", "en"), ("errors.run.none", "ko")]
    assert (generator.concurrency_limit, korean.trigger_mode) == (None, "always_last")


def test_a_card_may_change_its_own_components_and_no_others():
    with gr.Blocks():
        one, two, three = gr.HTML(), gr.State(None), gr.Button()

        class Card:
            def __init__(self) -> None:
                self.language, self.one, self.buttons, self.again = "en", one, {"three": three}, [one, two]

    assert components(Card()) == [one, three, two]


def test_an_answer_that_takes_long_to_draw_holds_back_no_earlier_one(app_in_browser, browser):
    _, url = app_in_browser
    page = browser.new_page()
    page.goto(url)
    for name in ("last", "long"):
        page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator("textarea")).to_have_count(301)
    page.wait_for_timeout(1000)
    expect(page.locator("#answer")).to_have_text("long")
    page.close()


TWO_EVENTS = """async () => {
    const event = () => {
        const answers = [], waiting = [];
        return {
            fire: value => waiting.length ? waiting.shift()({value, done: false}) : answers.push(value),
            next: () => answers.length
                ? Promise.resolve({value: answers.shift(), done: false})
                : new Promise(resolve => waiting.push(resolve)),
            return: () => waiting.splice(0).forEach(resolve => resolve({done: true})),
        };
    };
    const drawn = [];
    const draw = async answers => {
        for await (const answer of window.inTurn(answers)) {
            await new Promise(resolve => setTimeout(resolve, answer === 1 ? 200 : 0));
            drawn.push(answer);
            if (answer > 3) return;
        }
    };
    const [one, other] = [event(), event()];
    const both = [draw(one), draw(other)];
    await Promise.resolve();
    [one, one, other, one, other].forEach((each, i) => each.fire(i + 1));
    await Promise.all(both);
    return drawn;
}"""
"""Two events as Gradio's client has them, whose answers come at once; the first takes long to draw."""


def test_answers_that_come_at_once_are_drawn_in_their_order(app_in_browser, browser):
    _, url = app_in_browser
    page = browser.new_page()
    page.goto(url)
    assert page.evaluate(TWO_EVENTS) == [1, 2, 3, 4, 5]
    page.close()
