"""A page is made once, for each of its addresses, where all who may see it see the same."""

import gzip
import json

import anyio
import httpx
import pytest

from studio import runs
from studio.config import RunConfig
from studio.ui.pages import MOST_PAGES, Pages


class App:
    """An app whose every page says how often it was asked."""

    def __init__(self, headers=(), status: int = 200):
        self.count = 0
        self._headers, self._status = headers, status

    async def __call__(self, scope, receive, send):
        self.count += 1
        headers = [(b"content-type", b"text/html"), (b"content-length", b"99"), *self._headers]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": b"visit ", "more_body": True})
        await send({"type": "http.response.body", "body": str(self.count).encode()})


def _get(pages: Pages, path: str = "/", query: bytes = b"", **headers: str) -> str:
    """Return the text of a page."""
    sent = []

    async def send(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": "here", **headers}.items()]
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": path, "query_string": query, "headers": raw}
    anyio.run(pages, scope, None, send)
    body, answer = b"".join(message.get("body", b"") for message in sent), dict(sent[0]["headers"])
    assert int(answer[b"content-length"]) == len(body)
    return (gzip.decompress(body) if b"content-encoding" in answer else body).decode()


def test_a_page_is_made_once_for_each_of_its_addresses():
    pages = Pages(App(), keeps=True)

    assert [_get(pages), _get(pages)] == ["visit 1"] * 2
    assert _get(pages, accept_encoding="gzip, br") == "visit 2"
    assert _get(pages, host="there").endswith("3")
    assert _get(pages, x_forwarded_proto="https").endswith("4")
    assert _get(pages, "/ko").endswith("5")
    assert _get(pages, query=b"deep_link=1").endswith("6")
    assert _get(pages, "/ko", cookie="other").endswith("5")


def test_only_the_newest_pages_are_kept():
    pages = Pages(App(), keeps=True)

    for number in range(MOST_PAGES + 1):
        _get(pages, query=str(number).encode())

    assert _get(pages, query=b"1").endswith("visit 2")
    assert _get(pages, query=b"0").endswith(f"visit {MOST_PAGES + 2}")


@pytest.mark.parametrize(
    ("app", "keeps"), [(App(), False), (App([(b"set-cookie", b"a=b")]), True), (App(status=500), True)]
)
def test_a_page_that_is_not_the_same_for_all_is_made_anew(app, keeps):
    pages = Pages(app, keeps)

    assert [_get(pages), _get(pages)] == ["visit 1", "visit 2"]


def test_a_page_shows_a_first_visit_from_its_start_while_there_is_no_run(page_url):
    def is_first_visit() -> bool:
        _, _, config = httpx.get(page_url).text.partition("window.gradio_config = ")
        parts = json.JSONDecoder().raw_decode(config)[0]["components"]
        return next(part["props"]["visible"] for part in parts if part["props"].get("elem_id") == "hero")

    assert is_first_visit()
    runs.create(RunConfig())
    assert not is_first_visit()
