"""Somebody who talks to the page over HTTP, as Gradio's own page does: with a login or without, and never nicely."""

import json
import secrets
from typing import Any

import httpx

PASSWORDS = {"owner": "the owner's word", "guest": "the guest's word"}


def log_in(page: Any, url: str, name: str) -> None:
    """Log in on a page of the browser as the owner or the guest."""
    page.goto(url)
    page.locator("input:not([type=password]), textarea").first.fill(name)
    page.locator("input[type=password]").fill(PASSWORDS[name])
    page.locator("input[type=password]").press("Enter")


class Visitor:
    """One session on a page that is at `root` of `url`."""

    def __init__(self, url: str, blocks: Any, root: str = ""):
        self.http = httpx.Client(base_url=url, timeout=60)
        self.blocks, self.root = blocks, root
        self.session = secrets.token_hex(6)
        self.heard: list[bytes] = []
        """Every body that was answered."""

    def log_in(self, name: str, password: str | None = None) -> httpx.Response:
        given = {"username": name, "password": PASSWORDS[name] if password is None else password}
        return self.keep(self.http.post("/login", data=given))

    def keep(self, answer: httpx.Response) -> httpx.Response:
        self.heard.append(answer.content)
        return answer

    def get(self, path: str, **settings: Any) -> httpx.Response:
        return self.keep(self.http.get(path, **settings))

    def index(self, module: str, name: str) -> int:
        """Return the number of an event by its handler."""
        return next(number for number, event in self.blocks.fns.items() if is_named(event, module, name))

    def join(self, number: int, data: list[Any], trigger: int | None = None) -> httpx.Response:
        """Ask for an event by its number."""
        body = {"data": data, "fn_index": number, "session_hash": self.session, "trigger_id": trigger}
        return self.keep(self.http.post(f"{self.root}/gradio_api/queue/join", json=body))

    def call(self, module: str, name: str, known: dict[Any, Any] | None = None) -> list[Any]:
        """Carry out an event and return what it sent at last; `known` are values by component, the rest is empty."""
        number = self.index(module, name)
        event = self.blocks.fns[number]
        known = known or {}
        answer = self.join(number, [known.get(part, getattr(part, "value", None)) for part in event.inputs])
        assert answer.status_code == 200, answer.text
        return self.outcome()

    def outcome(self) -> list[Any]:
        """Return what the event that was asked for last has sent: its updates, the last one complete."""
        sent: list[Any] = []
        data = f"{self.root}/gradio_api/queue/data?session_hash={self.session}"
        with self.http.stream("GET", data) as stream:
            for line in stream.iter_lines():
                self.heard.append(line.encode())
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") in ("process_generating", "process_completed"):
                    sent.append(message["output"])
                if message.get("msg") in ("process_completed", "close_stream", "unexpected_error"):
                    return sent
        return sent


def is_named(event: Any, module: str, name: str) -> bool:
    handler = event.fn
    return handler is not None and handler.__module__.endswith(module) and handler.__name__ == name
