"""A run as this process has read it: its events are read once, and every session looks at the same reader.

Sessions keep what they have shown (`Following`); what there is to show is here, and can be read again at any time.
"""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path

from studio import runs
from studio.events import Chosen
from studio.remote import record
from studio.remote.record import JobRecord
from studio.runs import Run, Status
from studio.runs.curve import Curve
from studio.train import heartbeat, samples
from studio.train.heartbeat import ResourceUsage
from studio.train.samples import SampleTimeline
from studio.ui.log_views import Line, log_lines

MAX_LINES = 1_000
"""Lines of the log that are kept; of a longer one, the newest."""
MAX_READERS = 16


@dataclass(frozen=True)
class RunSnapshot:
    """How a run stands at one moment."""

    status: Status
    requested: str | None = None
    """`pause`, `stop` or `cancel` while the run was asked to and has not yet."""
    usage: ResourceUsage | None = None
    place: JobRecord | None = None
    """The job of the Hub that carries it out; None for a run of this machine."""
    curves: int = 0
    """Grows with every point of the curves."""
    marks: int = 0
    """Grows with what must be drawn at once: a validation loss, a resume."""
    strip: int = 0
    """Bytes of the sample timeline that were read."""
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
        self._line_count = 0

    def refresh(self) -> RunSnapshot | None:
        """Read what is new and return how the run stands; None when its folder is gone or damaged."""
        with self._lock:
            return self._read()

    def curve(self) -> Curve:
        """Return the run's curves as they were at the last look."""
        with self._lock:
            return self._curve

    def strip(self) -> SampleTimeline:
        """Return the run's sample timeline as it was at the last look."""
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
        self._line_count += len(lines)
        self._chosen |= {event.name: event for event in events if isinstance(event, Chosen)}
        self._curve = curve = self._curve.after(events)
        self._strip = samples.read(self._run, self._strip)
        if status is None:
            return None
        tokens_per_second, seconds_per_step = curve.speed()
        logged = len(curve.steps) > 0
        return RunSnapshot(
            status=status,
            requested=self._run.requested() if status.state.alive else None,
            usage=heartbeat.latest(self._run) if status.state.alive else None,
            place=record.load(self._run),
            curves=curve.updates,
            marks=curve.jumps,
            strip=self._strip.offset,
            lines=self._line_count,
            step=int(curve.steps[-1]) if logged else 0,
            loss=float(curve.losses[-1]) if logged else None,
            rate=float(curve.rates[-1]) if logged else None,
            tokens_per_second=tokens_per_second,
            seconds_per_step=seconds_per_step,
        )


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


def refreshed(run_id: str) -> RunReader:
    """Return the reader of a run, which has read what is new."""
    reader = reader_of(run_id)
    reader.refresh()
    return reader
