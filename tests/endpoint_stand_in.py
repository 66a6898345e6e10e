"""An OpenAI-compatible endpoint on this machine, which fails as it is told and remembers what it was sent."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-stand-in-4f1c9e"


def plainly(prompt: str) -> str:
    """Say a passage in other words, as far as a rule can: two words of three stay, and all numbers."""
    passage = prompt.rpartition("Text:\n")[2]
    words = re.findall(r"\w+", passage)
    kept = [word for number, word in enumerate(words) if number % 3 != 1 or word.isdigit()]
    return f"It is reported: {', '.join(kept)}."


class StandIn:
    """What it does, and what it has seen."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict] = []
        self.write: Callable[[str], str] = plainly
        self.failures: list = []
        """What the next requests meet, each a function of the handler; then it answers."""
        self.lock = threading.Lock()
        self.hold: threading.Event | None = None
        """Holds all answers back until it is set."""

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][0]["content"] for request in self.requests]


def fail(status: int, code: str = "", param: str = "", **headers: str) -> Callable:
    """Answer with an error that quotes the key, as real ones do."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        error = {"message": f"Incorrect API key provided: {KEY}", "code": code, "param": param}
        reply(handler, status, json.dumps({"error": error}).encode(), **headers)

    return answer


def say(body: bytes) -> Callable:
    """Answer with these bytes."""
    return lambda handler: reply(handler, 200, body)


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Promise more than comes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.connection.close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serve() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            with stand_in.lock:
                known = {"path": self.path, "authorization": self.headers.get("Authorization")}
                stand_in.requests.append(json.loads(content) | known)
                failure = stand_in.failures.pop(0) if stand_in.failures else None
            if stand_in.hold is not None:
                stand_in.hold.wait(30)
            if failure:
                failure(self)
                return
            text = stand_in.write(json.loads(content)["messages"][0]["content"])
            choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 50, "completion_tokens": 20}
            reply(self, 200, json.dumps({"choices": [choice], "usage": usage}).encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *given: None  # whoever asked has gone
    stand_in.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
