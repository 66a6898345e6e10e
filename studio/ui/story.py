"""A run as this process has read it: its events are read once, and every session looks at the same story.

Sessions keep what they have shown (`Following`); what there is to show is here, and can be read again at any time.
"""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio import runs
from studio.events import Chosen, Evaluated, Resumed, StateChanged, Step
from studio.model.resource_usage import ResourceUsage
from studio.runs import Run, Status
from studio.train import pulse, samples
from studio.train.curve import Curve
from studio.train.samples import Strip
from studio.ui.log_views import Line, log_lines

MOST_LINES = 1_000
"""Lines of the log that are kept; of a longer one, the newest."""
MOST_STORIES = 16
PACE_STEPS = 64
"""Logged steps over which the speed is taken: enough to hold an evaluation now and then, few enough to follow."""


@dataclass(frozen=True)
class Glance:
    """How a run stands at one moment."""

    status: Status
    asked: str | None = None
    """`pause`, `stop` or `cancel` while the run was asked to and has not yet."""
    vitals: ResourceUsage | None = None
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
    def sign_of_life(self) -> float:
        """When the run's process was last heard of, in seconds since the epoch."""
        return max(self.status.heartbeat, self.vitals.at if self.vitals else 0.0)


class Story:
    """One run, read as far as it has been written; safe to use from any thread."""

    def __init__(self, run: Run):
        self._run = run
        self._lock = threading.Lock()
        self._offset = 0
        self._curve = Curve()
        self._strip = Strip()
        self._chosen: dict[str, Chosen] = {}
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._pace: deque[tuple[int, float, int]] = deque(maxlen=PACE_STEPS)
        self._glance: Glance | None = None

    def look(self) -> Glance | None:
        """Read what is new and return how the run stands; None when its folder is gone or damaged."""
        with self._lock:
            self._glance = self._read()
            return self._glance

    def curve(self) -> Curve:
        """Return the run's curves as they were at the last look."""
        with self._lock:
            return self._curve

    def strip(self) -> Strip:
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

    def _read(self) -> Glance | None:
        status = runs.readable_status(self._run)
        events, self._offset = self._run.events(self._offset)  # after the status: the last events are never missed
        lines = log_lines(events)
        self._lines.extend(lines)
        self._chosen |= {event.name: event for event in events if isinstance(event, Chosen)}
        self._curve = self._curve.after(events)
        self._strip = samples.read(self._run, self._strip)
        if status is None:
            return None
        before = self._glance or Glance(status)
        found = replace(before, status=status, lines=before.lines + len(lines))
        for event in events:
            found = self._take_in(event, found)
        return replace(
            found,
            strip=self._strip.offset,
            asked=self._run.requested() if status.state.alive else None,
            vitals=pulse.newest(self._run) if status.state.alive else None,
            **self._speed(),
        )

    def _take_in(self, event: Any, found: Glance) -> Glance:
        if isinstance(event, Step):
            self._pace.append((event.step, event.at, event.tokens))
            return replace(found, curves=found.curves + 1, step=event.step, loss=event.loss, rate=event.learning_rate)
        if isinstance(event, Evaluated):
            return replace(found, curves=found.curves + 1, marks=found.marks + 1)
        if isinstance(event, Resumed):
            return replace(found, curves=found.curves + 1, marks=found.marks + 1, step=event.step)
        if isinstance(event, StateChanged):
            self._pace.clear()
        return found

    def _speed(self) -> dict[str, float | None]:
        if len(self._pace) < 2:
            return {"tokens_per_second": None, "seconds_per_step": None}
        (first, began, before), (last, ended, after) = self._pace[0], self._pace[-1]
        seconds = max(ended - began, 1e-9)
        return {
            "tokens_per_second": (after - before) / seconds,
            "seconds_per_step": seconds / max(last - first, 1),
        }


_stories: "OrderedDict[Path, Story]" = OrderedDict()
_guard = threading.Lock()


def of(run_id: str) -> Story:
    """Return the story of a run; those that nobody has asked for in the longest time are forgotten."""
    path = runs.folder() / run_id
    with _guard:
        story = _stories.setdefault(path, Story(Run(path)))
        _stories.move_to_end(path)
        while len(_stories) > MOST_STORIES:
            _stories.popitem(last=False)
        return story
