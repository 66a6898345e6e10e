"""What a Space changes: where its home is, what its owner is told, and who signs in."""

import argparse
import base64
import json
import os
import time

import pytest

from studio.i18n import text
from studio.ui import hosts


@pytest.fixture
def space(monkeypatch):
    """A Space without a disk."""
    monkeypatch.setenv("SPACE_ID", "someone/studio")
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "Someone")
    monkeypatch.setattr(os.path, "ismount", lambda path: False)
    return monkeypatch


def mount(patched, disk):
    patched.setattr(hosts, "SPACE_DISK", disk)
    patched.setattr(os.path, "ismount", lambda path: str(path) == str(disk.resolve()))


def test_the_home_is_on_the_disk_where_there_is_one(space, tmp_path):
    disk = tmp_path / "data"
    disk.mkdir()
    space.delenv("RESTYLE_HOME")
    mount(space, disk)

    hosts.settle()

    assert os.environ["RESTYLE_HOME"] == str(disk / "restyle-studio")
    assert hosts.notices() == []


def test_a_home_that_was_chosen_stays_and_without_a_disk_it_is_said(space, home):
    hosts.settle()
    assert os.environ["RESTYLE_HOME"] == str(home)
    assert hosts.notices() == ["ui.host.no_disk"]


def test_elsewhere_nothing_is_said():
    assert hosts.notices() == []


def test_a_lent_gpu_is_said_first(space):
    space.setenv("SPACES_ZERO_GPU", "true")
    assert hosts.notices() == ["ui.host.zero_gpu", "ui.host.no_disk"]


def test_the_guests_page_offers_the_owner_to_sign_in_and_tells_nothing_of_the_host(space):
    from studio.ui import guest

    told = json.dumps(guest.build().get_config_file(), default=str, ensure_ascii=False)

    assert "../login/huggingface" in told
    assert text("ui.host.no_disk").split(":")[0] not in told


def test_on_zero_gpu_more_than_one_event_may_wait(space):
    """Gradio's own limit there is one: a page whose load event runs would answer nothing else."""
    from studio.ui import guest, launch

    space.setenv("SPACES_ZERO_GPU", "true")
    assert guest.build()._queue.max_size == launch.MOST_WAITING


SECRET = "the client's secret"


def cookie(user: str) -> str:
    """Return the cookie that Gradio gives somebody who has signed in with the Hub."""
    import hashlib

    from itsdangerous import TimestampSigner

    info = {"userinfo": {"preferred_username": user}, "access_token": "hf_x", "expires_at": time.time() + 600}
    packed = base64.b64encode(json.dumps({"oauth_info": info}).encode())
    return TimestampSigner(hashlib.sha256(f"{SECRET}-v4".encode()).hexdigest()).sign(packed).decode()


@pytest.mark.long
def test_over_http_the_author_gets_the_owners_page_and_others_the_guests(space):
    import gradio.http_server
    import httpx

    import app
    from studio.ui import app as pages
    from studio.ui import guest, launch
    from studio.ui.access import Door

    pytest.importorskip("itsdangerous")
    pytest.importorskip("authlib")
    space.setenv("SYSTEM", "spaces")
    space.setenv("SPACE_HOST", "someone-studio.hf.space")
    for name, value in {
        "OAUTH_CLIENT_ID": "id",
        "OAUTH_CLIENT_SECRET": SECRET,
        "OAUTH_SCOPES": "openid profile",
        "OPENID_PROVIDER_URL": "https://hub.invalid",
    }.items():
        space.setattr(f"gradio.oauth.{name}", value)
    space.setattr(gradio.http_server, "get_space", lambda: None)  # its own watching of files is no part of this
    door, told = app._door(argparse.Namespace(host="127.0.0.1"))
    launch.open_to(door)
    try:
        page, guests = pages.build(), guest.build()
        _, url, _ = launch.launch(page, None, guests, prevent_thread_lock=True, quiet=True)
        host = {"host": "someone-studio.hf.space"}

        def ask(path, user=None, **headers):
            signed = {"cookie": f"session={cookie(user)}"} if user else {}
            return httpx.get(url + path, headers={**host, **signed, **headers})

        assert told == []
        assert text("ui.host.no_disk").split(":")[0] in ask("config", "someone").text
        assert ask("", "someone").status_code == 200
        for user in (None, "nobody"):
            assert ask("", user).headers["location"] == "./guest/"
            assert ask("guest/config", user).status_code == 200
            assert ask("config", user).status_code == 403
        assert ask("config", cookie="session=forged").status_code == 403
        assert ask("config", "someone", host="attacker.example").status_code == 403
        assert ask("gradio_api/queue/data", "someone", origin="https://evil.hf.space").status_code == 403
        page.close(verbose=False)
    finally:
        launch.open_to(Door())
