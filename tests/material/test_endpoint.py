"""An OpenAI-compatible endpoint writes the prompts: nothing is sent unconfirmed, nothing twice, and the key stays."""

import json
import logging
import socket

import pytest
from endpoint_stand_in import KEY, cut, fail, say, serve

from studio.errors import DataError
from studio.material import endpoint, make
from studio.material.endpoint import UNLIMITED, ConfirmationRequired, Endpoint, EndpointWriter
from studio.material.make import Request

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
TEXT = "\n\n".join(
    f"On {day} at {hour} o'clock, the keeper Halvard Brun climbs the tower and trims the lamp for {hour * 3} ships; "
    f"call him on +47 22 55 {hour}{hour} 14."
    for hour, day in enumerate(DAYS, 11)
)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(endpoint, "BACKOFF_SECONDS", 0.0)
    with serve() as served:
        yield served


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "keeper.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def rows_of(document, stand_in, confirmed=UNLIMITED, on_progress=lambda share: None, **more):
    out = document.with_name("rows.jsonl")
    request = Request((document,), recipes=("plain",), least_tokens=8, most_tokens=64, scrub=True, **more)
    writer = EndpointWriter(Endpoint(stand_in.url, "small", KEY), confirmed)
    summary = make.make(request, out, on_progress=on_progress, writer=writer)
    return summary, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_nothing_is_sent_before_its_cost_is_confirmed(document, stand_in):
    with pytest.raises(ConfirmationRequired) as required:
        rows_of(document, stand_in, confirmed=None)
    cost = required.value.cost
    assert stand_in.requests == []
    assert not document.with_name("rows.jsonl").exists()
    assert cost.requests == 6
    assert cost.prompt_tokens > 6 * len(TEXT) // 30
    assert cost.completion_tokens == 6 * 96
    with document.open("a") as file:
        file.write("\n\nOn Sunday at 21 o'clock nobody climbs the tower, and the lamp burns for 7 ships all the same.")
    with pytest.raises(ConfirmationRequired):  # it would cost more than was confirmed
        rows_of(document, stand_in, confirmed=cost)
    assert stand_in.requests == []


def test_rows_hold_the_passages_and_what_is_sent_was_scrubbed(document, stand_in):
    summary, rows = rows_of(document, stand_in)
    assert summary.rows == len(rows) == 6
    assert [row["completion"].split()[1] for row in rows] == list(DAYS)
    assert all(row["prompt"].startswith("It is reported") for row in rows)
    assert {row["source"]["recipe"] for row in rows} == {"plain"}
    assert len(stand_in.prompts) == 6
    assert not [prompt for prompt in stand_in.prompts if "+47" in prompt or "[phone number" not in prompt]
    assert {request["authorization"] for request in stand_in.requests} == {f"Bearer {KEY}"}
    assert {request["path"] for request in stand_in.requests} == {"/v1/chat/completions"}
    assert [note.text() for note in summary.notes if "300 tokens" in note.text()]
    rows_of(document, stand_in, confirmed=None)  # all are kept: nothing is sent, so nothing is to be confirmed
    assert len(stand_in.requests) == 6


def test_dropped_pairs_are_counted_by_reason(document, stand_in):
    other = "The weather of the week is wet and cold in all the valleys of the land today."
    ways = iter(["", "Rain.", None, other, "The same: lamp, tower, ships.", "The same: lamp, tower, ships."])

    def write(prompt):
        way = next(ways)
        return prompt.rpartition("\n")[2] if way is None else way

    stand_in.write = write
    with pytest.raises(DataError) as error:
        rows_of(document, stand_in)
    text = error.value.text()
    for words in ("without a prompt: 1", "too short or too long: ", "copies the passage: 1", "lost the meaning"):
        assert words in text


@pytest.mark.parametrize(
    ("failures", "key"),
    [
        ([fail(401, "invalid_api_key")] * 4, "endpoint.key_refused"),
        ([fail(429, "insufficient_quota")] * 4, "endpoint.refused"),
        ([fail(429, Retry_After="900")] * 4, "endpoint.wait"),
        ([fail(503)] * 20, "endpoint.busy"),
        ([cut] * 20, "endpoint.cut"),
        ([say(b"<html>hello</html>")] * 4, "endpoint.malformed"),
        ([say(b'{"choices": [{"message": {"content": [1]}}]}')] * 4, "endpoint.malformed"),
        ([say(b"[" * 100_000)] * 4, "endpoint.malformed"),
        ([fail(302, Location="http://127.0.0.1:1/")] * 4, "endpoint.refused"),
    ],
)
def test_a_refusal_is_an_error_without_the_key(document, stand_in, failures, key, caplog):
    caplog.set_level(logging.DEBUG)
    stand_in.failures = failures
    with pytest.raises(DataError) as error:
        rows_of(document, stand_in)
    assert error.value.key == key
    assert KEY not in error.value.text() + caplog.text
    assert not document.with_name("rows.jsonl").exists()


