"""The GPU thread: the only one that touches the device and the models on it.

Training runs go one at a time. Short interactive jobs (comparing) run at once when nothing trains, and between two
micro-batches when something does. Nothing here knows the page.
"""

import contextlib
import logging
import queue
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from filelock import FileLock, Timeout

from studio import runs
from studio.compare.generate import CompareRequest, Side
from studio.config import MappingConfig, RunConfig
from studio.errors import CompareError, DeviceError, ModelError, RunError, StudioError
from studio.files import home
from studio.model.adapter import ModelHost, untouched
from studio.runs import Run, RunWriter, State

log = logging.getLogger(__name__)


class Comparison:
    """A comparison that was asked for; safe to use from any thread."""

    def __init__(self, request: CompareRequest):
        self.request = request
        self._stop = threading.Event()
        self._shown: queue.SimpleQueue[list[Side] | BaseException | None] = queue.SimpleQueue()

    def updates(self) -> Iterator[list[Side]]:
        """Yield both sides as they grow, the newest state each time; raises StudioError when the job failed."""
        over = False
        while not over:
            newest = self._shown.get()
            while newest is not None and not isinstance(newest, BaseException):
                try:
                    later = self._shown.get_nowait()
                except queue.Empty:
                    break
                if later is None or isinstance(later, BaseException):
                    yield newest
                newest = later
            if isinstance(newest, BaseException):
                raise newest
            if newest is None:
                over = True
            else:
                yield newest

    def result(self) -> list[Side]:
        """Wait for the end and return the finished sides; raises StudioError when the job failed."""
        *_, sides = self.updates()
        return sides

    def stop(self) -> None:
        """End the answers where they are."""
        self._stop.set()

    def _run(self, host: ModelHost, training: Run | None) -> None:
        try:
            _compare(self.request, host, training, self._shown.put, self._stop)
            self._shown.put(None)
        except Exception as error:
            log.warning("comparison failed", exc_info=True)
            self._shown.put(_readable(error))


class GpuThread:
    """Takes jobs and carries them out in order."""

    def __init__(self) -> None:
        self._host = ModelHost()
        self._starting = threading.Lock()
        self._trains: queue.SimpleQueue[tuple[RunWriter, bool]] = queue.SimpleQueue()
        self._visits: queue.SimpleQueue[Comparison] = queue.SimpleQueue()
        self._work = threading.Semaphore(0)
        self._training: Run | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="gpu", daemon=True)
        self._thread.start()

    def start_run(self, config: RunConfig) -> Run:
        """Make a run and begin it; raises DeviceError that names the run that lives already, in any process."""
        with self._starting, FileLock(home() / "start.lock"):
            if alive := runs.alive_runs():
                raise DeviceError("device.busy", run=alive[0].id)
            run = runs.create(config)
        self._trains.put((run, False))
        self._work.release()
        return run

    def resume_run(self, run_id: str) -> Run:
        """Go on with a run from its newest checkpoint; raises RunError or DeviceError when that cannot be."""
        from studio.train import checkpoint

        with self._starting, FileLock(home() / "start.lock"):
            run = runs.find(run_id)
            if alive := runs.alive_runs():
                raise DeviceError("device.busy", run=alive[0].id)
            if run.status().state is State.FINISHED:
                raise RunError("run.finished", run=run.id)
            checkpoint.newest_whole(run.path)
            taken = RunWriter.take_over(run)
        self._trains.put((taken, True))
        self._work.release()
        return taken

    def compare(self, request: CompareRequest) -> Comparison:
        """Ask for a comparison; it begins when the device is free, or at the next micro-batch."""
        comparison = Comparison(request)
        self._visits.put(comparison)
        self._work.release()
        return comparison

    def close(self) -> None:
        """Pause the run that trains (it can be resumed), and wait until the thread has ended."""
        self._closing = True
        if training := self._training:
            training.request("pause")
        self._work.release()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            self._work.acquire()
            self._visit()
            if self._closing:
                return
            with contextlib.suppress(queue.Empty):
                self._train(*self._trains.get_nowait())

    def _visit(self) -> None:
        """Carry out the interactive jobs that wait."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._visits.get_nowait()._run(self._host, self._training)

    def _train(self, run: RunWriter, resume: bool) -> None:
        from studio.train.trainer import train

        self._training = run
        failure: StudioError | None = None
        with _log_to(run):
            try:
                with _device_lock(run):
                    train(run, self._host, self._visit, resume=resume)
            except Exception as error:
                log.error("run %s failed\n%s", run.id, traceback.format_exc())
                failure = _readable(error)
        self._training = None
        if failure:  # outside of the handler, where the traceback no longer holds the model
            self._host.release()
            run.enter(State.FAILED, error=failure.message)


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
    if _thread is not None:
        _thread.close()


def _compare(
    request: CompareRequest,
    host: ModelHost,
    training: Run | None,
    show: Callable[[list[Side]], None],
    stop: threading.Event,
) -> None:
    from studio.compare.generate import answer
    from studio.data.formats import Turn
    from studio.data.prepare import renderer

    run = runs.find(request.run_id)
    config = run.config()
    model = _model_of(run, config, host, training)
    assert host.loaded is not None
    tokenizer = host.loaded.tokenizer
    mapping = MappingConfig.model_validate(run.resolved()["mapping"])
    segments = renderer(config, tokenizer, mapping).question([Turn("user", request.prompt)])
    with untouched(model):
        answer(model, tokenizer, segments, request.generation, show, stop)


def _model_of(run: Run, config: RunConfig, host: ModelHost, training: Run | None) -> Any:
    """Return the base wrapped with the run's adapter: as it is now while the run trains, else as it was saved."""
    from studio.model import load

    if training is not None:
        if training.id != run.id:
            raise CompareError("compare.training_other", run=training.id)
        if host.adapter != run.id:
            raise CompareError("compare.not_yet", run=run.id)
        return host.peft
    if not run.has_adapter:
        raise CompareError("compare.no_adapter", run=run.id)
    located = load.locate(config.model)
    if located is None:
        raise ModelError("model.not_here", id=config.model.id)
    host.base(config.model, located)
    return host.load_adapter(run.adapter)


@contextlib.contextmanager
def _device_lock(run: RunWriter) -> Iterator[None]:
    """Hold the device's lock, so that two processes never train on it at once; waits for another's run to end."""
    from studio.model.hardware import device

    folder = home() / "locks"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{device()}.lock")
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            run.update(phase="waiting")
    try:
        yield
    finally:
        lock.release()


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
        handler.close()


def _readable(error: BaseException) -> StudioError:
    """Return an error that a user can read; what we did not foresee points to the log."""
    if isinstance(error, StudioError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate" in str(error):
        return DeviceError("device.memory")
    return StudioError("unexpected", kind=type(error).__name__, detail=str(error)[:300])
