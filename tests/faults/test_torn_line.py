"""A line of events.jsonl that was torn by a kill: ignored by readers, and gone before the next one is written."""

import pytest

from studio import runs
from studio.config import RunConfig
from studio.errors import HomeError
from studio.events import Step
from studio.runs import Run, RunWriter

LINE = Step(step=2, total=9, epoch=0.1, loss=2.0, learning_rate=1e-3, tokens=5).model_dump_json().encode() + b"\n"


@pytest.fixture
def run():
    created = runs.create(RunConfig())
    created.emit(Step(step=1, total=9, epoch=0.1, loss=2.0, learning_rate=1e-3, tokens=5))
    return created


def test_a_torn_last_line_is_ignored_at_every_byte(run):
    path = run.path / "events.jsonl"
    whole = path.read_bytes()
    for cut in range(len(LINE)):
        path.write_bytes(whole + LINE[:cut])
        events, offset = run.events()
        assert len(events) == 2
        assert offset == len(whole)


def test_who_goes_on_with_a_run_writes_behind_its_last_whole_line_wherever_it_was_torn(run):
    path = run.path / "events.jsonl"
    whole = path.read_bytes()
    for cut in range(len(LINE)):
        path.write_bytes(whole + LINE[:cut])
        _, offset = Run(run.path).events()
        writer = RunWriter.take_over(Run(run.path))
        writer.emit(Step(step=3, total=9, epoch=0.1, loss=2.0, learning_rate=1e-3, tokens=5))
        assert [getattr(event, "step", event.type) for event in run.events()[0]] == ["state", 1, "state", 3]
        assert [event.type for event in run.events(offset)[0]] == ["state", "step"]  # a reader who had left off there


def test_who_goes_on_with_a_run_that_had_no_event_yet_begins_with_the_first(run):
    (run.path / "events.jsonl").unlink()
    RunWriter.take_over(Run(run.path))
    assert [event.type for event in run.events()[0]] == ["state"]


def test_an_event_that_finds_no_room_leaves_no_half_line(run, monkeypatch):
    import errno
    import io

    real = io.FileIO.write
    path = run.path / "events.jsonl"
    whole = path.read_bytes()

    class Full(io.FileIO):
        """Takes ten bytes, and then no more."""

        def write(self, data):
            if self.tell() > len(whole):
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(self, bytes(data)[:10])

    monkeypatch.setattr("builtins.open", lambda path, mode, buffering: Full(path, mode))
    with pytest.raises(HomeError, match="The disk is full"):
        run.emit(Step(step=3, total=9, epoch=0.1, loss=2.0, learning_rate=1e-3, tokens=5))
    monkeypatch.undo()
    assert path.read_bytes() == whole
