"""A session of Gradio's is one login's: its name alone lets no other guest read it, end it or ask in it."""

from types import SimpleNamespace

import pytest
from visitors import Visitor

from studio.ui import access
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


def test_nobody_reads_the_stream_of_another_guest(guest, other):
    assert _open(guest).status_code == 200

    assert other.get(f"/guest/gradio_api/queue/data?session_hash={guest.session}").status_code == 403
    assert other.get(f"/guest/gradio_api/heartbeat/{guest.session}").status_code == 403
    assert guest.outcome()


def test_nobody_asks_in_the_session_of_another_guest(guest, other):
    assert _open(guest).status_code == 200
    assert guest.outcome()

    assert _open(other).status_code == 403


def test_a_login_keeps_its_sessions_and_the_oldest_are_forgotten():
    owners = SessionOwners(most=2)

    assert [owners.claim("a", "one"), owners.claim("a", "two"), owners.claim("a", "one")] == [True, False, True]
    assert [owners.claim("b", "two"), owners.claim("c", "two"), owners.claim("a", "two")] == [True, True, True]
