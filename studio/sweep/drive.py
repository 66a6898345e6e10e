"""Carry out a sweep: start its runs one after another in the ordinary queue, and end those that fall behind."""

import logging
import threading
import time
from collections.abc import Callable

from studio import gpu, runs
from studio.errors import RunError, StudioError
from studio.job import as_studio_error
from studio.model import processes
from studio.owner import BEAT_SECONDS
from studio.runs import Run, State
from studio.sweep import sampling
from studio.sweep.directory import Sweep
from studio.sweep.plan import SweepPlan
from studio.sweep.trial import FILE, Trial, TrialLabel, label_of, mark_pruned, read_trial

log = logging.getLogger(__name__)
POLL_SECONDS = 0.2

OnProgress = Callable[[list[Trial], Run | None], None]


def drive(sweep: Sweep, on_progress: OnProgress = lambda trials, run: None) -> None:
    """Carry out a sweep from where it stands, until it is done, a stop is requested or its run is paused.

    `on_progress` is called several times a second with the trials and the current run, and may raise to end the
    driving; the run goes on then. Raises RunError while another process drives it, and what keeps a run from starting,
    which is recorded too.
    """
    if processes.launched():
        raise RunError("sweep.launched")
    with sweep.driving():
        try:
            _Driver(sweep, on_progress).carry_out()
        except StudioError as error:
            sweep.write_error(error)
            raise


def drive_in_background(sweep: Sweep) -> None:
    """Carry out a sweep on a thread of this process; why it fails is recorded in its directory."""

    def work() -> None:
        try:
            drive(sweep)
        except Exception as error:
            log.exception("the sweep %s could not go on", sweep.id)
            if not sweep.is_driven:  # by another, which is why this one ended
                sweep.write_error(as_studio_error(error))

    threading.Thread(target=work, name=f"sweep-{sweep.id}", daemon=True).start()


class _Driver:
    def __init__(self, sweep: Sweep, on_progress: OnProgress):
        self._sweep, self._on_progress = sweep, on_progress
        self._plan: SweepPlan = sweep.plan()
        self._beat = time.monotonic()

    def carry_out(self) -> None:
        while not self._sweep.stop_requested:
            trials = self._sweep.record()
            self._on_progress(trials, None)
            run = self._next_run(trials)
            if run is None:
                self._sweep.mark_done()
                break
            if self._follow(run, trials) is State.PAUSED:
                break
        self._on_progress(self._sweep.record(), None)

    def _next_run(self, trials: list[Trial]) -> Run | None:
        """Return the run to follow: the one that is open, resumed if nobody works on it, else a new one."""
        if open_trial := next((trial for trial in trials if trial.is_open), None):
            run = runs.find(open_trial.run)
            if not run.status().state.alive:
                run = gpu.thread().resume_run(run.id, wait=True)
            return run
        settings = sampling.next_settings(self._plan, trials)
        if settings is None:
            return None
        label = TrialLabel(sweep=self._sweep.id, number=len(trials), settings=settings)
        config = self._plan.config(settings, label.number)
        return gpu.thread().start_run(config, wait=True, files={FILE: label.model_dump_json()})

    def _follow(self, run: Run, trials: list[Trial]) -> State:
        """Wait until a run has ended; end it early where the rule says so, and pause it when a stop is requested."""
        judged = offset = 0
        label = label_of(run)
        while (status := run.status()).state.alive:
            events, offset = run.events(offset)
            if label and self._plan.prune != "none" and events and run.requested() is None:
                now = read_trial(run, label, self._plan)
                if len(now.points) > judged:
                    judged = len(now.points)
                    if sampling.should_prune(self._plan, trials, now.points):
                        mark_pruned(run)
                        run.request("stop")
            if self._sweep.stop_requested and run.requested() is None:
                run.request("pause")
            if time.monotonic() - self._beat >= BEAT_SECONDS:
                self._beat = time.monotonic()
                self._sweep.touch_heartbeat()
            self._on_progress(trials, run)
            time.sleep(POLL_SECONDS)
        return status.state
