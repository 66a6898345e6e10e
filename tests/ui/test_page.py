"""The page over HTTP, as its own client sees it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client

from studio import runs
from studio.i18n import text
from studio.runs import State
from studio.ui import app, guest

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")


@pytest.fixture(scope="module")
def clients():
    """The clients of the pages, by address: each asks for all events of its page once."""
    connected = {}
    yield connected
    for each in connected.values():
        each.close()


@pytest.fixture
def client(page_url, clients):
    """A session of this test's own on the page."""
    if page_url not in clients:
        clients[page_url] = Client(page_url, verbose=False)
    clients[page_url].reset_session()
    return clients[page_url]


def test_the_page_is_built_without_the_heavy_libraries():
    program = (
        "import json, sys, app; from studio.ui import app as page, launch; page.build(); launch.settings();"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("module", [app, guest])
def test_a_change_while_the_one_before_is_handled_is_not_lost(build, module):
    page = build(module)
    lost = [
        f"{fn.api_name}: {page.blocks[block].__class__.__name__}.{event}"
        for fn in page.fns.values()
        if fn.fn is not None and fn.trigger_mode == "once"
        for block, event in fn.targets
        if event in ("input", "change") or (event == "select" and isinstance(page.blocks.get(block), gr.Tabs))
    ]
    assert lost == []


@pytest.mark.parametrize("module", [app, guest])
def test_what_a_browser_keeps_is_read_before_any_tab_opens(build, module):
    page = build(module)
    kept = [block for block in page.blocks.values() if isinstance(block, gr.BrowserState)]
    assert kept
    assert [state.storage_key for state in kept if state.parent is not page] == []


@pytest.mark.parametrize("module", [app, guest])
def test_a_session_keeps_no_description_of_the_components(build, module):
    from gradio.state_holder import SessionState

    page = build(module)
    session = SessionState(page)
    some = next(iter(page.blocks))
    session._update_value_in_config(some, "new")
    session[some] = page.blocks[some]

    assert set(session.blocks_config.blocks) == set(page.blocks)
    assert not any(session.config_values.values())
    assert all(part["type"] for part in page.get_config_file()["components"])


def test_a_page_is_compressed_and_what_streams_is_not(page_url):
    import httpx

    with httpx.stream("GET", page_url) as page:
        assert page.headers["content-encoding"] == "gzip"
        assert sum(map(len, page.iter_raw())) < 150_000
    with httpx.stream("GET", f"{page_url}gradio_api/heartbeat/somebody") as beats:
        assert beats.status_code == 200
        assert "content-encoding" not in beats.headers


def test_the_browser_gets_the_events_as_a_list_that_svelte_does_not_observe(page_url):
    import httpx

    config = httpx.get(page_url).text.partition("window.gradio_config = ")[2].partition("</script>")[0]
    _, end = json.JSONDecoder().raw_decode(config)
    assert "['dependencies', 'components']" in config[end:]
    assert "class extends Array {}.prototype" in config[end:]


def test_the_page_is_served_without_the_heavy_libraries(page_url):
    # The browser's first look is the configuration; what the first event answers is tested in the journey.
    import httpx

    answer = httpx.get(page_url + "config")

    assert answer.status_code == 200
    assert answer.json()["title"] == text("ui.name")


def test_each_language_has_a_page_of_its_own_words(page_url):
    import httpx

    english, korean = (httpx.get(page_url + path).text for path in ("", "ko"))

    start = {language: json.dumps(text("ui.train.start", language), ensure_ascii=False) for language in ("en", "ko")}
    assert start["en"] in english
    assert start["ko"] not in english
    assert start["ko"] in korean
    assert start["en"] not in korean


@pytest.mark.parametrize(
    ("path", "headers", "page"),
    [
        ("", {"accept-language": "ko"}, "ko"),
        ("", {"accept-language": "ko", "cookie": "restyle-language=en"}, ""),
        ("", {"accept-language": "en", "cookie": "restyle-language=ko"}, "ko"),
        ("?language=en", {"accept-language": "ko", "cookie": "restyle-language=ko"}, ""),
        ("", {"accept-language": "de", "cookie": "restyle-language=de"}, ""),
        ("ko", {"accept-language": "en"}, "ko"),
    ],
)
def test_the_root_leads_to_the_page_of_the_visitors_language(page_url, path, headers, page):
    import httpx

    answer = httpx.get(page_url + path, headers=headers, follow_redirects=True)

    assert answer.url.path == f"/{page}"
    assert answer.status_code == 200


def test_files_of_the_studio_are_not_served(page_url, home):
    import httpx

    secret = home / "runs" / "secret.txt"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("secret", encoding="utf-8")

    for path in (secret, ROOT / "pyproject.toml"):
        assert httpx.get(f"{page_url}gradio_api/file={path}").status_code == 403


def test_a_tick_without_news_changes_nothing(client):
    first = client.predict(api_name="/show_run_news")
    second = client.predict(api_name="/show_run_news")

    assert all("value" not in update for update in second if isinstance(update, dict)), (first, second)


def test_a_run_of_another_process_is_followed_by_its_folder(client, preset):
    run = runs.create(preset)
    client.predict(api_name="/show_run_news")
    run.enter(State.STOPPED)

    told = json.dumps(client.predict(api_name="/show_run_news"), ensure_ascii=False)

    assert text("state.stopped") in told


@pytest.mark.timeout(240)
def test_start_stop_and_compare_by_the_handlers_alone(client, preset, build):
    from studio.ui import form

    values = list(_form_values(build(app), preset))
    started = client.predict(*values, api_name="/start")
    run = runs.find("last")
    assert run.id in json.dumps(started, ensure_ascii=False)
    deadline = time.monotonic() + 180
    while run.status().state.alive and time.monotonic() < deadline:
        time.sleep(0.2)

    assert run.status().state is State.FINISHED, run.log.read_text(encoding="utf-8")[-2000:]
    assert form.to_values(run.config())["lora.r"] == preset.lora.r

    client.predict(None, api_name="/offer_runs")
    sides = client.predict("plain", "What is 3?", *_asked(run.id), api_name="/compare")
    told = json.dumps(sides, ensure_ascii=False)
    assert text("ui.answer.tokens", n=8) in told or text("ui.answer.turn") in told
    assert text("ui.proof.verified") in told


def _asked(run_id):
    """Return what the page sends for a run at full strength, two columns that are not open, no prompt and no mix."""
    numbers, mix = (0.0, 8, 0, 1.0, 0, 1.0), (None, 70, None, 30, None, 30, "cat", 50)
    return [run_id, "now", 100, *numbers, *("now", 50, "", ""), *("now", 150, "", ""), "", *mix]


def _form_values(page, config):
    """Return what the page's form sends for `config`: all but the source's name, which stays on the server."""
    from studio.ui import form

    values = form.to_values(config)
    titles = {text(f"config.{path}.title"): path for path in values}
    start = next(fn for fn in page.fns.values() if fn.api_name == "start")
    inputs = [block for block in start.inputs if not isinstance(block, gr.State)]
    *settings, token = inputs
    assert token.type == "password"
    return [*(values[titles[block.label]] for block in settings), None]
