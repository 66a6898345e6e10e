"""What one guest asks for keeps no other guest waiting, and nothing of it grows without bound."""

import asyncio
import contextlib
import json
import socket
import threading
import time
import uuid
from collections import Counter
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import visitors
from fastapi import HTTPException
from starlette.requests import Request
from test_guest import opened, parts

from studio import gpu
from studio.job import Job
from studio.ui import access, connections, limits
from studio.ui.guest import ANSWERS
from studio.ui.limits import FairQueue
from studio.ui.logins import Visitor

FLOOD, SECONDS = 70, 2.0


@pytest.fixture
def other(shared):
    visitor = visitors.Visitor(shared.url, shared.guests, access.GUEST_PATH)
    assert visitor.log_in("guest").status_code == 200
    return visitor


def asking(visitor, run):
    """Return what a guest sends who asks a run."""
    views = parts(visitor)
    numbers = dict(zip(views["numbers"], (0.0, 8, 0, 1.0, 0, 1.0), strict=True))
    known = {views["run"]: run.id, views["prompt"]: "What is 3?"}
    return {**known, **numbers, views["checkpoint"]: "now", views["strength"]: 100}


@pytest.fixture
def held(monkeypatch):
    """Let the GPU thread be busy until the event is set."""
    free = threading.Event()
    job = gpu.thread().submit(Job(lambda job: free.wait(60)))
    yield free
    free.set()
    job.done.wait(60)


