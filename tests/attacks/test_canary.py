"""A token and a password are nowhere but where they are used: not in a file, a log or a reply."""

import logging

import gradio as gr
import pytest
from visitors import PASSWORDS

TOKEN = "hf_CANARYcanaryCANARYcanary"


@pytest.fixture
def everything(caplog, capfd):
    caplog.set_level(logging.DEBUG)

    def read():
        told = capfd.readouterr()
        return (caplog.text + told.out + told.err).encode()

    return read


def test_a_token_is_in_nothing_that_the_app_writes_or_sends(
    shared, owner, guest, hub_stand_in, two_runs, home, cache, tmp_path, everything
):
    fields = [part for part in shared.page.blocks.values() if getattr(part, "type", "") == "password"]
    assert len(fields) >= 3
    events = [
        number
        for number, event in shared.page.fns.items()
        if event.fn is not None and any(part in fields for part in event.inputs)
    ]
    assert len(events) >= 6
    for number in events:
        inputs = shared.page.fns[number].inputs
        data = [TOKEN if part in fields else value(part, two_runs) for part in inputs]
        assert owner.join(number, data).status_code == 200
        owner.outcome()
    guest.call("ui.guest", "open_page")

    places = [place for folder in (home, cache, tmp_path) for place in folder.rglob("*") if place.is_file()]
    assert places
    assert [str(place) for place in places if TOKEN.encode() in place.read_bytes()] == []
    assert TOKEN.encode() not in b"".join(owner.heard + guest.heard)
    assert TOKEN.encode() not in everything()


def value(part, two_runs):
    if isinstance(part, gr.State):
        return None
    if getattr(part, "elem_id", None) in ("hub-id", "outside-id", "model"):
        return "someone/tiny"
    return getattr(part, "value", None) or ("" if isinstance(part, gr.Textbox) else None)


def test_passwords_are_in_nothing_that_the_app_sends(shared, owner, guest, stranger, home, everything):
    for visitor in (owner, guest, stranger):
        for path in ("/", "/config", "/guest/", "/guest/config", "/gradio_api/info"):
            visitor.get(path)
    stranger.log_in("owner", "wrong one")

    sent = b"".join(owner.heard + guest.heard + stranger.heard) + everything()
    assert not [name for name, password in PASSWORDS.items() if password.encode() in sent]
    assert not [
        p for p in home.rglob("*") if p.is_file() and any(w.encode() in p.read_bytes() for w in PASSWORDS.values())
    ]
