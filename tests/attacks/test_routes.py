"""Every route of the running app asks for the login, whatever it is; guests get nothing but their own page."""

import asyncio
import re

import pytest
from starlette.routing import Mount
from visitors import is_named

from studio.ui import access, guest

REFUSED = {None: 401, "guest": 403}
FREE = {
    "/",
    "/assets/{path:path}",
    "/favicon.ico",
    "/gradio_api/startup-events",
    "/gradio_api/theme.css",
    "/guest/gradio_api/startup-events",
    "/login",
    "/login/",
    "/robots.txt",
    "/static/{path:path}",
    "/svelte/{path:path}",
    "/theme.css",
}
"""All that is answered without a login: the login itself, and files that come with Gradio."""


def routes(app, prefix=""):
    """Yield every route below an app, with those of routers that it includes and of apps that are mounted in it."""
    for route in app.routes:
        if included := getattr(route, "original_router", None):
            yield from routes(included, prefix)
        elif isinstance(route, Mount):
            yield from routes(route, prefix + route.path)
        else:
            for method in sorted(getattr(route, "methods", None) or {"GET"}):
                yield method, prefix + route.path


def asked(visitor, method, path):
    filled = re.sub(r"\{[^}]*\}", "x", path)
    with visitor.http.stream(method, filled, json={} if method == "POST" else None) as answer:
        return answer.status_code


def test_without_a_login_every_route_but_a_few_is_refused(shared, stranger):
    all_routes = list(routes(shared.app))

    answered = {path for method, path in all_routes if asked(stranger, method, path) != 401}

    assert len(all_routes) > 100
    assert answered <= FREE
    assert asked(stranger, "GET", "/no/such/route") == 401


def test_a_guest_is_refused_every_route_of_the_owners_page(shared, guest):
    owners = [(method, path) for method, path in routes(shared.app) if not path.startswith(("/guest", "/logout"))]

    answered = {path for method, path in owners if asked(guest, method, path) != 403}

    assert answered <= FREE


def test_a_guest_has_few_routes_on_the_guests_page_and_no_files(shared, guest):
    below = [(method, path) for method, path in routes(shared.app) if path.startswith("/guest")]
    assert below

    answered = {path.removeprefix("/guest") for method, path in below if asked(guest, method, path) != 403}

    assert answered <= access.OF_GUEST | {f"/{name}/{{path:path}}" for name in ("assets", "static", "svelte")} | {
        "/gradio_api/heartbeat/{session_hash}"
    }
    for path in ("upload", "file=/etc/passwd", "run/compare", "call/compare", "api/compare", "proxy=x", "deep_link"):
        assert asked(guest, "POST", f"/guest/gradio_api/{path}") == 403


@pytest.mark.parametrize(
    "path",
    [
        "/guest/../config",
        "/guest/%2e%2e/config",
        "//config",
        "/guest//config/../../config",
        "/GUEST/config",
        "/guest/gradio_api/../../gradio_api/info",
        "/guest/gradio_api/heartbeat/../../../config",
        "/guest/assets/../../config",
    ],
)
def test_no_way_of_writing_a_path_leads_a_guest_to_the_owners_page(shared, guest, path):
    import http.client
    from urllib.parse import urlsplit

    where = urlsplit(shared.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    cookies = "; ".join(f"{name}={value}" for name, value in guest.http.cookies.items())
    connection.request("GET", path, headers={"Cookie": cookies})
    answer = connection.getresponse()

    body = answer.read().decode("utf-8", "replace")
    assert answer.status in (302, 307, 403, 404) or '"data-start"' not in body, path
    assert "run-delete" not in body


def test_the_owner_is_refused_nothing(shared, owner):
    assert owner.get("/config").status_code == 200
    assert owner.get("/guest/config").status_code == 200
    assert owner.get("/no/such/route").status_code == 404
    assert "run-delete" in owner.get("/config").text


def test_no_event_of_the_owners_page_can_be_called_by_a_guest(shared, guest):
    guest.root = ""
    assert {guest.join(number, []).status_code for number in shared.page.fns} == {403}


def test_on_the_guests_page_only_the_events_of_the_list_exist(shared, guest):
    listed = {(module, name) for module, names in guest_events() for name in names}
    there = {(e.fn.__module__, e.fn.__name__) for e in shared.guests.fns.values() if e.fn is not None}
    assert there == listed

    missing = [number for number in range(max(shared.page.fns) + 50) if number not in shared.guests.fns]
    assert missing
    for number in missing:
        answer = guest.join(number, [])
        assert answer.status_code == 404, number


def guest_events():
    return guest.EVENTS.items()


def test_a_new_event_is_not_on_the_guests_page_until_it_is_listed(shared):
    for module, name in (("tabs.card", "make"), ("tabs.outside", "fetch"), ("tabs.scoreboard", "measure")):
        assert not any(is_named(event, module, name) for event in shared.guests.fns.values())
    for module, name in (("tabs.ballot", "export"), ("tabs.sheet", "save"), ("compare_events", "change_who")):
        assert not any(is_named(event, module, name) for event in shared.guests.fns.values())


def test_a_guest_is_led_to_the_guests_page_and_can_log_out_alone(shared, guest, stranger):
    assert guest.http.get("/").headers["location"] == "./guest/"
    assert stranger.log_in("guest").status_code == 200

    guest.http.get("/logout")

    assert guest.get("/guest/config").status_code == 401
    assert stranger.get("/guest/config").status_code == 200


def test_a_login_that_has_ended_leads_back_to_the_login(stranger):
    answer = stranger.http.get("/guest/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (302, "../")
    assert b"auth_required" in stranger.get("/").content


def test_large_bodies_are_refused_before_they_are_read(shared, stranger, guest, owner):
    large = b"x" * (access.LARGEST_OF_GUEST + 1)
    assert stranger.http.post("/login", content=large).status_code == 413
    assert guest.http.post("/guest/gradio_api/queue/join", content=large).status_code == 413

    def endless():
        for _ in range(100):
            yield b"x" * 65536

    for visitor, path in ((stranger, "/login"), (guest, "/guest/gradio_api/queue/join")):
        try:
            status = visitor.http.post(path, content=endless()).status_code
        except Exception as error:  # the server went away: as good an answer
            status = type(error).__name__
        assert status not in (200, 307), path
    assert owner.get("/config").status_code == 200


def test_a_body_that_hides_its_length_ends_at_the_limit():
    taken = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            taken.append(message["body"])

    async def endless():
        return {"type": "http.request", "body": b"x" * 4096, "more_body": True}

    async def ask():
        door = access.Door("space", owners=frozenset())
        scope = {"type": "http", "method": "POST", "path": "/guest/gradio_api/queue/join", "query_string": b""}
        await access.Gate(app, door)({**scope, "headers": [(b"host", b"localhost")]}, endless, None)

    asyncio.run(asyncio.wait_for(ask(), 20))
    assert access.LARGEST_OF_GUEST - 4096 <= sum(map(len, taken)) <= access.LARGEST_OF_GUEST