def flood(visitor, module, name, known=None, sessions=("",)):
    """Ask for an event many times at once, in some sessions; returns how many answers there were of each status."""
    number = visitor.index(module, name)
    event = visitor.blocks.fns[number]
    data = [(known or {}).get(part, getattr(part, "value", None)) for part in event.inputs]
    statuses = []

    def ask(place):
        session = sessions[place % len(sessions)] or visitor.session
        body = {"data": data, "fn_index": number, "session_hash": session}
        statuses.append(visitor.http.post(f"{visitor.root}/gradio_api/queue/join", json=body).status_code)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(FLOOD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(statuses)


def opens(visitor):
    """Open the guests' page: it and its first event are answered, in 2 seconds unless this machine is busy."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        began = time.monotonic()
        is_open = opens_at_all(visitor)
        if not is_open or time.monotonic() - began < SECONDS:
            return is_open
    return False


def opens_at_all(visitor):
    assert visitor.get("/guest/").status_code == 200
    sent = visitor.call("ui.guest", "open_page")
    return bool(sent) and "error" not in json.dumps(sent)


def waiting(shared, kind):
    queue = shared.guests._queue
    events = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
    events += [event for job in queue.active_jobs for event in job or ()]
    return [event for event in events if event.concurrency_id == kind]


@pytest.mark.long
@pytest.mark.parametrize("sessions", [1, 6], ids=["of one session", "of many sessions"])
def test_a_flood_of_answers_leaves_other_guests_their_page_and_their_turn(
    shared, guest, other, two_runs, held, sessions
):
    names = [f"{guest.session}{number}" for number in range(sessions)]
    for guest.session in names:
        opened(guest, two_runs.published)
    opened(other, two_runs.published)
    statuses = flood(guest, "compare_events", "compare", asking(guest, two_runs.published), names)

    assert set(statuses) == {200, 429}
    assert opens(other)
    assert guest.join(guest.index("ui.guest", "open_page"), [None]).status_code == 200  # what is no answer is apart
    if sessions == 1:  # each answer of a session takes the place of the one before
        return
    own = [event for event in waiting(shared, ANSWERS) if event.session_hash in names]  # not those of the test before
    assert len(own) == statuses[200] == limits.ANSWERS.guest
    event = other.blocks.fns[other.index("compare_events", "compare")]
    known = asking(other, two_runs.published)
    assert other.join(event._id, [known.get(part, getattr(part, "value", None)) for part in event.inputs]).is_success
    assert next(each.session_hash for each in waiting(shared, ANSWERS)) == other.session


@pytest.mark.parametrize("sessions", [1, FLOOD], ids=["of one session", "of many sessions"])
def test_a_flood_of_page_loads_leaves_the_page_of_another_answering(guest, other, sessions):
    names = [f"{guest.session}{number}" for number in range(sessions)]
    statuses = flood(guest, "ui.guest", "open_page", sessions=names)

    assert opens(other)
    assert set(statuses) <= {200, 429}


class Line:
    """Gradio's queue, as far as FairQueue knows it."""

    def __init__(self):
        self.blocks = SimpleNamespace(fns={0: SimpleNamespace(concurrency_id="rest")})
        self.pending_messages_per_session, self.pending_event_ids_session = {}, {}
        self.event_queue_per_concurrency_id = {"rest": SimpleNamespace(queue=[])}
        self.active_jobs = []

    async def push(self, body, request, username):
        event = SimpleNamespace(_id=object(), session_hash=body.session_hash, concurrency_id="rest", alive=True)
        self.event_queue_per_concurrency_id["rest"].queue.append(event)
        self.pending_messages_per_session.setdefault(body.session_hash, asyncio.Queue())
        return True, "", "success"

    def send_message(self, event, message):
        self.pending_messages_per_session[event.session_hash].put_nowait(message)

    @property
    def order(self):
        return [event.session_hash for event in self.event_queue_per_concurrency_id["rest"].queue]


@pytest.fixture
def line():
    line = Line()
    FairQueue(line, "answers")
    return line


def push(line, session, login="", address="1.2.3.4"):
    """Ask for an event; returns whether it was taken."""
    scope = {"type": "http", "headers": []}
    Visitor(address, login).keep(scope)
    body = SimpleNamespace(session_hash=session, fn_index=0)
    with contextlib.suppress(HTTPException):
        asyncio.run(line.push(body=body, request=Request(scope), username=None))
        return True
    return False


def test_guests_take_turns(line):
    for session, login in (("a", "x"), ("a", "x"), ("b", "x"), ("c", "y"), ("d", "")):
        assert push(line, session, login)

    assert line.order == ["a", "c", "d", "a", "b"]


def test_addresses_take_turns_where_guests_are_as_many(line):
    for number in range(4):
        push(line, f"many {number}")
    push(line, "one", address="5.6.7.8")

    assert line.order == ["many 0", "one", "many 1", "many 2", "many 3"]


def test_one_guest_and_one_address_have_a_share_whatever_their_sessions_are_called(line):
    taken = [push(line, f"session {number}", "one login") for number in range(40)]
    assert sum(taken) == limits.REST.guest

    taken = [push(line, f"other {number}", f"login {number}") for number in range(200)]
    assert sum(taken) == limits.REST.address - limits.REST.guest
    assert push(line, "elsewhere", "a login", "5.6.7.8")


def test_messages_that_nobody_reads_are_bounded_and_end_the_work(line):
    push(line, "deaf")
    event = line.event_queue_per_concurrency_id["rest"].queue[0]
    for number in range(3 * limits.MOST_UNREAD):
        line.send_message(event, number)

    assert line.pending_messages_per_session["deaf"].qsize() == limits.MOST_UNREAD
    assert not event.alive
    line.event_queue_per_concurrency_id["rest"].queue.clear()
    assert not push(line, "deaf")
    assert push(line, "reader")


def test_sessions_that_read_nothing_do_not_add_up(line):
    taken = 0
    for number in range(100):
        if push(line, f"deaf {number}", f"login {number}"):
            taken += 1
            for event in line.event_queue_per_concurrency_id["rest"].queue:
                for _ in range(50):
                    line.send_message(event, "x")
            line.event_queue_per_concurrency_id["rest"].queue.clear()

    assert taken == limits.MOST_UNREAD_OF_ADDRESS // 50
    assert push(line, "reader", address="5.6.7.8")


def test_a_session_that_is_gone_is_forgotten_with_what_it_has_not_read(line, monkeypatch):
    push(line, "gone")
    line.event_queue_per_concurrency_id["rest"].queue.clear()
    monkeypatch.setattr(limits, "FORGOTTEN", -1.0)
    push(line, "here")

    assert set(line.pending_messages_per_session) == {"here"}


@pytest.fixture
def quick(shared, monkeypatch):
    """Let connections and bodies have a moment only."""
    monkeypatch.setattr(shared.page.server.config, "timeout_keep_alive", 1)
    monkeypatch.setattr(connections, "HEADERS_SECONDS", 0.3)
    monkeypatch.setattr(access, "LONGEST_BODY", 0.3)


def connected(shared, sent):
    """Open a connection and send the beginning of something."""
    where = urlsplit(shared.url)
    opened = socket.create_connection((where.hostname, where.port), timeout=20)
    opened.sendall(sent)
    return opened


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 100\r\n\r\nusername=o",
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_connection_that_sends_half_a_request_is_ended(shared, quick, sent):
    with connected(shared, sent) as opened:
        while opened.recv(65536):  # it would time out, were it kept open
            pass


def test_a_connection_that_sends_half_a_second_head_is_ended(shared, quick):
    with connected(shared, b"HEAD /robots.txt HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as opened:
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += opened.recv(65536)
        opened.sendall(b"GET / HT")  # only after the answer: this ends uvicorn's own wait for a second request
        with contextlib.suppress(ConnectionResetError):
            assert opened.recv(65536) == b""


def test_connections_without_a_request_make_way(shared, stranger, monkeypatch):
    monkeypatch.setattr(connections, "MOST_WITHOUT_REQUEST", 5)
    monkeypatch.setattr(connections, "HEADERS_SECONDS", 600.0)  # so that nothing else ends them
    opened = [connected(shared, b"GET / HTTP/1.1\r\n") for _ in range(12)]
    try:
        assert stranger.get("/robots.txt").status_code == 200
        opened[0].settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert opened[0].recv(100) == b""
    finally:
        for each in opened:
            each.close()


def half_login(shared, number):
    """Send the head of a login and half of its body, from another address each."""
    head = (
        "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: 100\r\nX-Forwarded-For: 10.1.0.{number}\r\n\r\nusername=o"
    )
    return connected(shared, head.encode())


def heartbeat(shared, visitor, address, root="/guest"):
    """Open a heartbeat from an address, and return its connection once it has begun."""
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.http.cookies.items())
    path = f"{root}/gradio_api/heartbeat/{uuid.uuid4().hex}"
    forwarded = f"X-Forwarded-For: {address}\r\n" if address else ""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\n{forwarded}\r\n"
    opened = connected(shared, head.encode())
    assert opened.recv(12) == b"HTTP/1.1 200"
    return opened


def is_open(connection):
    """Whether the server has left a connection open; what it has sent is read."""
    connection.settimeout(0.1)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return True
    except ConnectionResetError:
        pass
    return False


@pytest.fixture
def few(shared, monkeypatch):
    """Let few connections be open, and nothing else end them."""
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 12)
    monkeypatch.setattr(access, "LONGEST_BODY", 600.0)
    with contextlib.ExitStack() as stack:
        yield stack


