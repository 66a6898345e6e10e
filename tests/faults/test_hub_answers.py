"""What the Hub says about a model: gated, unknown, and a token that it does not take. Each has words of its own."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

TOKEN = "hf_canarycanarycanarycanarycanary"

ANSWERS = {
    "owner/gated": (403, {"X-Error-Code": "GatedRepo"}),
    "owner/unknown": (401, {"X-Error-Code": "RepoNotFound"}),
    "owner/bad-token": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
}


class Hub(BaseHTTPRequestHandler):
    """Answers about a model what `ANSWERS` holds, and remembers the tokens it was given."""

    tokens: ClassVar[set[str | None]] = set()

    def do_GET(self):
        self.tokens.add(self.headers.get("Authorization"))
        status, headers = next(
            (answer for name, answer in ANSWERS.items() if name in self.path), (404, {"X-Error-Code": "RepoNotFound"})
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_gated_unknown_and_bad_token_are_three_messages_and_the_token_is_in_none(hub, tmp_path):
    code = (
        "import json, sys, logging, traceback\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from studio.errors import ModelError\n"
        "from studio.model import hub\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    try:\n        hub.fetch(name, None)\n"
        "    except ModelError as error:\n"
        "        print(json.dumps([name, error.key, error.message.text('en'), error.message.text('ko')]))\n"
        "        traceback.print_exc()\n"
    )
    told = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
    said = subprocess.run(
        [sys.executable, "-c", code, json.dumps(list(ANSWERS))],
        capture_output=True, text=True, timeout=120, env=os.environ | told,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    answers = {name: (key, *texts) for name, key, *texts in map(json.loads, said.stdout.splitlines())}
    assert answers.keys() == ANSWERS.keys(), said.stderr
    assert answers["owner/gated"][0] == "model.gated"
    assert answers["owner/unknown"][0] == "model.unknown"
    assert len({key for key, *_ in answers.values()}) == 3
    assert f"Bearer {TOKEN}" in Hub.tokens
    assert TOKEN not in said.stdout + said.stderr
