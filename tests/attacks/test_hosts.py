"""Other names for this machine and other pages are refused, by their headers alone."""

import argparse
import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.responses import PlainTextResponse

import app as studio_app
from studio.ui import access, app, hosts, launch
from studio.ui.hosts import Names

LOCAL, ANY = Names(), Names(open=True, own={"studio.example"})
SHARED = Names(own={"abc123.gradio.live"})
SPACE = Names(open=True, own={"someone-studio.hf.space"}, ends=(".hf.space",))
COLAB = Names(ends=hosts.COLAB)


@pytest.mark.parametrize(
    ("names", "host", "known"),
    [
        (LOCAL, "127.0.0.1:7860", True),
        (LOCAL, "localhost", True),
        (LOCAL, "[::1]:7860", True),
        (LOCAL, "127.8.9.1:80", True),
        (LOCAL, "attacker.example:7860", False),
        (LOCAL, "127.0.0.1.attacker.example", False),
        (LOCAL, "localhost.attacker.example", False),
        (LOCAL, "192.168.1.5:7860", False),
        (LOCAL, "0x7f000001", False),
        (LOCAL, "x.hf.space", False),
        (LOCAL, "", False),
        (LOCAL, "localhost:bad:port", False),
        (ANY, "192.168.1.5:7860", True),
        (ANY, "[fe80::1]:7860", True),
        (ANY, "STUDIO.example", True),
        (ANY, "attacker.example", False),
        (SHARED, "abc123.gradio.live", True),
        (SHARED, "other.gradio.live", False),
        (SHARED, "192.168.1.5:7860", False),
        (SPACE, "someone-studio.hf.space", True),
        (SPACE, "10.1.2.3:7860", True),
        (SPACE, "hf.space.attacker.example", False),
        (COLAB, "x1-7860-colab.googleusercontent.com", True),
        (COLAB, "7860-m-s-1.europe-west1-0.prod.colab.dev", True),
        (COLAB, "evil.googleusercontent.com", False),
        (LOCAL, "x1-7860-colab.googleusercontent.com", False),
    ],
)
def test_a_host_is_known_or_refused(names, host, known):
    assert (names.refuse({"host": host}) is None) is known


@pytest.mark.parametrize(
    ("names", "host", "origin", "allowed"),
    [
        (LOCAL, "127.0.0.1:7860", "http://127.0.0.1:7860", True),
        (LOCAL, "127.0.0.1:7860", "http://127.0.0.1:3000", False),
        (LOCAL, "127.0.0.1:7860", "https://attacker.example", False),
        (LOCAL, "127.0.0.1:7860", "null", False),
        (LOCAL, "127.0.0.1:7860", "", False),
        (LOCAL, "127.0.0.1:7860", "file://", False),
        (LOCAL, "127.0.0.1:7860", "http://127.0.0.1:7860@attacker.example", False),
        (LOCAL, "127.0.0.1:7860", "https://x1-7860-colab.googleusercontent.com", False),
        (SHARED, "127.0.0.1:7860", "https://abc123.gradio.live", True),
        (SHARED, "abc123.gradio.live", "https://abc123.gradio.live", True),
        (SHARED, "abc123.gradio.live", "https://other.gradio.live", False),
        (SPACE, "someone-studio.hf.space", "https://someone-studio.hf.space", True),
        (SPACE, "10.1.2.3:7860", "https://someone-studio.hf.space", True),
        (SPACE, "someone-studio.hf.space", "https://evil.hf.space", False),
        (SPACE, "someone-studio.hf.space", "https://huggingface.co", False),
        (ANY, "192.168.1.5:7860", "http://192.168.1.5:7860", True),
        (ANY, "192.168.1.5:7860", "http://192.168.1.6:7860", False),
    ],
)
def test_an_origin_is_the_page_itself_or_refused(names, host, origin, allowed):
    assert (names.refuse({"host": host, "origin": origin}) is None) is allowed


