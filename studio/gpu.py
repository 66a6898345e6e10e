"""The GPU thread: the only one that touches the device and the models on it.

Training runs go one at a time, and in the same queue what else wants the device for itself (merging, verifying). Short
interactive jobs (comparing) run at once when nothing trains, and between two micro-batches when something does. Nothing
here knows the page.
"""

import contextlib
import functools
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio import locks, runs
from studio.compare.columns import CompareRequest, EvaluationRequest
from studio.config import RunConfig
from studio.errors import DeviceError, RunError, StudioError
from studio.export.request import ExportRequest
from studio.files import home, shared_folder
from studio.i18n import message
from studio.job import Job, readable
from studio.model import estimate, lost, processes
from studio.model.adapter import ModelHost
from studio.owner import BEAT_SECONDS
from studio.runs import Run, RunWriter, State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Waiting:
    """A run in the queue."""

    run: RunWriter
    resumed: bool = False
    token: str | None = field(default=None, repr=False)
    """For fetching the model; it is nowhere but here."""


class GpuThread:
    """Takes jobs and carries them out in order."""

    def __init__(self) -> None:
        self._host = ModelHost()
        self._starting = threading.RLock()
        self._queue: list[_Waiting | Job] = []
        self._visits: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._work = threading.Semaphore(0)
        self._begun: Run | None = None
        """The run that was taken from the queue; it may wait for the device."""
        self._training: Run | None = None
        """The same run, once it has the device."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="gpu", daemon=True)
        self._thread.start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def start_run(self, config: RunConfig, *, wait: bool = False, token: str | None = None) -> Run:
        """Make a run and begin it, or let it wait behind the others; `token` is for fetching its model.

        Raises DeviceError that names the run that lives already, in any process, unless it may `wait`.
        """
        with self._alone(wait) as devices:
            return self._enqueue(_Waiting(runs.create(config, devices), token=token))

    def resume_run(
        self, run_id: str, settings: Mapping[str, Any] | None = None, *, wait: bool = False, token: str | None = None
    ) -> Run:
        """Go on with a run from its newest checkpoint, or from its start while it has none.

        `settings` (new values by dotted path) are changed from there on. Raises RunError, ConfigError or DeviceError
        when that cannot be.
        """
        from studio.runs import checkpoints
        from studio.train import resume, run_training

        run = runs.find(run_id)
        with self._alone(wait) as devices:
            if run.status().state.alive:
                raise _busy(run)
            changes = resume.checked_changes(run, settings or {})
            if run.status().state is State.FINISHED:
                resume.require_longer(run, changes)
            if checkpoints.all_of(run.path) or run.status().state is State.FINISHED:
                checkpoints.newest_complete(run.path)
            taken = RunWriter.take_over(run, devices)
            run_training.record_changes(taken, changes)
            return self._enqueue(_Waiting(taken, True, token))

    @contextlib.contextmanager
    def _alone(self, wait: bool) -> Iterator[tuple[str, ...]]:
        """Keep others, in this process or another, from starting a run meanwhile; gives the devices that it may use."""
        from studio.model.hardware import devices

        if lost.is_lost():
            raise DeviceError("device.restart")
        here = devices()
        with self._starting, locks.held(home() / "start.lock"):
            if not wait and (alive := runs.alive_runs(here)):
                raise _busy(alive[-1])
            yield here

    def _enqueue(self, waiting: _Waiting) -> Run:
        self._queue.append(waiting)
        self._work.release()
        return waiting.run

    def queued(self) -> list[str]:
        """Return the ids of the runs that wait, the next one first."""
        with self._starting:
            return [waiting.run.id for waiting in self._runs_waiting()]

    def _runs_waiting(self) -> list[_Waiting]:
        return [waiting for waiting in self._queue if isinstance(waiting, _Waiting)]

    def move(self, run_id: str, place: int) -> None:
        """Move a waiting run to another place in the queue (0 is the next); raises RunError when it does not wait."""
        with self._starting:
            found = next((waiting for waiting in self._runs_waiting() if waiting.run.id == run_id), None)
            if found is None:
                raise RunError("run.not_queued", run=run_id[:80])
            self._queue.remove(found)
            self._queue.insert(max(0, place), found)

    def submit(self, job: Job) -> Job:
        """Take an interactive job; it begins when the device is free, or at the next micro-batch."""
        if lost.is_lost():
            job.refuse(DeviceError("device.restart"))
            return job
        self._visits.put(job)
        self._work.release()
        return job

    def submit_alone(self, job: Job) -> Job:
        """Take a job that wants the device for itself; it begins when the runs and jobs before it have ended.

        The models are released first, and no other process trains meanwhile.
        """
        if lost.is_lost():
            job.refuse(DeviceError("device.restart"))
            return job
        with self._starting:
            self._queue.append(job)
        self._work.release()
        return job

    def export(self, request: ExportRequest) -> Job:
        """Ask for an export of a run; it shows an `Exporting` as it goes on."""
        from studio.export.job import export

        return self.submit_alone(Job(functools.partial(export, request)))

    def compare(self, request: CompareRequest, keep: bool = True) -> Job:
        """Ask for a comparison; it shows a `Comparison` after every token, and its run keeps it, or not."""
        from studio.compare.ask import ask

        return self.submit(Job(functools.partial(ask, request, keep=keep)))

    def weigh(self, request: CompareRequest, answer: Sequence[int]) -> Job:
        """Ask how likely each column finds the tokens of an answer to the first prompt; it shows `Weighed` ones."""
        from studio.compare.ask import weigh

        return self.submit(Job(functools.partial(weigh, request, answer)))

    def evaluate(self, request: EvaluationRequest) -> Job:
        """Ask for the scoreboard of a run; it shows an `Evaluation` after every batch."""
        from studio.compare.evaluate import evaluate

        return self.submit(Job(functools.partial(evaluate, request)))

    def measure(self, config: RunConfig) -> Job:
        """Ask for two steps on the longest rows of a run that is not started: what they take is shown (`Measured`)."""
        return self.submit(Job(functools.partial(_measure, config)))

    def free_memory(self) -> tuple[float, ...]:
        """Return the bytes of each card that a run may use: what is free, and what the idle base holds."""
        from studio.model.hardware import free_memory_each

        return free_memory_each(self._host.held)

    def close(self) -> None:
        """Pause the run that trains and those that wait (they can be resumed), and wait until the thread has ended."""
        with self._starting:  # no run is between the queue and the thread then
            self._closing.set()
            for waiting in self._runs_waiting():
                waiting.run.request("pause")
            if self._begun:
                self._begun.request("pause")
        self._work.release()
        self._thread.join()

    def _beat(self) -> None:
        """Give a sign of life of the runs that wait, for other machines that share the home."""
        while not self._closing.wait(BEAT_SECONDS):
            with self._starting:
                waiting = self._runs_waiting()
            for each in waiting:
                each.run.touch_heartbeat()

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._work.acquire()
            self._visit()
            if (waiting := self._next()) is None:
                continue
            if isinstance(waiting, Job):
                self._carry_out_alone(waiting)
                continue
            try:
                self._train(waiting)
            except Exception:  # its folder was taken away, say: the thread serves the next one all the same
                log.exception("run %s could not be ended", waiting.run.id)
            finally:
                self._begun = self._training = None
        self._take_out_asked()
        for job in [waiting for waiting in self._queue if isinstance(waiting, Job)]:
            job.refuse(DeviceError("device.closing"))
        with contextlib.suppress(queue.Empty):
            while True:
                self._visits.get_nowait().refuse(DeviceError("device.closing"))

    def _next(self) -> _Waiting | Job | None:
        """Take the next run or job; a run is known as begun from there on, so that `close` asks it to pause."""
        with self._starting:
            if self._closing.is_set() or not self._queue:
                return None
            taken = self._queue.pop(0)
            self._begun = taken.run if isinstance(taken, _Waiting) else None
            return taken

    def _carry_out_alone(self, job: Job) -> None:
        try:
            with self._device_lock(lambda: job.stopping or self._closing.is_set()), estimate.device_in_use():
                self._host.release()
                job.run(self._host, None, self._answers)
        except Exception as error:  # the lock's folder cannot be made, say
            log.exception("a job could not be begun")
            job.refuse(readable(error))
        self._host.release()

    def _visit(self) -> None:
        """Carry out the interactive jobs that wait, and what was asked of the runs that wait."""
        self._take_out_asked()
        with contextlib.suppress(queue.Empty), estimate.device_in_use():
            while not self._makes_way():
                self._visits.get_nowait().run(self._host, self._training, self._answers)

    def _answers(self) -> bool:
        """Answer what was asked of the runs that wait while a job goes on; returns whether the job has to end."""
        self._take_out_asked()
        return self._makes_way()

    def _makes_way(self) -> bool:
        """Whether jobs have to wait or end, since something was asked of the run that was begun, or the thread ends."""
        return self._closing.is_set() or (self._begun is not None and self._begun.requested() is not None)

    def _take_out_asked(self) -> None:
        with self._starting:
            asked = [(waiting, action) for waiting in self._runs_waiting() if (action := waiting.run.requested())]
            for waiting, action in asked:
                self._queue.remove(waiting)
                waiting.run.enter(State.PAUSED if action == "pause" else State.STOPPED)

    def _train(self, waiting: _Waiting) -> None:
        from studio.model.hardware import give_back_memory
        from studio.train import distributed, heartbeat
        from studio.train.run_training import train

        run = waiting.run
        if lost.is_lost():  # since it began to wait
            run.note(message("log.device_lost"), "warning")
            run.enter(State.PAUSED)
            return
        failure: StudioError | None = None
        with _log_to(run), estimate.device_in_use():
            try:
                with (
                    heartbeat.writing(run),
                    self._device_lock(run.requested, lambda: run.enter_phase("waiting")),
                    processes.noticing(),
                ):
                    self._training = run
                    train(run, self._host, self._visit, resumed=waiting.resumed, token=waiting.token)
            except Exception as error:
                log.error("run %s failed\n%s", run.id, traceback.format_exc())
                failure = distributed.failure_cause(run, readable(error))
        if failure:  # outside of the handler, where the traceback no longer holds the model
            self._host.release()
            run.enter(State.FAILED, error=failure.message)
        else:
            give_back_memory()  # of the passes; the base stays

    @contextlib.contextmanager
    def _device_lock(self, enough: Callable[[], Any], on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the locks of all devices that this process may use, so that two never train on one at once.

        Waits for another's run to end, unless there is `enough` of that; `on_wait` is called once if so. Interactive
        jobs go on meanwhile, as they do while nothing trains here.
        """
        lock = _taken_devices()
        if lock is None and not enough():
            on_wait()
        while lock is None and not enough():
            time.sleep(_LOOK_SECONDS)
            self._visit()
            lock = _taken_devices()
        try:
            yield
        finally:
            if lock:
                lock()


