"""The meter's points: how much of the author's style the frames of the sample timeline have, while a run trains."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from studio.errors import one_line
from studio.generation.meter_cost import MeterSetup
from studio.i18n import message
from studio.runs import RunWriter
from studio.runs.curve import read_curve
from studio.train.best_adapter import BestStyle, LastSound
from studio.train.interrupts import StopRequested

log = logging.getLogger(__name__)


OpenMeter = Callable[[MeterSetup], Any]
"""Makes the `TrainingMeter` of a run (`training_meter.open_meter`); None, with a note that says why, without one."""


class StylePoints:
    """Measures frames, writes the points and tells `best` of them; a failure ends the metering, not the run."""

    def __init__(self, run: RunWriter, best: BestStyle | LastSound, open_meter: Callable[[], Any], resumed_at: int):
        """`open_meter` may raise; `resumed_at` is the step of the checkpoint that the run goes on from, or 0."""
        self._run, self._best = run, best
        self._measured = {point.step for point in read_curve(run).styles if point.step <= resumed_at}
        self._meter: Any = None
        try:
            self._meter = open_meter()
        except StopRequested:
            raise
        except Exception as error:
            self._fail(resumed_at, error)

    def measure(self, step: int, base: Sequence[str], answers: Sequence[str]) -> None:
        """Measure a frame, unless that was done; the point is written last: after a kill before it, all is repeated."""
        if self._meter is None or step in self._measured:
            return
        self._run.update(phase="styling")
        try:
            point = self._meter.measure(step, base, answers)
            self._best.add_point(point)
            self._run.emit(point)
            self._measured.add(step)
        except StopRequested:
            raise
        except Exception as error:
            self._fail(step, error)
        self._run.update(phase="training")

    def _fail(self, step: int, error: Exception) -> None:
        log.warning("the style at step %s was not measured", step, exc_info=True)
        self._meter = None
        self._run.note(
            message("log.style.failed", step=step, detail=one_line(f"{type(error).__name__}: {error}")), "warning"
        )
