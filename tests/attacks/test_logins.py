"""Two logins on a page that others reach: made or given, said once, and slow to guess."""

import argparse
import asyncio
import time

import pytest
from fastapi import HTTPException
from starlette.requests import Request

import app
from studio.errors import AccessError
from studio.ui import access, hosts, launch, logins
from studio.ui.access import Door
from studio.ui.logins import Logins


def options(**given):
    plain = {"host": "127.0.0.1", "share": False, "allow_host": [], "owner_password": None, "guest_password": None}
    return argparse.Namespace(**plain | given)


def test_on_this_machine_alone_there_is_no_login():
    for host in ("127.0.0.1", "localhost", "::1"):
        door, told = app._door(options(host=host))
        assert (door.kind, told) == ("local", [])


@pytest.mark.parametrize(
    "given", [{"share": True}, {"host": "0.0.0.0"}, {"host": "192.168.1.5"}, {"allow_host": ["x"]}]
)
def test_whatever_others_reach_has_two_logins_that_are_printed_once(given):
    door, told = app._door(options(**given))

    assert (door.kind, len(told)) == ("logins", 2)
    passwords = [line.rsplit(" ", 1)[1] for line in told]
    assert len(set(passwords)) == 2
    assert min(map(len, passwords)) >= 16
    assert asyncio.run(door.logins.check("owner", passwords[0]))
    assert not told[0].startswith("* Login: guest")


def test_passwords_are_taken_from_options_or_the_environment_and_not_said_again(monkeypatch):
    monkeypatch.setenv("RESTYLE_GUEST_PASSWORD", "from outside")
    door, told = app._door(options(share=True, owner_password="from options"))

    assert not any("from o" in line for line in told)
    assert asyncio.run(door.logins.check("guest", "from outside"))
    import os

    assert "RESTYLE_GUEST_PASSWORD" not in os.environ  # no child process gets to see it


def test_a_short_password_is_refused():
    with pytest.raises(AccessError, match="at least 8"):
        app._door(options(share=True, guest_password="short"))


def test_guessing_gets_slower_and_waits_its_turn(monkeypatch):
    monkeypatch.setattr(logins, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(logins, "LONGEST_PAUSE", 0.1)
    checked = Logins({"owner": "right one", "guest": "other one"})

    async def guess(count):
        begun = time.monotonic()
        answers = await asyncio.gather(*(checked.check("owner", f"no {n}") for n in range(count)))
        return answers, time.monotonic() - begun

    async def tell():
        answers, took = await guess(4)
        assert answers == [False] * 4
        assert took >= 0.05 + 3 * 0.1 - 0.02  # one after the other, each later than the one before
        begun = time.monotonic()
        assert await checked.check("guest", "other one")  # others are not kept waiting
        assert time.monotonic() - begun < 0.04
        assert await checked.check("owner", "right one")

    asyncio.run(tell())


def test_too_many_guesses_at_once_are_sent_away(monkeypatch):
    monkeypatch.setattr(logins, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(logins, "LONGEST_PAUSE", 0.01)
    checked = Logins({"owner": "right one"})

    async def many():
        return await asyncio.gather(*(checked.check("x", "y") for _ in range(40)), return_exceptions=True)

    answers = asyncio.run(many())
    assert sum(isinstance(each, HTTPException) and each.status_code == 429 for each in answers) == 40 - 8
    assert not any(each is True for each in answers)


@pytest.mark.parametrize("name", ["owner", "guest", "admin", "", "owner\x00"])
def test_a_wrong_login_is_refused_over_http_and_says_nothing_of_why(stranger, name):
    answer = stranger.log_in(name, "wrong")
    assert answer.status_code in (400, 422)
    assert not stranger.http.cookies
    assert stranger.get("/config").status_code == 401


def test_a_cookie_that_was_not_given_out_is_none(shared, stranger):
    for name in (f"access-token-{shared.app.cookie_id}", f"access-token-unsecure-{shared.app.cookie_id}"):
        stranger.http.cookies.set(name, "owner")
    assert stranger.get("/config").status_code == 401


def test_the_pages_limits_are_lower_where_others_reach_it(shared):
    assert launch.settings()["max_file_size"] == launch.LARGEST_FROM_AFAR
    assert shared.page._queue.max_size == launch.MOST_WAITING
    assert shared.guests.max_file_size == 1024
    assert not launch.is_local()


def told(**changes):
    info = {"userinfo": {"preferred_username": "Someone"}, "expires_at": time.time() + 60} | changes
    return Request({"type": "http", "headers": [], "session": {"oauth_info": info}})


def test_on_a_space_the_author_is_the_owner_and_everybody_else_a_guest(monkeypatch):
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "someone")
    monkeypatch.setenv("RESTYLE_OWNER", "friend, other")
    door = Door("space", hosts.Names(), owners=hosts.space_owners())

    assert door.role(told()) == "owner"
    assert door.role(told(userinfo={"preferred_username": "friend"})) == "owner"
    assert door.role(told(userinfo={"preferred_username": "nobody"})) == "guest"
    assert door.role(told(userinfo={})) == "guest"
    assert door.role(told(expires_at=time.time() - 1)) == "guest"
    assert door.role(Request({"type": "http", "headers": [], "session": {}})) == "guest"
    assert door.role(Request({"type": "http", "headers": []})) == "guest"
    assert Door("space", owners=frozenset()).role(told(userinfo={"preferred_username": ""})) == "guest"


def test_a_space_that_cannot_tell_its_owner_does_not_start(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/studio")
    monkeypatch.setattr("gradio.oauth.OAUTH_CLIENT_ID", None)
    with pytest.raises(AccessError, match="hf_oauth"):
        app._door(options())


def test_the_hubs_login_is_open_on_a_space_alone():
    for path in ("/login/huggingface", "/login/callback"):
        assert access.may("guest", path, "space")
        assert not access.may(None, path, "logins")
    assert not access.may("guest", "/config", "space")
