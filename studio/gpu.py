"""The GPU thread: the only one that uses the device and the models on it.

Training runs, and other jobs that need the device for themselves (merging, verifying), are in one queue. Interactive
jobs (comparing) run at once when nothing trains, and between two micro-batches when something does.
"""

import contextlib
import contextvars
import functools
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio import gpu_slices, job_slices, locks, runs
from studio.compare.columns import CompareRequest, EvaluationRequest, MixRequest
from studio.config import RunConfig
from studio.errors import DeviceError, RunError
from studio.evaluate.vote_pairs import VotePairsRequest
from studio.export.request import ExportRequest
from studio.files import home, shared_folder
from studio.generation.base_answers import PromptsRequest
from studio.generation.job_context import JobContext
from studio.i18n import Message, message
from studio.job import Job, Work, as_studio_error, busy_error, log_to
from studio.model import estimate, libraries, load, processes
from studio.model.adapter import ModelHost
from studio.model.hardware import is_device_lost, is_lent
from studio.owner import BEAT_SECONDS
from studio.runs import Run, RunWriter, State
from studio.style.request import StyleRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _QueuedRun:
    """A run in the queue."""

    run: RunWriter
    resumed: bool = False
    token: str | None = field(default=None, repr=False)
    """For downloading the model; stored nowhere else."""
    context: contextvars.Context = field(default_factory=contextvars.copy_context, repr=False)
    """That of the request which started it."""


