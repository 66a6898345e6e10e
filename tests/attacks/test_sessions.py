"""A session of Gradio's is one login's: its name alone lets no other guest read it, end it or ask in it."""

import json
import re
from types import SimpleNamespace

import pytest
from test_routes import FREE, routes
from visitors import Visitor

from studio.ui import access, limits
from studio.ui.logins import SessionOwners


@pytest.fixture
def other(shared, guest):
    """Another guest, who knows the name of the first one's session."""
    visitor = Visitor(shared.url, shared.guests, access.GUEST_PATH)
    assert visitor.log_in("guest").status_code == 200
    visitor.session = guest.session
    return visitor


def _open(visitor):
    number = visitor.index("studio.ui.guest", "open_page")
    event: SimpleNamespace = visitor.blocks.fns[number]
    return visitor.join(number, [None] * len(event.inputs))


def test_no_route_takes_the_session_of_another_guest(shared, guest, other):
    assert _open(guest).status_code == 200
    body = {"session_hash": guest.session, "fn_index": 0, "event_id": "x", "data": [], "trigger_id": None}
    taken = []
    for method, path in routes(shared.app):
        if path.startswith("/guest"):
            filled = re.sub(r"\{[^}]*\}", "x", path.replace("{session_hash}", guest.session))
            asks = [{"params": {"session_hash": guest.session}}, {"json": body}]
            for ask in asks[: 1 + (method == "POST")]:
                with other.http.stream(method, filled, **ask) as answer:
                    taken += [path] if answer.status_code not in (403, 404) else []

    assert {path.removeprefix("/guest") for path in taken} <= {"/gradio_api/reset", *FREE}  # a reset does nothing
    assert guest.outcome()


@pytest.mark.parametrize("path", ["queue/join", "cancel"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
def test_no_kind_of_body_hides_a_session(guest, other, path, kind):
    assert _open(guest).status_code == 200
    body = {"session_hash": guest.session, "fn_index": 0, "event_id": "x", "data": []}
    for text in (
        json.dumps(body),
        json.dumps(body).encode("utf-16"),
        '{"session_hash": "mine",' + json.dumps(body)[1:],
    ):
        answer = other.http.post(f"/guest/gradio_api/{path}", content=text, headers={"content-type": kind})
        assert answer.status_code in (403, 422)
    assert guest.outcome()


def test_a_guest_may_cancel_in_the_own_session(guest):
    body = {"session_hash": guest.session, "fn_index": 0, "event_id": "x"}
    assert guest.http.post("/guest/gradio_api/cancel", json=body).json() == {"success": True}


def test_a_login_keeps_its_sessions_and_the_oldest_are_forgotten():
    owners = SessionOwners(most=2)

    assert [owners.claim("a", "one"), owners.claim("a", "two"), owners.claim("a", "one")] == [True, False, True]
    assert [owners.claim("b", "two"), owners.claim("c", "two"), owners.claim("a", "two")] == [True, True, True]


def test_no_long_name_of_a_session_is_kept(guest):
    for length, status in ((limits.LONGEST_SESSION, 200), (limits.LONGEST_SESSION + 1, 403)):
        body = {"session_hash": "x" * length, "fn_index": 0, "event_id": "x"}
        assert guest.http.post("/guest/gradio_api/cancel", json=body).status_code == status
