"""A panic in native code, which is no Exception in Python, is shown like any other failure and ends nothing else."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers

from studio.config import RunConfig
from studio.errors import NativePanic, panics_as_errors
from studio.ui import data_state, exporting, failures
from studio.ui.tabs import data_sources

pytestmark = pytest.mark.timeout(60)
WORDS = "did not foresee"


def panic(*args, **kwargs):
    """Let the regular expression of a tokenizer give up."""
    tokenizer = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
    tokenizer.normalizer = normalizers.Replace(Regex("(q+q+)+y"), "z")
    tokenizer.encode("q" * 100)


@pytest.fixture
def warned(monkeypatch):
    """Keep the messages that are shown over the page."""
    shown = []
    monkeypatch.setattr(failures.gr, "Warning", lambda words, **settings: shown.append(words))
    return shown


def test_a_panic_is_no_exception_until_it_is_made_one():
    with pytest.raises(BaseException) as raised:
        panic()
    assert not isinstance(raised.value, Exception)
    with pytest.raises(NativePanic, match="retry-limit"), panics_as_errors():
        panic()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, ValueError])
def test_what_is_no_panic_passes_as_it_is(end):
    with pytest.raises(end), panics_as_errors():
        raise end


def test_a_handler_shows_a_panic(warned):
    assert failures.show_errors("en")(panic)() == failures.gr.skip()
    assert WORDS in warned.pop()


def test_a_handler_in_steps_shows_a_panic_and_is_closed_as_ever(warned):
    closed = []

    @failures.show_errors("en")
    def steps(fails):
        try:
            yield 1
            if fails:
                panic()
            yield 2
        finally:
            closed.append(fails)

    assert list(steps(True)) == [1, failures.gr.skip()]
    assert WORDS in warned.pop()
    left = steps(False)
    next(left)
    left.close()
    assert closed == [True, False]
    assert warned == []


def test_a_handler_that_others_follow_shows_a_panic_and_ends_them(warned):
    with pytest.raises(failures.gr.Error):
        failures.ending("en")(panic)()
    assert WORDS in warned.pop()


def test_a_tick_passes_over_a_panic(caplog):
    assert failures.silent(panic)() == failures.gr.skip()
    assert "retry-limit" in caplog.text


@pytest.mark.parametrize("part", ["table", "mapping"])
def test_a_panic_of_a_reader_is_shown_in_the_place_of_the_rows(tiny_config, monkeypatch, part):
    monkeypatch.setattr(f"studio.data.prepare.{part}", panic)
    seen, _ = data_state.read(lambda: tiny_config, RunConfig())
    assert WORDS in seen.failure.text("en")


def test_a_panic_is_shown_in_the_place_of_the_preview(tiny_config, monkeypatch):
    monkeypatch.setattr("studio.data.preview.preview_row", panic)
    seen = data_state.preview(data_state.DataState(), lambda: tiny_config, 1)
    assert WORDS in seen.preview_failure.text("en")


def test_a_push_that_panics_is_over(monkeypatch):
    monkeypatch.setattr(exporting.hub_push, "push", panic)
    asked = exporting._RunningExport(lambda: None, exporting.ExportState("adapter"))
    exporting._push(asked, "a run", SimpleNamespace(folder=None), None, threading.Event())
    assert asked.state.over
    assert WORDS in asked.state.failure.text("en")


@pytest.mark.long
def test_the_page_answers_a_panic(owner, monkeypatch):
    monkeypatch.setattr(data_sources, "_offer", panic)
    event = owner.blocks.fns[owner.index("data_sources", "ask_hub")]
    sent = json.dumps(owner.call("data_sources", "ask_hub", dict.fromkeys(event.inputs, "x/y")))
    assert WORDS in sent
    assert "NativePanic" in sent