def test_what_passes_is_tried_again(document, stand_in):
    stand_in.failures = [fail(429, Retry_After="0"), cut, fail(400, param="temperature"), fail(400, param="max_tokens")]
    summary, _ = rows_of(document, stand_in)
    assert summary.rows == 6
    assert len(stand_in.requests) >= 10
    assert "max_completion_tokens" in stand_in.requests[-1]
    assert "temperature" not in stand_in.requests[-1]


def test_a_stop_ends_at_once_and_goes_on_where_it_was(document, stand_in, home, cache):
    def stop(share):
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows_of(document, stand_in, on_progress=stop)
    sent = len(stand_in.requests)
    kept = len([line for path in cache.rglob("answers-*.jsonl") for line in path.read_text().splitlines()])
    assert 0 < kept < 6 or sent == 6
    summary, _ = rows_of(document, stand_in)
    assert summary.rows == 6
    assert len(stand_in.requests) == sent + 6 - kept
    written = b"".join(path.read_bytes() for path in (*cache.rglob("*"), *document.parent.rglob("*")) if path.is_file())
    assert KEY.encode() not in written


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"address": "ftp://example.com/v1"}, "endpoint.address"),
        ({"address": "https://user:secret@example.com/v1"}, "endpoint.address"),
        ({"address": "https://example.com/v1?key=secret"}, "endpoint.address"),
        ({"address": "https://example.com:x/v1"}, "endpoint.address"),
        ({"model": " "}, "endpoint.model"),
        ({"key": "two words"}, "endpoint.key"),
        ({"key": "키"}, "endpoint.key"),
    ],
)
def test_what_is_no_endpoint_is_refused_without_quoting_it(settings, key):
    with pytest.raises(DataError) as error:
        Endpoint(**{"address": "https://example.com/v1", "model": "m", **settings})
    assert error.value.key == key
    assert "secret" not in error.value.text()


@pytest.mark.parametrize(
    ("address", "at", "key"),
    [
        ("https://inside.example/v1", "10.0.0.7", "endpoint.not_public"),
        ("https://inside.example/v1", "127.0.0.1", "endpoint.not_public"),
        ("https://inside.example/v1", "169.254.169.254", "endpoint.not_public"),
        ("https://inside.example/v1", "::ffff:127.0.0.1", "endpoint.not_public"),
        ("https://inside.example/v1", "fd00::1", "endpoint.not_public"),
        ("http://api.example/v1", "93.184.216.34", "endpoint.not_public"),
        ("https://api.example/v1", "93.184.216.34", None),
    ],
)
def test_a_page_for_others_reaches_public_addresses_alone(address, at, key, monkeypatch):
    family = socket.AF_INET6 if ":" in at else socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: [(family, socket.SOCK_STREAM, 6, "", (at, 443))])
    if key is None:
        assert Endpoint(address, "m", public_only=True).resolve() == at
        return
    with pytest.raises(DataError) as error:
        Endpoint(address, "m", public_only=True).resolve()
    assert error.value.key == key


def test_no_key_goes_to_a_public_address_in_the_clear(monkeypatch):
    known = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: known)
    with pytest.raises(DataError, match="http"):
        Endpoint("http://api.example/v1", "m", KEY).resolve()


def test_the_command_tells_the_cost_and_sends_with_yes(here, document, stand_in, monkeypatch):
    out = document.with_name("made.jsonl")
    monkeypatch.setenv("STAND_IN_KEY", KEY)
    command = ["data", "make", str(document), "--recipe", "plain", "-o", str(out), "--scrub", "--max-tokens", "64"]
    command += ["--endpoint", stand_in.url, "--endpoint-model", "small", "--key-from", "STAND_IN_KEY"]
    told = here(*command)
    assert told.returncode == 0, told.stderr
    assert "6 requests" in told.stdout
    assert "--yes" in told.stdout
    assert stand_in.requests == []
    assert json.loads(here(*command, "--json").stdout)["cost"]["requests"] == 6
    sent = here(*command, "--yes")
    assert "Wrote 6 rows" in sent.stdout
    assert KEY not in told.stdout + sent.stdout + sent.stderr + out.read_text(encoding="utf-8")
    assert "is not set" in here(*command[:-1], "NO_SUCH_KEY").stderr
    assert here("data", "make", str(document), "--recipe", "keywords", "--limit", "3").returncode == 1