class GpuThread:
    """Runs jobs on the device, in order."""

    def __init__(self) -> None:
        self._host = ModelHost()
        self._starting = threading.RLock()
        self._queue: list[_QueuedRun | Job] = []
        self._interactive: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._work = threading.Semaphore(0)
        self._current: Run | None = None  # the run that has left the queue; it may wait for the device
        self._training: Run | None = None  # the same run, once it has the device
        self.is_visited = True  # whether runs may be compared with their base while they train
        self._is_occupied = False  # by a run or an exclusive job that has left the queue
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="gpu", daemon=True)
        self._thread.start()
        threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True).start()

    def start_run(
        self, config: RunConfig, *, wait: bool = False, token: str | None = None, files: Mapping[str, str] | None = None
    ) -> Run:
        """Create a run with more `files`, and start or queue it; `token` downloads its model; raises StudioError."""
        from studio.train import start_adapter

        config, start = start_adapter.resolve(config)
        with self._starting_run(wait) as devices:
            run = start_adapter.create_run(config, start, devices, files or {})
            self._queue.append(_QueuedRun(run, token=token))
        self._work.release()
        return run

    def resume_run(
        self, run_id: str, settings: Mapping[str, Any] | None = None, *, wait: bool = False, token: str | None = None
    ) -> Run:
        """Resume a run from its newest checkpoint, or from its start while it has none; a remote one as a job."""
        from studio.remote import follow, record
        from studio.runs import checkpoints
        from studio.train import resume, run_training

        run = runs.find(run_id)
        if record.load(run):
            return follow.resume(run, settings or {}, token)
        handed_over = gpu_slices.is_handed_over(run)
        with self._starting_run(wait or handed_over) as devices:
            if run.status().state.alive and not handed_over:
                raise busy_error(run)
            changes = resume.checked_changes(run, settings or {})
            if checkpoints.all_of(run.path) or run.status().state is State.FINISHED:
                checkpoints.newest_complete(run.path)
            writer = RunWriter.take_over(run, devices, keep_request=handed_over)
            run_training.record_changes(writer, changes)
            self._queue.append(_QueuedRun(writer, True, token))
        self._work.release()
        return writer

    @contextlib.contextmanager
    def _starting_run(self, wait: bool) -> Iterator[tuple[str, ...]]:
        """Keep others, in this process or another, from starting a run; yields the devices that it may use."""
        from studio.model.hardware import devices

        if is_device_lost():
            raise DeviceError("device.restart")
        libraries.require_torch()
        here = devices()
        with self._starting, locks.acquire(home() / "start.lock"):
            if not wait and (alive := runs.alive_runs(here)):
                raise busy_error(alive[-1])
            yield here

    def queued(self) -> list[str]:
        """Return the ids of the queued runs, the next one first."""
        with self._starting:
            return [waiting.run.id for waiting in self._queued_runs()]

    def _queued_runs(self) -> list[_QueuedRun]:
        return [waiting for waiting in self._queue if isinstance(waiting, _QueuedRun)]

    def move(self, run_id: str, place: int) -> None:
        """Move a run to another place in the queue (0 is the next); raises RunError where it is not in it."""
        with self._starting:
            queued = next((waiting for waiting in self._queued_runs() if waiting.run.id == run_id), None)
            if queued is None:
                raise RunError("run.not_queued", run=run_id[:80])
            self._queue.remove(queued)
            self._queue.insert(max(0, place), queued)

    def submit(self, job: Job, exclusive: bool = False) -> Job:
        """Queue an interactive job; it starts when the device is free, or at the next micro-batch.

        An `exclusive` one starts when the runs and jobs before it have ended. The models are released first, and no
        other process trains meanwhile.
        """
        if is_device_lost():
            job.refuse(DeviceError("device.restart"))
            return job
        if exclusive:
            with self._starting:
                self._queue.append(job)
        else:
            self._interactive.put(job)
        self._work.release()
        return job

    def _answer(self, work: Work) -> Job:
        """Queue an interactive job that answers prompts; where GPUs are lent, it borrows them."""
        return self.submit(Job(job_slices.in_slices(work) if is_lent() else work))

    @property
    def is_taken(self) -> bool:
        """Whether a run or an exclusive job has the device, or waits for it."""
        return bool(self._queue) or self._is_occupied

    @property
    def has_interactive(self) -> bool:
        """Whether interactive jobs wait for the one that the thread works on."""
        return not self._interactive.empty()

    def export(self, request: ExportRequest) -> Job:
        """Queue an export of a run; its updates are `ExportProgress`."""
        from studio.export.job import export

        return self.submit(Job(functools.partial(export, request)), exclusive=True)

    def compare(self, request: CompareRequest, keep: bool = True, batch: bool = False) -> Job:
        """Queue a comparison, to be saved with its run or not; its updates are a `Comparison` after every token.

        A `batch` of the user's own prompts is saved apart from single comparisons, and refused while a run is trained.
        """
        from studio.compare.compare_job import compare

        return self._answer(functools.partial(compare, request, keep=keep, batch=batch))

    def score_answer(self, request: CompareRequest, answer: Sequence[int]) -> Job:
        """Queue the scores of an answer's tokens in each column, for the first prompt; updates are `TokenScores`."""
        from studio.compare.compare_job import score_answer

        return self._answer(functools.partial(score_answer, request, answer))

    def evaluate(self, request: EvaluationRequest) -> Job:
        """Queue the evaluation of a run; its updates are an `Evaluation` after every batch."""
        from studio.evaluate.evaluation_job import evaluate

        return self._answer(functools.partial(evaluate, request))

    def make_pairs(self, request: VotePairsRequest) -> Job:
        """Queue the making of pairs to vote on; its updates are a `VotePairsProgress`, the last with the pairs."""
        from studio.evaluate.vote_pairs_job import make_pairs

        return self._answer(functools.partial(make_pairs, request))

    def answer_prompts(self, request: PromptsRequest) -> Job:
        """Queue a base model's answers to prompts; its updates are `PromptsProgress`, the last with all of them."""
        from studio.generation.base_answers import answer_prompts

        return self._answer(functools.partial(answer_prompts, request))

    def save_mix(self, request: MixRequest) -> Job:
        """Queue the saving of a mix of adapters; its only update is a `SavedMix`."""
        from studio.compare.compare_job import save_mix

        return self.submit(Job(functools.partial(save_mix, request)))

    def style(self, request: StyleRequest) -> Job:
        """Queue the meter of a run; its updates are a `StyleProgress` after every batch, the last with the report."""
        from studio.style.style_job import measure_style

        return self._answer(functools.partial(measure_style, request))

    def measure(self, config: RunConfig) -> Job:
        """Queue two steps on the longest rows of a run that is not started; the result is a `Measured`."""
        from studio.train import measure

        def work(job: JobContext) -> None:
            if job.training is not None:
                raise DeviceError("device.busy", run=job.training.id)
            try:
                job.show(measure.measure(config, job.host, job.stop))
            finally:
                job.host.remove_adapter()

        return self.submit(Job(work))

    def free_memory(self) -> tuple[float, ...]:
        """Return the bytes of each card that a run may use: what is free, and what the idle base model holds."""
        from studio.model.hardware import free_memory_each

        return free_memory_each(self._host.base_bytes)

    def close(self) -> None:
        """Pause the current run and the queued ones, which can be resumed; wait for the end, and free the device."""
        with self._starting:  # no run is between the queue and the thread then
            self._closing.set()
            for waiting in self._queued_runs():
                waiting.run.request("pause")
            if self._current:
                self._current.request("pause")
        self._work.release()
        self._thread.join()

    def _heartbeat(self) -> None:
        """Write the heartbeats of the queued runs, for other machines that share the home."""
        while not self._closing.wait(BEAT_SECONDS):
            with self._starting:
                waiting = self._queued_runs()
            for each in waiting:
                each.run.touch_heartbeat()

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._work.acquire()
            self._run_interactive()
            with self._starting:
                if self._closing.is_set() or not self._queue:
                    continue
                self._is_occupied = True  # before it leaves the queue, so that `is_taken` misses none
                first = self._queue.pop(0)
                # from here on, so that `close` pauses it
                self._current = first.run if isinstance(first, _QueuedRun) else None
            try:
                if isinstance(first, Job):
                    self._run_exclusive(first)
                else:
                    self._train(first)
            except BaseException as error:  # a folder is gone, say: the thread goes on with the next
                log.exception("a run or a job could not end")
                if isinstance(first, Job):
                    first.refuse(as_studio_error(error))
            finally:
                self._current = self._training = None
                self._is_occupied = False
        self._poll_requests()
        for job in [waiting for waiting in self._queue if isinstance(waiting, Job)]:
            job.refuse(DeviceError("device.closing"))
        with contextlib.suppress(queue.Empty):
            while True:
                self._interactive.get_nowait().refuse(DeviceError("device.closing"))
        if self._host.loaded is not None:  # where a page is opened again in the same process, as in a notebook
            self._host.release()

    def _run_exclusive(self, job: Job) -> None:
        try:
            with self._device_lock(lambda: job.stopping.is_set() or self._closing.is_set()), estimate.device_in_use:
                self._host.release()
                job.run(self._host, None, self._poll_requests)
        finally:
            self._host.release()

    def _run_interactive(self) -> None:
        """Run the interactive jobs, and the requests to queued runs."""
        with contextlib.suppress(queue.Empty), estimate.device_in_use:
            while not self._poll_requests():
                self._interactive.get_nowait().run(self._host, self._training, self._poll_requests)

    def _poll_requests(self) -> bool:
        """Run the requests to queued runs; return whether jobs have to wait or end, for a request or the end."""
        with self._starting:
            requested = [(waiting, action) for waiting in self._queued_runs() if (action := waiting.run.requested())]
            for waiting, action in requested:
                self._queue.remove(waiting)
                waiting.run.enter(State.PAUSED if action == "pause" else State.STOPPED)
        return self._closing.is_set() or (self._current is not None and self._current.requested() is not None)

    def _train(self, waiting: _QueuedRun) -> None:
        from studio.model.hardware import release_memory
        from studio.style.training_meter import open_meter
        from studio.train import distributed, heartbeat
        from studio.train.run_training import train

        run = waiting.run
        if is_lent():
            gpu_slices.train(run, waiting.context, waiting.token, self._run_interactive)
            return
        if is_device_lost():  # while it was queued
            run.note(message("log.device_lost"), "warning")
            run.enter(State.PAUSED)
            return
        failure: Message | None = None  # not the error, whose traceback holds the model
        with log_to(run.log), estimate.device_in_use:
            try:
                with load.examined_meanwhile(run.config().model):
                    libraries.require()
                with (
                    heartbeat.writing(run),
                    self._device_lock(run.requested, lambda: run.enter_phase("waiting")),
                    processes.translate_lost_peer(),
                ):
                    self._training = run
                    settings = {"resumed": waiting.resumed, "token": waiting.token, "visited": self.is_visited}
                    train(run, self._host, self._run_interactive, open_meter=open_meter, **settings)
            except BaseException as error:  # also a panic in native code
                log.error("run %s failed\n%s", run.id, traceback.format_exc())
                failure = distributed.failure_cause(run, as_studio_error(error)).message
        if failure:  # outside of the handler, whose error holds it too
            self._host.release()
            run.enter(State.FAILED, error=failure)
        else:
            release_memory()  # of the passes; the base stays

    @contextlib.contextmanager
    def _device_lock(self, give_up: Callable[[], Any], on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the locks of all devices; waits for other processes, after one `on_wait`, until `give_up` is true."""
        if (lock := _lock_devices()) is None and not give_up():
            on_wait()
        while lock is None and not give_up():
            time.sleep(_POLL_SECONDS)
            self._run_interactive()
            lock = _lock_devices()
        try:
            yield
        finally:
            if lock:
                lock()


_POLL_SECONDS = 0.1


def _lock_devices() -> Callable[[], None] | None:
    """Lock all devices of this process, or none; returns what releases them."""
    from studio.model.hardware import devices

    folder = shared_folder(home(), "locks")
    return locks.try_acquire_all(folder / f"{name}.lock" for name in sorted(devices()))


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
    """End the GPU thread if there is one; a process that exits while torch works on another thread would abort."""
    global _thread
    with _one:
        ended, _thread = _thread, None
    if ended is not None:
        ended.close()
