"""Two logins on a page that others reach: made or given, said once, and slow to guess."""

import argparse
import asyncio
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest
from fastapi import HTTPException
from starlette.requests import Request
from visitors import PASSWORDS, Visitor

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


def test_a_right_password_is_let_in_at_once_whatever_else_waits(monkeypatch):
    monkeypatch.setattr(logins, "LONGEST_PAUSE", 600.0)
    monkeypatch.setattr(logins, "FIRST_PAUSE", 600.0)
    checked = Logins({"owner": "right one", "guest": "other one"})

    async def come():
        wrong = [asyncio.create_task(checked.check("owner", f"no {n}")) for n in range(logins.MOST_PENDING - 1)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(checked.check("owner", "right one"), 20)
        assert await asyncio.wait_for(checked.check("guest", "other one"), 20)
        assert not any(task.done() for task in wrong)
        for task in wrong:
            task.cancel()

    asyncio.run(come())


def test_wrong_passwords_from_one_address_keep_nobody_elsewhere_waiting(monkeypatch):
    monkeypatch.setattr(logins, "LONGEST_PAUSE", 600.0)
    monkeypatch.setattr(logins, "FIRST_PAUSE", 600.0)
    checked = Logins({"owner": "right one"})

    async def come():
        logins.ADDRESS.set("1.2.3.4")
        wrong = [asyncio.create_task(checked.check("owner", f"no {n}")) for n in range(2 * logins.MOST_PENDING)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException):  # nothing is compared any more, or whoever hangs up early guesses for free
            await checked.check("owner", "right one")
        logins.ADDRESS.set("5.6.7.8")
        assert await asyncio.wait_for(checked.check("owner", "right one"), 20)
        for task in wrong:
            task.cancel()
        await asyncio.gather(*wrong, return_exceptions=True)

    asyncio.run(come())


@pytest.mark.parametrize("count", [1, 5, 1024, 1025, 5000, 10**7])
def test_the_brake_holds_however_often_somebody_guesses(monkeypatch, count):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(logins, "asyncio", SimpleNamespace(sleep=sleep))  # pages of this process sleep too
    checked = Logins({"owner": "right one"})

    async def guess():
        checked._of_address().count = count - 1
        checked._of_address().last = time.monotonic()
        assert not await checked.check("owner", "no")

    asyncio.run(guess())
    assert slept == [min(logins.LONGEST_PAUSE, logins.FIRST_PAUSE * 2 ** min(count - 1, 60))]


def test_addresses_are_forgotten_and_bounded(monkeypatch):
    monkeypatch.setattr(logins, "MOST_ADDRESSES", 5)
    monkeypatch.setattr(logins, "FIRST_PAUSE", 0.0)
    checked = Logins({"owner": "right one"})

    async def guess():
        for number in range(20):
            logins.ADDRESS.set(f"10.0.0.{number}")
            await checked.check("owner", "no")

    asyncio.run(guess())
    assert len(checked._guesses) <= 5


@pytest.mark.parametrize(
    ("client", "forwarded", "space", "address"),
    [
        ("1.2.3.4", None, False, "1.2.3.4"),
        ("1.2.3.4", "9.9.9.9", False, "1.2.3.4"),  # anybody can send it: uvicorn reads it of a proxy on this machine
        ("10.0.0.1", "6.6.6.6, 7.7.7.7", True, "7.7.7.7"),  # the Space's proxy has added the last one
        ("::ffff:1.2.3.4", None, False, "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", None, False, "2001:db8:1:2::/64"),
        ("testclient", None, False, "testclient"),
    ],
)
def test_an_address_is_what_somebody_cannot_choose(monkeypatch, client, forwarded, space, address):
    if space:
        monkeypatch.setenv("SPACE_ID", "someone/studio")
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    assert hosts.caller({"type": "http", "client": (client, 1), "headers": headers}) == address


@pytest.mark.long
def test_ten_wrong_logins_at_a_time_keep_the_owner_waiting_no_more_over_http(shared, stranger, monkeypatch):
    monkeypatch.setattr(logins, "FIRST_PAUSE", 2.0)
    monkeypatch.setattr(logins, "LONGEST_PAUSE", 2.0)
    monkeypatch.setattr(logins, "MOST_WAITING", 1)
    wrong = [threading.Thread(target=stranger.log_in, args=("owner", f"no {n}")) for n in range(12)]
    for thread in wrong:
        thread.start()
    while not any(each.pending >= 12 for each in shared.door.logins._guesses.values()):
        time.sleep(0.01)

    assert Visitor(shared.url, shared.page).log_in("owner").status_code == 200
    assert any(thread.is_alive() for thread in wrong)
    monkeypatch.undo()
    for thread in wrong:
        thread.join()


def _flood(shared, header, count):
    """Give wrong passwords at a time, each from another address as far as a header may say so."""

    def guess(number):
        headers = {"x-forwarded-for": f"10.1.{number // 250}.{number % 250}"} if header else {}
        given = {"username": "owner", "password": f"no {number}"}
        return httpx.post(f"{shared.url}login", data=given, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(count) as threads:
        return Counter(threads.map(guess, range(count)))


@pytest.mark.parametrize("header", [False, True])
def test_no_header_gets_around_the_brake(shared, monkeypatch, header):
    monkeypatch.setattr(logins, "MOST_PER_MINUTE", 20)
    monkeypatch.setattr(shared.door, "logins", Logins(dict(PASSWORDS)))
    monkeypatch.setattr(shared.app, "auth", shared.door.logins.check)

    assert _flood(shared, header, 40)[400] <= 20
    assert Visitor(shared.url, shared.page).log_in("guest").status_code == 200
    assert Visitor(shared.url, shared.page).log_in("owner").status_code == 429  # else guesses would be free


@pytest.mark.parametrize("header", [False, True])
def test_a_flood_locks_nobody_out_of_a_generated_password(shared, monkeypatch, header):
    monkeypatch.setattr(logins, "MOST_PER_MINUTE", 20)
    monkeypatch.setattr(shared.app, "auth", Logins(dict(PASSWORDS), ["owner", "guest"]).check)

    monkeypatch.setattr(logins, "MOST_PENDING", 0)
    assert _flood(shared, header, 40) == {429: 40}
    assert Visitor(shared.url, shared.page).log_in("owner").status_code == 200


def test_the_brake_of_a_login_lets_go_after_a_minute(monkeypatch):
    monkeypatch.setattr(logins, "MOST_PER_MINUTE", 2)
    monkeypatch.setattr(logins, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(logins, "LONGEST_PAUSE", 0.0)
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(logins.time, "monotonic", lambda: clock.now)
    checked = Logins({"owner": "right one"})

    async def come():
        for number in range(2):
            logins.ADDRESS.set(f"10.0.0.{number}")
            assert not await checked.check("owner", "no")
        with pytest.raises(HTTPException):
            await checked.check("owner", "right one")
        clock.now += 61
        assert await checked.check("owner", "right one")

    asyncio.run(come())


@pytest.fixture
def braked(shared, monkeypatch):
    """Let a second wrong password of a minute be a flood."""
    checked = Logins(dict(PASSWORDS))
    monkeypatch.setattr(logins, "MOST_PER_MINUTE", 1)
    monkeypatch.setattr(shared.door, "logins", checked)
    monkeypatch.setattr(shared.app, "auth", checked.check)
    return checked


@pytest.mark.parametrize("name", ["owner", "guest"])
def test_a_flood_keeps_no_known_browser_from_the_right_password(shared, braked, name):
    known, other = (Visitor(shared.url, shared.page) for _ in range(2))
    assert known.log_in(name).status_code == 200
    known.http.get("/logout")
    assert _flood(shared, True, 10)[429] >= 9 if name == "owner" else other.log_in(name, "no").status_code == 400

    assert other.log_in(name).status_code == 429
    assert known.log_in(name, "wrong").status_code == 400
    assert known.log_in(name).status_code == 200
    assert known.get("/config" if name == "owner" else "/guest/config").status_code == 200


def test_a_known_browser_has_a_count_of_its_own_wrong_passwords(shared, braked, monkeypatch):
    known, again = (Visitor(shared.url, shared.page) for _ in range(2))
    assert known.log_in("owner").status_code == 200
    again.http.cookies.update(known.http.cookies)
    assert again.log_in("owner").status_code == 200  # its number stays, and what it has guessed
    others = Visitor(shared.url, shared.page)
    others.log_in("owner", "no")

    wrong = [(known, again)[number % 2].log_in("owner", f"no {number}") for number in range(logins.MOST_OF_DEVICE + 2)]
    assert [answer.status_code for answer in wrong] == [400] * logins.MOST_OF_DEVICE + [429] * 2
    assert known.log_in("owner").status_code == 429
    assert len(braked._wrong["owner"]) == 1  # those of known browsers are no part of a flood

    monkeypatch.setattr(logins, "FORGOTTEN", -1.0)
    assert known.log_in("owner").status_code == 200


def _cookie(visitor):
    return next(cookie for cookie in visitor.http.cookies.jar if cookie.name.startswith("restyle-device"))


def test_the_cookie_of_a_known_browser_is_no_login_and_says_so(shared, braked):
    visitor, other = (Visitor(shared.url, shared.page) for _ in range(2))
    headers = visitor.log_in("guest").headers.get_list("set-cookie")
    told = next(line for line in headers if line.startswith("restyle-device"))
    assert {"HttpOnly", "SameSite=Strict", f"Max-Age={logins.DEVICE_SECONDS}"} <= set(told.split("; "))

    other.http.cookies.set(_cookie(visitor).name, _cookie(visitor).value)
    assert other.get("/guest/config").status_code == 401
    assert "device" not in str(other.log_in("guest", "wrong").headers)


def test_no_cookie_is_forged_changed_or_kept_for_good(shared, braked, monkeypatch):
    visitor = Visitor(shared.url, shared.page)
    assert visitor.log_in("guest").status_code == 200
    cookie = _cookie(visitor)
    name, device, ends, signature = cookie.value.split(".")
    longer = str(int(ends) + 10**6)
    for login, value in (
        ("guest", ""),
        ("guest", "x"),
        ("guest", "guest.x.9999999999."),
        ("guest", f"{name}.{device}.{longer}.{signature}"),
        ("guest", f"{name}.other.{ends}.{signature}"),
        ("guest", f"{name}.{device}.{ends}.{signature[:-1]}"),
        ("guest", f"{name}.{device}.{ends}.\xe9"),
        ("owner", cookie.value),
        ("owner", f"owner.{device}.{ends}.{signature}"),
    ):
        sent = logins.SignIn({cookie.name.replace("guest", login): value})
        logins.SIGN_IN.set(sent)
        assert braked._devices.known(login) is None, value
    logins.SIGN_IN.set(logins.SignIn({cookie.name: cookie.value}))
    assert braked._devices.known("guest") == device
    assert Logins({})._devices.known("guest") is None  # another key
    monkeypatch.setattr(logins.time, "time", lambda: int(ends) + 1.0)
    assert braked._devices.known("guest") is None


def test_the_number_of_known_browsers_is_bounded(monkeypatch):
    monkeypatch.setattr(logins, "MOST_DEVICES", 5)
    checked = Logins({"owner": "right one"})

    async def come():
        for _ in range(20):
            logins.SIGN_IN.set(first := logins.SignIn())
            assert await checked.check("owner", "right one")
            logins.SIGN_IN.set(logins.SignIn(dict([first.device])))
            assert await checked.check("owner", "right one")

    asyncio.run(come())
    assert len(checked._of_devices["owner"]) == 5


def test_browsers_stay_known_when_the_studio_restarts(tmp_path, monkeypatch):
    key = logins.device_key(tmp_path)
    assert logins.device_key(tmp_path) == key
    if os.name != "nt":
        assert (tmp_path / "devices.key").stat().st_mode & 0o777 == 0o600

    monkeypatch.setattr(logins, "owner_of", lambda path: "somebody else")  # who has put it there
    assert logins.device_key(tmp_path) != key
    monkeypatch.undo()
    (tmp_path / "devices.key").write_bytes(b"")
    assert len(logins.device_key(tmp_path)) == 32
    assert len(logins.device_key(tmp_path / "missing")) == 32


def test_the_app_keeps_its_key_in_its_home(monkeypatch, tmp_path):
    monkeypatch.setenv("RESTYLE_HOME", str(tmp_path))
    first, second = (app._door(options(share=True))[0].logins for _ in range(2))

    assert first._devices._key == second._devices._key == logins.device_key(tmp_path)


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def tokens(clock):
    return logins.Tokens(lambda: clock.now)


def test_a_login_ends_when_nobody_uses_it_and_at_the_latest_after_a_week(tokens, clock):
    tokens["a"] = tokens["b"] = "owner"
    for _ in range(int(logins.LONGEST_LOGIN / logins.UNUSED * 2)):
        clock.now += logins.UNUSED / 2
        assert tokens.get("a") == "owner"
    assert tokens.get("b") is None
    assert "b" not in tokens

    clock.now += 1
    assert tokens.get("a") is None
    assert len(tokens) == 0


def test_the_number_of_logins_is_bounded_and_guests_take_no_owners_place(tokens, monkeypatch):
    monkeypatch.setitem(logins.MOST_LOGINS, "guest", 50)
    tokens["the owner's"] = "owner"
    tokens["in use"] = "guest"
    for number in range(2 * logins.MOST_LOGINS["guest"]):
        assert tokens["in use"] == "guest"
        tokens[f"guest {number}"] = "guest"

    assert len(tokens) == logins.MOST_LOGINS["guest"] + 1
    assert tokens["the owner's"] == "owner"
    assert tokens["in use"] == "guest"
    assert "guest 0" not in tokens


def test_the_running_page_keeps_its_logins_so(shared, owner, monkeypatch):
    assert isinstance(shared.app.tokens, logins.Tokens)
    monkeypatch.setattr(logins, "UNUSED", -1.0)

    assert owner.get("/config").status_code == 401


@pytest.mark.parametrize("name", ["owner", "guest"])
def test_logging_out_ends_the_login_also_over_plain_http(shared, name):
    visitor, elsewhere = (Visitor(shared.url, shared.page) for _ in range(2))
    for each in (visitor, elsewhere):
        each.log_in(name)
    sent = dict(visitor.http.cookies)
    over_http = {name: value for name, value in sent.items() if "unsecure" in name}
    assert len(over_http) == 1 < len(sent)
    path = "/config" if name == "owner" else "/guest/config"
    visitor.http.cookies.clear()
    visitor.http.cookies.update(over_http)
    assert visitor.get(path).status_code == 200

    assert visitor.http.get("/logout").headers["location"] == "./"

    visitor.http.cookies.clear()
    visitor.http.cookies.update(sent)  # somebody kept them
    assert visitor.get(path).status_code == 401
    assert elsewhere.get(path).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},  # another port of this host
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"referer": "https://attacker.example/"},
        {"referer": "http://127.0.0.1:1/"},
        {"origin": "https://attacker.example"},
    ],
)
def test_no_other_page_logs_the_owner_out(owner, headers):
    assert owner.http.get("/logout", headers=headers).status_code == 403
    assert owner.get("/config").status_code == 200


def test_the_page_itself_and_a_typed_address_log_out(shared):
    for headers in ({"referer": shared.url, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        visitor = Visitor(shared.url, shared.page)
        visitor.log_in("owner")
        assert visitor.http.get("/logout", headers=headers).status_code == 302
        assert visitor.get("/config").status_code == 401


def test_no_other_page_logs_the_owner_of_a_space_out():
    asked = []

    async def app(scope, receive, send):
        asked.append(scope["path"])

    async def come(headers):
        sent = []

        async def send(message):
            sent.append(message)

        session = {"oauth_info": {"userinfo": {"preferred_username": "me"}, "expires_at": time.time() + 60}}
        scope = {"type": "http", "method": "GET", "path": "/logout", "query_string": b"", "scheme": "https"}
        gate = access.Gate(app, Door("space", hosts.Names(own={"me-x.hf.space"}), owners=frozenset({"me"})))
        await gate({**scope, "session": session, "headers": [(b"host", b"me-x.hf.space"), *headers]}, None, send)

    asyncio.run(come([(b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]))
    assert not asked
    asyncio.run(come([(b"sec-fetch-site", b"same-origin")]))
    assert asked == ["/logout"]


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
