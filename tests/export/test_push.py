"""A push gives the Hub what the export holds, private and in one commit, and the token to nobody else."""

import hashlib
import json
import logging
import threading

import pytest
from huggingface_hub import constants

from studio import gpu
from studio.errors import ExportError, StudioError
from studio.export import adapter, hub_push
from studio.export.export_context import load_context
from studio.export.request import ExportProgress, ExportRequest

TOKEN = "hf_canary5f0c1d"
WEIGHTS = "adapter_model.safetensors"


def silent(phase, share):
    pass


@pytest.fixture
def account(hub_stand_in):
    hub_stand_in.account(TOKEN, "me", orgs=("crew",))
    return hub_stand_in


@pytest.fixture
def export(finished_run, tmp_path):
    return adapter.export(load_context(finished_run), tmp_path / "mine")


def pushed(folder, name="me/captain", on_progress=silent, **settings):
    return hub_push.push(folder, hub_push.resolve_target("adapter", name, token=TOKEN, **settings), on_progress)


def holds(repository, folder):
    kept = {name: content for name, content in repository.files().items() if name != ".gitattributes"}
    assert kept == {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(kind="adapter", name="me/captain", **settings):
    with pytest.raises(StudioError) as raised:
        hub_push.resolve_target(kind, name, **{"token": TOKEN, **settings})
    assert TOKEN not in str(raised.value) + repr(raised.value)
    return raised.value.key.removeprefix("export.hub.")


def test_it_is_private_and_holds_every_file_of_the_export(account, export):
    page = pushed(export)
    repository = account.repositories["me/captain"]
    assert page == f"{account.url}/me/captain"
    assert repository.private
    holds(repository, export)
    assert {"README.md", "before-after.html", "loss.png", "ask.py"} <= set(repository.files())
    weights = hashlib.sha256((export / WEIGHTS).read_bytes()).hexdigest()
    assert weights in account.uploaded()
    about_it = [request for request in account.requests if "captain" in request.path]
    assert len(about_it) > 5
    assert {request.token for request in about_it} == {TOKEN}
    assert [request.path for request in account.requests].count("/api/models/me/captain/commit/main") == 1


def test_a_new_export_replaces_the_one_before(account, export):
    pushed(export, "crew/captain", public=True)
    assert not account.repositories["crew/captain"].private
    (export / "loss.png").unlink()
    (export / "README.md").write_text("---\nlicense: mit\n---\n# Anew\n", encoding="utf-8")
    sent = len(account.uploaded())
    pushed(export, "crew/captain", public=True)
    holds(account.repositories["crew/captain"], export)
    assert len(account.uploaded()) == sent


def test_a_cut_connection_is_taken_up_again(account, export):
    account.cuts = 1
    shares = []
    pushed(export, on_progress=lambda phase, share: shares.append(share))
    holds(account.repositories["me/captain"], export)
    assert account.cuts == 0
    assert shares[-1] is None
    assert max(filter(None, shares)) == 1.0


def test_a_broken_upload_goes_on_where_it_was(account, export):
    second = export / "large.npy"
    second.write_bytes(bytes(range(256)) * 400)
    account.arriving = threading.Event()

    class Enough(Exception):
        pass

    def stop_at_the_second(phase, share):
        if account.halfway.is_set() and len(account.store) == 0:
            account.halfway.clear()
            account.arriving.set()  # the first one arrives, the second stops in its middle
            account.arriving = threading.Event()
        elif account.halfway.is_set():
            raise Enough

    with pytest.raises(Enough):
        pushed(export, on_progress=stop_at_the_second)
    repository = account.repositories["me/captain"]
    assert set(repository.files()) == {".gitattributes"}
    arrived = set(account.store)
    assert len(arrived) == 1
    account.arriving.set()
    account.arriving = None
    before = len(account.uploaded())
    pushed(export)
    holds(repository, export)
    assert arrived.isdisjoint(account.uploaded()[before:])


def test_what_keeps_it_from_being_sent_is_told_before_anything_is_made(account, tmp_path, monkeypatch):
    account.account("hf_reader", "me", role="read")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    account.add("me/thesis", tmp_path / "theirs", private=True, readers={TOKEN})
    account.add("me/open", tmp_path / "empty", private=False)
    assert refused(name="captain") == "bad_id"
    assert refused(name="me/../captain") == "bad_id"
    assert refused(kind="script") == "kind"
    assert refused(name="other/captain") == "no_right"
    assert refused(token="hf_reader") == "no_right"
    assert refused(token="hf_unknown") == "bad_token"
    assert refused(token=None) == "no_token"
    assert refused(name="me/thesis") == "taken"
    assert refused(name="me/open") == "is_public"
    account.failure = 503
    assert refused() == "failed"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refused() == "offline"
    assert not [request for request in account.requests if request.method == "POST"]


@pytest.mark.parametrize(
    ("kinds", "status", "key"),
    [
        (["RuntimeError", "ConnectError"], None, "cut"),
        (["RuntimeError", "RemoteProtocolError"], None, "cut"),
        (["HfHubHTTPError"], 403, "no_right"),
        (["HfHubHTTPError"], 409, "taken"),
        (["ValueError"], None, "failed"),
    ],
)
def test_an_upload_that_ends_early_is_told_by_its_reason(kinds, status, key):
    assert hub_push._error(kinds, status, "me/captain", started=True).key == f"export.hub.{key}"


def test_metadata_that_the_hub_refuses_change_nothing(account, export):
    (export / "README.md").write_text("---\nlicense: my-own\n---\n", encoding="utf-8")
    with pytest.raises(ExportError) as raised:
        pushed(export)
    assert raised.value.key == "export.hub.failed"
    assert set(account.repositories["me/captain"].files()) == {".gitattributes"}


def test_a_private_repository_is_not_made_public_by_the_way(account, export):
    pushed(export)
    target = hub_push.resolve_target("adapter", "me/captain", public=True, token=TOKEN)
    assert target.private
    assert [note.key for note in target.notes] == ["export.note.stays_private"]


@pytest.mark.parametrize("kept", ["environment", "login"])
def test_the_token_is_the_environments_or_the_logins(account, export, monkeypatch, tmp_path, kept):
    if kept == "environment":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    else:
        path = tmp_path / "huggingface" / "token"
        path.parent.mkdir(exist_ok=True)
        path.write_text(TOKEN)
        assert str(path) == constants.HF_TOKEN_PATH
    assert hub_push.resolve_target("adapter", "me/captain").token == TOKEN


def test_the_token_is_in_no_file_and_no_log(account, finished_run, tmp_path, caplog, home):
    caplog.set_level(logging.DEBUG)
    made = gpu.thread().export(ExportRequest(finished_run.id, "adapter")).result()
    assert isinstance(made, ExportProgress)
    target = hub_push.resolve_target("adapter", "me/captain", token=TOKEN)
    hub_push.push(made.folder, target, silent)
    account.failure = 500
    with pytest.raises(StudioError) as raised:
        hub_push.resolve_target("adapter", "me/captain", token=TOKEN)
    error = raised.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert TOKEN not in repr(target) + caplog.text
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    record = json.loads((account.repositories["me/captain"].folder / "restyle.json").read_text())
    assert record["run"] == finished_run.id


def test_the_command_exports_and_pushes_with_a_token_from_standard_input(account, finished_run, here):
    command = ["export", finished_run.id, "--to", "adapter", "--push", "me/captain", "--ask-token", "--json"]
    done = here(*command, input=TOKEN + "\n")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["page"] == f"{account.url}/me/captain"
    assert told["page"] in " ".join(told["notes"])
    assert account.repositories["me/captain"].private
    assert TOKEN not in done.stdout + done.stderr
    done = here(*command, input="wrong\n")
    assert done.returncode == 1
    assert "does not accept the token" in done.stderr
    assert "wrong" not in done.stderr