_LOOK_SECONDS = 0.1
"""Seconds between two looks whether another process has left the device."""


def _taken_devices() -> Callable[[], None] | None:
    """Take the locks of all devices of this process, or of none; returns what gives them back."""
    from studio.model.hardware import devices

    folder = shared_folder(home(), "locks")
    with contextlib.ExitStack() as taken:
        for name in sorted(devices()):
            lock = locks.taken(folder / f"{name}.lock")
            if lock is None:
                return None
            taken.callback(lock)
        return taken.pop_all().close


def _busy(run: Run) -> DeviceError:
    """Return the error that names a run that goes on, and its machine where that is another."""
    there = runs.remote_owner(run)
    return DeviceError("device.elsewhere", run=run.id, **there) if there else DeviceError("device.busy", run=run.id)


_one = threading.Lock()
_thread: GpuThread | None = None


def thread() -> GpuThread:
    """Return this process's GPU thread, started at the first call."""
    global _thread
    with _one:
        if _thread is None:
            _thread = GpuThread()
        return _thread


def shutdown() -> None:
    """End the GPU thread if there is one. A process that exits while torch works on another thread would abort."""
    global _thread
    with _one:
        ended, _thread = _thread, None
    if ended is not None:
        ended.close()


def train_along() -> None:
    """Carry out a run as one of its processes that is not the first; raises StudioError, of which the first is told."""
    from studio.train import distributed

    try:
        path = processes.tell()
    except DeviceError:  # the first one has ended before there was something to train
        return
    if path is None:
        return
    run = distributed.NullRunWriter(path)
    try:
        with processes.noticing():
            distributed.train_worker(run, ModelHost())
    except Exception as error:
        told = readable(error)
        if told.key != processes.GONE:
            log.error("process %s of run %s failed\n%s", processes.number() + 1, run.id, traceback.format_exc())
            distributed.write_failure(run, told)
        raise told from error


def _measure(
    config: RunConfig, host: ModelHost, training: Run | None, show: Callable[[Any], None], stop: threading.Event
) -> None:
    from studio.train import measure

    if training is not None:
        raise DeviceError("device.busy", run=training.id)
    try:
        show(measure.measure(config, host, stop))
    finally:
        host.remove_adapter()


@contextlib.contextmanager
def _log_to(run: Run) -> Iterator[None]:
    """Send what this thread logs to the run's log file too."""
    me = threading.get_ident()
    handler = logging.FileHandler(run.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.thread == me)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # on a full disk, what could not be written is tried again here
            handler.close()
