"""A run as this process has read it: its events are read once, and every session looks at the same reader.

Sessions keep what they have shown (`Following`); what there is to show is here, and can be read again at any time.
"""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio import runs
from studio.events import Chosen, Evaluated, Resumed, StateChanged, Step
from studio.model.vitals import Vitals
from studio.runs import Run, Status
from studio.runs.curve import Curve
from studio.train import heartbeat, samples
from studio.train.samples import SampleTimeline
from studio.ui.log_views import Line, log_lines

MAX_LINES = 1_000
"""Lines of the log that are kept; of a longer one, the newest."""
MAX_READERS = 16
PACE_STEPS = 64
"""Logged steps over which the speed is taken: enough to hold an evaluation now and then, few enough to follow."""


@dataclass(frozen=True)
class RunSnapshot:
    """How a run stands at one moment."""

    status: Status
    requested: str | None = None
    """`pause`, `stop` or `cancel` while the run was asked to and has not yet."""
    usage: Vitals | None = None
    curves: int = 0
    """Grows with every point of the curves."""
    marks: int = 0
    """Grows with what must be drawn at once: a validation loss, a resume."""
    strip: int = 0
    """Bytes of the film strip that were read."""
    lines: int = 0
    """Lines of the log so far, those that are kept no more too."""
    step: int = 0
    """The last step that was logged."""
    loss: float | None = None
    rate: float | None = None
    tokens_per_second: float | None = None
    seconds_per_step: float | None = None

    @property
    def last_heartbeat(self) -> float:
        """When the run's process was last heard of, in seconds since the epoch."""
        return max(self.status.heartbeat, self.usage.at if self.usage else 0.0)


class RunReader:
    """One run, read as far as it has been written; safe to use from any thread."""

    def __init__(self, run: Run):
        self._run = run
        self._lock = threading.Lock()
        self._offset = 0
        self._curve = Curve()
        self._strip = SampleTimeline()
        self._chosen: dict[str, Chosen] = {}
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        self._pace: deque[tuple[int, float, int]] = deque(maxlen=PACE_STEPS)
        self._snapshot: RunSnapshot | None = None

    def refresh(self) -> RunSnapshot | None:
        """Read what is new and return how the run stands; None when its folder is gone or damaged."""
        with self._lock:
            self._snapshot = self._read()
            return self._snapshot

    def curve(self) -> Curve:
        """Return the run's curves as they were at the last look."""
        with self._lock:
            return self._curve

    def strip(self) -> SampleTimeline:
        """Return the run's film strip as it was at the last look."""
        with self._lock:
            return self._strip

    def chosen(self) -> list[Chosen]:
        """Return what the studio chose by itself, each as it was chosen last."""
        with self._lock:
            return list(self._chosen.values())

    def lines(self) -> list[Line]:
        """Return the log's lines that are kept, the newest last."""
        with self._lock:
            return list(self._lines)

    def _read(self) -> RunSnapshot | None:
        status = runs.try_status(self._run)
        events, self._offset = self._run.events(self._offset)  # after the status: the last events are never missed
        lines = log_lines(events)
        self._lines.extend(lines)
        self._chosen |= {event.name: event for event in events if isinstance(event, Chosen)}
        self._curve = self._curve.after(events)
        self._strip = samples.read(self._run, self._strip)
        if status is None:
            return None
        before = self._snapshot or RunSnapshot(status)
        snapshot = replace(before, status=status, lines=before.lines + len(lines))
        for event in events:
            snapshot = self._apply(event, snapshot)
        return replace(
            snapshot,
            strip=self._strip.offset,
            requested=self._run.requested() if status.state.alive else None,
            usage=heartbeat.latest(self._run) if status.state.alive else None,
            **self._speed(),
        )

    def _apply(self, event: Any, snapshot: RunSnapshot) -> RunSnapshot:
        if isinstance(event, Step):
            self._pace.append((event.step, event.at, event.tokens))
            return replace(
                snapshot, curves=snapshot.curves + 1, step=event.step, loss=event.loss, rate=event.learning_rate
            )
        if isinstance(event, Evaluated):
            return replace(snapshot, curves=snapshot.curves + 1, marks=snapshot.marks + 1)
        if isinstance(event, Resumed):
            return replace(snapshot, curves=snapshot.curves + 1, marks=snapshot.marks + 1, step=event.step)
        if isinstance(event, StateChanged):
            self._pace.clear()
        return snapshot

    def _speed(self) -> dict[str, float | None]:
        if len(self._pace) < 2:
            return {"tokens_per_second": None, "seconds_per_step": None}
        (first, began, before), (last, ended, after) = self._pace[0], self._pace[-1]
        seconds = max(ended - began, 1e-9)
        return {
            "tokens_per_second": (after - before) / seconds,
            "seconds_per_step": seconds / max(last - first, 1),
        }


_readers: "OrderedDict[Path, RunReader]" = OrderedDict()
_guard = threading.Lock()


def reader_of(run_id: str) -> RunReader:
    """Return the reader of a run; those that nobody has asked for in the longest time are forgotten."""
    path = runs.folder() / run_id
    with _guard:
        reader = _readers.setdefault(path, RunReader(Run(path)))
        _readers.move_to_end(path)
        while len(_readers) > MAX_READERS:
            _readers.popitem(last=False)
        return reader
