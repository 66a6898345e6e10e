"""No text from a browser becomes a path, on a page that others reach; and no data field opens an address."""

import itertools
import random
import socket

import pytest

from studio.config import RunConfig
from studio.errors import StudioError

CANARY = "canary-5f0c2"


PLAIN = ("/etc/passwd", "/proc/self/environ", "C:\\Windows\\win.ini", "~/.ssh/id")
UP = ("", "../", "..\\", "....//", "%2e%2e/", "..%2f", "..%c0%af", "..;/", "./././", "/./")
BEFORE = ("", "file://", "file:", "//", "\\\\?\\", "zip://x::", "http://127.0.0.1/", "gs://", "@", "\x00", "\ufeff")
AFTER = ("", "\x00.csv", "%00", "?x=1", "#x", "/.", "\n")


def hostile(targets, count):
    """Return `count` names for the files `targets`, and for others, as attacks write them."""
    ways = itertools.product(BEFORE, UP, (1, 9), [*map(str, targets), *PLAIN], AFTER)
    names = [f"{b}{u * n}{name.lstrip('/') if u else name}{a}" for b, u, n, name, a in ways]
    return random.Random(0).sample(list(dict.fromkeys(names)), count)


@pytest.fixture
def canaries(home, tmp_path, finished_run):
    """Files that nobody may read: beside the home, in it, and in a run."""
    places = [tmp_path / "secret.csv", home / "uploads.txt", finished_run.path / "secret.jsonl"]
    for place in places:
        place.write_text(f"question,answer\n{CANARY},x\n", encoding="utf-8")
    return places


@pytest.mark.long
def test_no_hostile_name_reaches_a_file_over_the_file_route(owner, canaries):
    names = [name.replace("\n", "%0A").replace("\x00", "%00") for name in hostile(canaries, 1000)]

    answers = [owner.http.get(f"/gradio_api/file={name}") for name in [*map(str, canaries), *names]]

    assert {answer.status_code for answer in answers} <= {400, 403, 404, 500, 502}
    assert not any(CANARY.encode() in answer.content for answer in answers)


def test_no_hostile_name_opens_anything_through_an_event(owner, shared, canaries, finished_run):
    names = [*map(str, canaries), *hostile(canaries, 17)]
    events = {
        ("tabs.data_events", "take_path"): 0,
        ("tabs.model_choice", "look_at_model"): 0,
        ("tabs.comparing", "open_run"): 0,
        ("tabs.compare_events", "compare"): 2,
    }
    asked = 0
    for (module, handler), place in events.items():
        found = [number for number, event in shared.page.fns.items() if _is(event, module, handler)]
        for number, name in itertools.product(found[:1], names):
            data = [getattr(part, "value", None) for part in shared.page.fns[number].inputs]
            data[place] = name
            assert owner.join(number, data).status_code == 200
            owner.outcome()
            asked += 1

    assert asked >= 60
    assert CANARY.encode() not in b"".join(owner.heard)


def _is(event, module, name):
    return event.fn is not None and event.fn.__module__.endswith(module) and event.fn.__name__ == name


def test_a_shared_page_takes_no_folder_as_a_model(shared, canaries):
    from studio.errors import ModelError
    from studio.ui import form, launch

    with pytest.raises(ModelError):
        launch.refuse_folder(str(canaries[0].parent))
    with pytest.raises(ModelError):
        form.read({"model.id": str(canaries[0].parent)}, RunConfig())


@pytest.mark.parametrize("named", ["/etc", "../../runs", "a/../b", "\x00", "C:\\x", "~", "//host/share"])
def test_no_folder_is_named_as_a_checkpoint(named):
    from studio.ui.tabs import compare_events

    with pytest.raises(StudioError):
        compare_events.after("20250101-000000-x-0000", named, 100)


FIELDS = {
    "data.source.name": {"data.source.kind": "file"},
    "data.source.name ": {"data.source.kind": "bundled"},
    "data.source.name  ": {"data.source.kind": "hub"},
    "data.validation.name": {"data.validation.kind": "file"},
    "evaluation.prompts": {},
    "model.id": {},
}
ADDRESSES = (
    "http://127.0.0.1:9/a.csv",
    "https://example.invalid/a.csv",
    "ftp://example.invalid/a.csv",
    "file:///etc/passwd",
    "zip://a.csv::http://example.invalid/a.zip",
    "s3://bucket/a.csv",
    "\\\\example.invalid\\share\\a.csv",
    "hf://datasets/a/b/c.csv",
)


@pytest.fixture
def no_sockets(monkeypatch):
    """Let nothing connect anywhere, and tell who tries."""
    tried = []

    def refuse(self, address):
        tried.append(address)
        raise OSError("no sockets in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: tried.append(a) or (_ for _ in ()).throw(OSError("no")))
    return tried


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("field", FIELDS)
def test_an_address_in_a_data_field_opens_nothing(no_sockets, field, address):
    settings = {**FIELDS[field], field.strip(): address}
    with pytest.raises(StudioError):
        read(field.strip(), settings)

    assert not no_sockets


def read(field, settings):
    from studio.data import prepare, source
    from studio.model import load

    config = RunConfig().with_settings(settings)
    if field == "model.id":
        return load.fetch(config.model)
    if field == "evaluation.prompts":
        return prepare.held_out(config.evaluation.prompts)
    if field == "data.validation.name":
        return source.open_table(prepare.validation_source(config.data)).columns
    return prepare.table(config.data).columns