@pytest.mark.parametrize(
    ("given", "host", "origin", "allowed"),
    [
        ([], "127.0.0.1:7860", "http://127.0.0.1:7860", True),
        ([], "127.0.0.1:7860", "http://127.0.0.1:8000", False),
        ([], "127.0.0.1:7860", "http://127.0.0.1", False),
        ([], "127.0.0.1:7860", "https://127.0.0.1:7860", False),
        ([], "127.0.0.1:7860", "http://localhost:7860", False),
        ([], "localhost:7860", "http://localhost:3000", False),
        ([], "[::1]:7860", "http://[::1]:7860", True),
        ([], "[::1]:7860", "http://[::1]:7861", False),
        ([], "127.0.0.1:80", "http://127.0.0.1", True),
        ([], "127.0.0.1:7860", "http://127.0.0.1:7860/path", False),
        ([], "127.0.0.1:7860", "http://127.0.0.1:7860#x", False),
        ([], "127.0.0.1:7860", "http://x@127.0.0.1:7860", False),
        ([], "127.0.0.1:7860", "http://127.0.0.1:99999", False),
        ([], "127.0.0.1:7860", "http://127.0.0.1:7860, http://127.0.0.1:7860", False),
        (["studio.example"], "127.0.0.1:7860", "https://studio.example", True),
        (["studio.example"], "studio.example", "http://studio.example", True),
        (["studio.example"], "studio.example", "https://studio.example:8443", False),
        (["studio.example"], "studio.example", "https://other.example", False),
        (["https://studio.example"], "studio.example", "http://studio.example:81", False),
        (["https://studio.example"], "127.0.0.1:7860", "http://studio.example", False),
        (["studio.example:8443"], "127.0.0.1:7860", "https://studio.example:8443", True),
        (["studio.example:8443"], "127.0.0.1:7860", "https://studio.example", False),
        (["127.0.0.1"], "127.0.0.1:7860", "http://127.0.0.1:80", False),
        (["localhost"], "localhost:7860", "https://localhost", False),
    ],
)
@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0", "studio.local"])
def test_an_origin_has_the_pages_scheme_and_name_and_port(given, host, origin, allowed, listening):
    names = door_of(listening, given).names
    assert (names.refuse({"host": host, "origin": origin}) is None) is allowed


def test_the_listening_host_is_a_name_and_never_an_origin_without_its_port():
    names = door_of("studio.local", []).names
    assert names.refuse({"host": "studio.local:7860"}) is None
    assert names.refuse({"host": "studio.local:7860", "origin": "http://studio.local:7860"}) is None
    for origin in ("http://studio.local", "http://studio.local:8000", "https://studio.local:7860"):
        assert names.refuse({"host": "studio.local:7860", "origin": origin}) == "access.origin"


def test_the_scheme_is_that_of_the_request():
    headers = {"host": "127.0.0.1:7860", "origin": "https://127.0.0.1:7860"}
    assert LOCAL.refuse(headers, "https") is None
    assert LOCAL.refuse(headers, "http") == "access.origin"


def door_of(host, allowed):
    given = {"share": False, "allow_host": allowed, "owner_password": None, "guest_password": None}
    return studio_app._door(argparse.Namespace(host=host, **given))[0]


def test_behind_colabs_proxy_the_origin_is_the_proxys(monkeypatch):
    headers = {"host": "localhost:7860", "origin": "https://x1-7860-colab.googleusercontent.com"}
    assert COLAB.refuse(headers) == "access.origin"
    monkeypatch.setenv("COLAB_RELEASE_TAG", "1")
    assert COLAB.refuse(headers) is None
    inside = Names.here()
    assert inside.refuse({**headers, "host": "x1-7860.colab-user-runtimes.internal"}) is None
    assert inside.refuse({"host": "x1.colab-user-runtimes.internal", "origin": "https://x.example"}) == "access.origin"
    for origin in ("http://x1-7860-colab.googleusercontent.com", "https://x1-7861-colab.googleusercontent.com"):
        assert COLAB.refuse({**headers, "origin": origin}) == "access.origin"
    assert COLAB.refuse({**headers, "origin": f"{headers['origin']}:8443"}) == "access.origin"
    assert COLAB.refuse({**headers, "host": "y2-7860-colab.googleusercontent.com"}) == "access.origin"


