"""A small real HTTP server that stands in for the Hugging Face Hub, as far as models need it.

It serves folders as repositories: what a model is, its files, and who may read them; it takes uploads (`hub_uploads`).
Every request is recorded.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote, urlsplit

import hub_uploads
import job_runner

PART = 16384
"""Bytes that are sent at a time."""


@dataclass
class Repository:
    """A model on the stand-in; its files are those of a folder."""

    folder: Path
    commit: str = "c0ffee" + "0" * 34
    card: dict[str, Any] = field(default_factory=lambda: {"license": "mit"})
    gated: bool = False
    private: bool = False
    readers: set[str] = field(default_factory=set)
    """Tokens that may read it when it is gated or private."""
    config: dict[str, Any] | None = None
    """What the Hub tells of config.json; read from the file if not given."""

    history: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """The files of earlier commits, by commit."""
    lock: Any = field(default_factory=threading.RLock, repr=False)
    """Held while a commit is written, so that nobody sees a part of one."""

    def files(self, revision: str = "main") -> dict[str, bytes]:
        with self.lock:
            if revision in self.history:
                return self.history[revision]
            return {
                path.relative_to(self.folder).as_posix(): path.read_bytes()
                for path in sorted(self.folder.rglob("*"))
                if path.is_file()
            }

    def about(self) -> dict[str, Any]:
        """What the Hub tells of it to everybody who may know of it."""
        with self.lock:
            files, commit = self.files(), self.commit
        settings = json.loads(files.get("config.json", b"{}"))
        return {
            "sha": commit,
            "gated": "manual" if self.gated else False,
            "private": self.private,
            "cardData": self.card,
            "config": settings if self.config is None else self.config,
            "safetensors": {"parameters": {"F32": 35168}, "total": 35168},
            "siblings": [sibling(name, content) for name, content in files.items()],
        }


def sibling(name: str, content: bytes) -> dict[str, Any]:
    """Describe a file as model_info does; weights are in large-file storage."""
    told: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
    if name.endswith(hub_uploads.LARGE):
        told["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return told


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Request:
    method: str
    path: str
    token: str | None


class HubStandIn:
    """The server's state: repositories by id, tokens that are known, and the requests so far."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.tokens: set[str] = set()
        self.requests: list[Request] = []
        self.hold: threading.Event | None = None
        """If set, weights stop in their middle until it is set."""
        self.halfway = threading.Event()
        """Set when weights have stopped in their middle."""
        self.failure: int | None = None
        """An HTTP status that every request gets."""
        self.url = ""
        self.accounts: dict[str, hub_uploads.Account] = {}
        """Who may push, by token."""
        self.store: dict[str, bytes] = {}
        """Large files that have arrived, by their SHA-256, also where no commit has named them."""
        self.cuts = 0
        """How many more uploads of a large file lose their connection in the middle."""
        self.arriving: threading.Event | None = None
        """If set, an upload of a large file stops in its middle until it is set."""
        self.jobs = job_runner.JobRunner(self)
        """What it runs for accounts, as processes of this machine."""
        self.away = False
        """Whether it gives no answers but to its own jobs: the network of this machine is gone."""
        self.committing = threading.Lock()
        self.folder = Path()
        """Where repositories are made that are created on the stand-in."""

    def add(self, name: str, folder: Path, **settings: Any) -> Repository:
        self.repositories[name] = repository = Repository(folder, **settings)
        return repository

    def account(self, token: str, name: str, role: str = "write", orgs: tuple[str, ...] = ()) -> None:
        """Make an account whose token may write."""
        self.tokens.add(token)
        self.accounts[token] = hub_uploads.Account(name, role, orgs)

    def uploaded(self) -> list[str]:
        """The SHA-256 of the large files that were sent, in order, those that broke off included."""
        return [r.path.rsplit("/", 1)[-1] for r in self.requests if r.method == "PUT"]

    def validate(self, card: Any) -> None:
        """Let huggingface_hub check a card here: it names the Hub's own address, whatever the endpoint is."""
        import httpx

        class Session:
            @staticmethod
            def post(address: str, **settings: Any) -> Any:
                return httpx.post(self.url + urlsplit(address).path, **settings)

        with mock.patch("huggingface_hub.repocard.get_session", Session):
            card.validate()

    def fetched(self) -> list[str]:
        """The names of the files that were sent."""
        return [r.path.rsplit("/", 1)[-1] for r in self.requests if r.method == "GET" and "/resolve/" in r.path]