def test_many_addresses_with_half_a_request_each_leave_room_for_all_others(shared, guest, owner, few):
    kept = [few.enter_context(heartbeat(shared, guest, "10.2.0.1")) for _ in range(4)]
    kept += [few.enter_context(heartbeat(shared, owner, "10.2.0.2", "")) for _ in range(4)]
    halves = [few.enter_context(half_login(shared, number)) for number in range(40)]

    assert owner.get("/config").status_code == 200
    assert visitors.Visitor(shared.url, shared.page).log_in("guest").status_code == 200
    assert sum(map(is_open, halves)) <= connections.MOST_CONNECTIONS
    assert all(map(is_open, kept))


def test_streams_of_many_addresses_are_bounded_and_take_no_place_of_the_owners_or_of_few(shared, guest, owner, few):
    kept = [few.enter_context(heartbeat(shared, guest, "10.2.0.1"))]
    kept += [few.enter_context(heartbeat(shared, owner, "10.2.0.2", "")) for _ in range(4)]
    kept += [few.enter_context(heartbeat(shared, guest, "")) for _ in range(4)]  # of this machine
    many = [few.enter_context(heartbeat(shared, guest, f"10.3.0.{number % 8}")) for number in range(40)]

    assert owner.get("/config").status_code == 200
    assert guest.get("/guest/config").status_code == 200
    assert sum(map(is_open, many)) <= connections.MOST_CONNECTIONS
    assert all(map(is_open, kept))


def test_streams_of_a_session_and_requests_of_an_address_are_bounded(shared, guest, other, owner, monkeypatch):
    with contextlib.ExitStack() as stack:
        one, two = uuid.uuid4().hex, uuid.uuid4().hex
        statuses = [beats(stack, guest, one) for _ in range(access.MOST_STREAMS + 2)]
        assert statuses == [200] * access.MOST_STREAMS + [429] * 2
        assert beats(stack, other, one) == 403  # it belongs to the login that had it first
        monkeypatch.setattr(access, "MOST_REQUESTS", access.MOST_STREAMS)
        assert beats(stack, guest, two) == 429
        assert owner.get("/config").status_code == 200


def beats(stack, visitor, session):
    """Open a heartbeat and keep it; returns its status."""
    return stack.enter_context(visitor.http.stream("GET", f"/guest/gradio_api/heartbeat/{session}")).status_code


def test_a_browser_that_takes_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(access, "LONGEST_STALL", 0.05)
    ended = []

    async def app(scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        finally:
            ended.append(True)

    async def ask():
        scope = {"type": "http", "method": "GET", "path": "/guest/gradio_api/queue/data", "query_string": b""}
        gate = access.Gate(app, access.Door("space", owners=frozenset()))
        await gate({**scope, "headers": [(b"host", b"localhost")]}, None, lambda message: asyncio.sleep(60))

    asyncio.run(asyncio.wait_for(ask(), 20))
    assert ended