@pytest.mark.parametrize(
    ("site", "mode", "allowed"),
    [
        ("cross-site", "navigate", True),
        ("cross-site", "no-cors", False),
        ("same-site", "cors", False),
        ("same-origin", "cors", True),
        ("none", "navigate", True),
    ],
)
def test_a_browser_that_says_that_another_page_asks_is_believed(site, mode, allowed):
    headers = {"host": "localhost", "sec-fetch-site": site, "sec-fetch-mode": mode}
    assert (LOCAL.refuse(headers) is None) is allowed


def test_the_names_of_a_space_come_from_its_settings(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/studio")
    monkeypatch.setenv("SPACE_HOST", "someone-studio.hf.space, studio.example")
    names = Names.here(open_=True)
    assert all(names.knows(name) for name in ("someone-studio.hf.space", "studio.example", "other.hf.space"))
    assert not names.knows("attacker.example")


@pytest.fixture(scope="module")
def local():
    """The page as `python app.py` launches it, without a login."""
    launch.open_to(access.Door())
    page = app.build()
    _, url, _ = launch.launch(page, prevent_thread_lock=True, quiet=True)
    yield url
    page.close(verbose=False)


@pytest.mark.long
def test_the_local_page_has_no_login_and_answers_its_own_name_alone(local):
    assert httpx.get(f"{local}config").status_code == 200
    other_port = local.replace(str(urlsplit(local).port), "1").rstrip("/")
    for headers in (
        {"host": "attacker.example:7860"},
        {"origin": "https://attacker.example"},
        {"origin": other_port},
        {"origin": local.rstrip("/").replace("http:", "https:")},
    ):
        for method, path in (("GET", ""), ("GET", "config"), ("POST", "gradio_api/queue/join")):
            answer = httpx.request(method, local + path, headers=headers)
            assert answer.status_code == 403, (headers, path)
            assert "components" not in answer.text


def test_a_refusal_is_in_the_readers_language(local):
    headers = {"host": "attacker.example", "accept-language": "ko"}
    assert "스튜디오의 주소가 아니에요" in httpx.get(local, headers=headers).json()["detail"]


def test_a_local_page_is_never_shared_by_itself():
    assert launch.settings()["share"] is False
    assert launch.settings()["auth"] is None
    assert launch.settings()["server_name"] == "127.0.0.1"


FRAMES = "frame-ancestors 'self'"


@pytest.mark.parametrize(
    ("variables", "others", "old"),
    [
        ({}, "", "SAMEORIGIN"),
        ({"SPACE_ID": "someone/studio"}, " https://huggingface.co https://*.hf.space", None),
        (
            {"COLAB_RELEASE_TAG": "1"},
            " https://colab.research.google.com https://*.googleusercontent.com https://*.colab.dev",
            None,
        ),
    ],
    ids=["here", "on a Space", "on Colab"],
)
def test_a_page_says_who_may_frame_it(monkeypatch, variables, others, old):
    for name in ("SPACE_ID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    transport = httpx.ASGITransport(access.Gate(PlainTextResponse("x"), access.Door()))

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/")

    with ThreadPoolExecutor(1) as thread:  # where a browser is driven, this one has an event loop already
        answer = thread.submit(asyncio.run, ask()).result()
    assert answer.headers["content-security-policy"] == FRAMES + others
    assert answer.headers.get("x-frame-options") == old


@pytest.mark.parametrize("path", ["", "ko", "config", "theme.css"])
def test_no_answer_of_the_local_page_may_be_framed(local, path):
    answer = httpx.get(local + path, follow_redirects=True)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == FRAMES
    assert httpx.get(local + path, headers={"host": "x.example"}).headers["content-security-policy"] == FRAMES


def test_no_answer_of_a_page_with_logins_may_be_framed(stranger, owner, guest):
    for visitor in (stranger, owner, guest):
        for path in ("/", "/guest/", "/logout", "/gradio_api/queue/data"):
            answer = visitor.get(path)
            assert answer.headers["content-security-policy"] == FRAMES, (visitor.root, path)


@pytest.fixture
def foreign(local):
    """A page on another port that shows the studio in a frame."""

    class Framing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><iframe src={local}></iframe>".encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Framing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(180)
def test_a_browser_shows_the_page_in_no_frame_of_a_foreign_page(foreign, browser):
    page = browser.new_page()
    page.goto(foreign)
    assert page.frames[1].url.startswith("chrome-error:")
    page.close()