class _Handler(job_runner.Jobs, hub_uploads.Uploads, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubStandIn

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, send: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        given = token if scheme == "Bearer" else None
        self.hub.requests.append(Request(self.command, path, given))
        if self.is_away():
            return None
        if self.hub.failure:
            return self._refuse(self.hub.failure, "", "the stand-in was told to fail")
        if given and given not in self.hub.tokens:
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self.whoami(given)
        if path.startswith("/api/jobs/"):
            return self.tell_jobs(path, given)
        start = next((each for each in ("/api/models/", "/api/spaces/", "/spaces/") if path.startswith(each)), "/")
        owner, name, *rest = path.removeprefix(start).split("/")
        repository = self.hub.repositories.get(f"{owner}/{name}")
        may_read = repository and (not (repository.gated or repository.private) or given in repository.readers)
        if repository is None or (repository.private and not may_read):
            return self._refuse(404 if given else 401, "RepoNotFound", "Repository not found")
        what = rest.pop(0) if rest else "about"
        revision = rest.pop(0) if what in ("revision", "tree", "resolve") else "main"
        if revision not in ("main", repository.commit, *repository.history):
            return self._refuse(404, "RevisionNotFound", "Invalid rev id")
        if what in ("auth-check", "resolve") and not may_read:
            return self._refuse(403 if given else 401, "GatedRepo", "Access to this model is restricted")
        if what == "resolve":
            return self._file(repository, "/".join(rest), revision, send)
        if what == "tree":
            return self._json([self._entry(name, content) for name, content in repository.files(revision).items()])
        told = {"id": f"{owner}/{name}", **repository.about()}
        return self._json(told if revision == "main" else {**told, "sha": revision})

    @staticmethod
    def _entry(name: str, content: bytes) -> dict[str, Any]:
        told = sibling(name, content)
        entry = {"type": "file", "path": name, "size": told["size"], "oid": told["blobId"]}
        if "lfs" in told:
            entry["lfs"] = {"oid": told["lfs"]["sha256"], "size": told["size"], "pointerSize": 130}
        return entry

    def _file(self, repository: Repository, name: str, revision: str, send: bool) -> None:
        content = repository.files(revision).get(name)
        if content is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        told = sibling(name, content)
        self.send_response(200)
        self.send_header("ETag", f'"{told["lfs"]["sha256"] if "lfs" in told else told["blobId"]}"')
        self.send_header("X-Repo-Commit", repository.commit if revision == "main" else revision)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not send:
            return None
        for start in range(0, len(content), PART):
            if self.hub.hold and "lfs" in told and start >= len(content) // 2:
                self.wfile.flush()
                self.hub.halfway.set()
                self.hub.hold.wait(60)
            try:
                self.wfile.write(content[start : start + PART])
            except OSError:  # the reader was killed
                self.close_connection = True
                return None
        return None

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode())

    def _refuse(self, status: int, code: str, words: str) -> None:
        self._send(status, json.dumps({"error": words}).encode(), {"X-Error-Code": code, "X-Error-Message": words})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serve() -> Iterator[HubStandIn]:
    """Run a stand-in on a free port of this machine."""
    hub = HubStandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        for waited_for in filter(None, (hub.hold, hub.arriving)):
            waited_for.set()
        hub.jobs.close()
        server.shutdown()
        server.server_close()
        thread.join()


def use(hub: HubStandIn, folder: Path, monkeypatch: Any) -> None:
    """Let this process and its children take the stand-in for the Hub, with a cache and a login in `folder`."""
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(folder))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # its servers are not stood in for
    hub.folder = folder / "repositories"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
