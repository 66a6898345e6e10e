"""The engine of the endpoint: requests from any thread, answered on the GPU thread."""

import logging
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from studio.compare.column_loading import LoadedColumns, load_columns
from studio.compare.columns import BASE, Column
from studio.data import tokens
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer, PlainRenderer
from studio.errors import CompareError, ServeError, StudioError
from studio.generation import generate
from studio.generation.generate import noise_key
from studio.generation.job_context import JobContext
from studio.gpu import GpuThread
from studio.i18n import Message
from studio.job import Job, as_studio_error
from studio.model.adapter import ModelHost
from studio.serve.batch import can_join
from studio.serve.decoder import Call, Decoder, Row
from studio.serve.models import Catalogue

log = logging.getLogger(__name__)
IDLE_SECONDS = 10.0
"""Seconds without a request after which the job on the GPU thread ends; the models stay on the device."""
_POLL_SECONDS = 0.1
MOST_COLUMNS = 32
"""Adapters, strengths and mixtures that are kept loaded; beyond these, all are unloaded as soon as none answers."""


@dataclass(frozen=True)
class Limits:
    """What the endpoint takes."""

    max_tokens: int = 4096
    """Tokens of an answer."""
    requests: int = 128
    """Answers that are generated or wait; further ones are refused."""
    rows: int = 32
    """Answers that are generated together."""
    body_bytes: int = 1 << 20


class Engine:
    """Answers calls in one job on the GPU thread, which ends when there are no requests or others want the thread.

    Comparisons take their turn when the answers of the moment are over. While a run trains, or an export has the
    device, and while one of them waits for it, calls are refused (`serve.busy`).
    """

    def __init__(self, catalogue: Catalogue, limits: Limits, thread: GpuThread):
        self.catalogue, self.limits, self._thread = catalogue, limits, thread
        self._lock = threading.Lock()
        self._pending: deque[Call] = deque()
        self._active: list[Row] = []
        self._wake = threading.Event()
        self._has_job = self._is_closed = False
        self._joins: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # by the base, which it must not keep
        self.notes: list[Message] = []
        """What is done in another way than expected, and why; known after `load`."""

    @property
    def open(self) -> int:
        """The number of calls that are answered or wait."""
        with self._lock:
            return self._count_open()

    def _count_open(self) -> int:
        waiting = sum(not call.is_cancelled for call in self._pending)
        return waiting + sum(row.end is None and not row.call.is_cancelled for row in self._active)

    def submit(self, call: Call) -> None:
        """Queue a call; raises ServeError and DeviceError where it cannot be answered now."""
        with self._lock:
            if self._is_closed:
                raise ServeError("serve.closing")
            if self._thread.is_taken:
                raise ServeError("serve.busy")
            if self._count_open() >= self.limits.requests:
                raise ServeError("serve.full", most=self.limits.requests)
            self._pending.append(call)
            self._wake.set()
            if self._has_job:
                return
            self._has_job = True
        self._start_job()

    def load(self) -> None:
        """Load the base and every adapter that is listed; raises StudioError where one cannot be served."""
        names = dict.fromkeys(self.catalogue.listed)

        def work(job: JobContext) -> None:
            import torch

            if job.training is not None:
                raise ServeError("serve.busy")
            with torch.no_grad(), ExitStack() as stack:
                columns = _Columns(self.catalogue, job.host, stack)
                for name in names:
                    columns.load(self.catalogue.resolve(name).column)
                self._can_join(job.host)
            job.show(columns.notes)

        self.notes = self._thread.submit(Job(work)).result()

    def close(self) -> None:
        """Refuse further calls, and end those that are open."""
        with self._lock:
            self._is_closed = True
            self._wake.set()
            self._end_calls(ServeError("serve.closing"))

    def _start_job(self) -> None:
        job = self._thread.submit(Job(self._work))
        if job.done.is_set():  # refused at once
            try:
                for _ in job.updates():
                    pass
            except StudioError as error:
                self._fail(error)

    def _fail(self, error: StudioError) -> None:
        with self._lock:
            self._end_calls(error)
            self._active, self._has_job = [], False

    def _end_calls(self, error: StudioError, active: bool = True) -> None:
        """End the calls that wait, and the active ones too, with an error; the lock is the caller's."""
        for call in [*self._pending, *(row.call for row in self._active if active)]:
            call.cancel()
            call.show(error)
        self._pending.clear()

    def _work(self, job: JobContext) -> None:
        import torch

        try:
            if job.training is not None:
                raise ServeError("serve.busy")
            with torch.no_grad():
                while self._serve(job.host, job.stop):
                    job.host.remove_adapter()
        except BaseException as error:
            self._fail(as_studio_error(error))
            raise
        with self._lock:
            again = self._has_job = bool(self._pending)
        if again:  # behind the comparisons that wait
            self._start_job()

    def _serve(self, host: ModelHost, stop: threading.Event) -> bool:
        """Answer calls until others want the thread or nobody calls; returns whether to load again and continue."""
        with ExitStack() as stack:
            columns = _Columns(self.catalogue, host, stack)
            decoder: Decoder | None = None
            while True:
                if stop.is_set() or self._is_closed:
                    raise ServeError("serve.closing")
                is_taken = self._thread.is_taken
                if is_taken:
                    with self._lock:
                        self._end_calls(ServeError("serve.busy"), active=False)
                leaves = is_taken or self._thread.has_interactive
                if not leaves and self._has_pending() and not columns.is_full:
                    if decoder is None:
                        columns.load(BASE)
                        model, loaded = columns.model, host.loaded
                        stops = tokens.stop_ids(loaded.tokenizer, loaded.model.generation_config)
                        decoder = Decoder(model, loaded.tokenizer, stops, self._can_join(host), self.limits.rows)
                    self._admit(columns, decoder)
                if decoder is not None and decoder.rows:
                    decoder.step()
                    with self._lock:
                        self._active = decoder.rows
                elif leaves:
                    return False
                elif columns.is_full:
                    return True
                elif not self._wait(stop):
                    return False

    def _wait(self, stop: threading.Event) -> bool:
        """Wait for a call; returns whether to go on."""
        for _ in range(round(IDLE_SECONDS / _POLL_SECONDS)):
            if self._has_pending() or self._wake.wait(_POLL_SECONDS):
                self._wake.clear()
                return True
            if stop.is_set() or self._thread.has_interactive or self._thread.is_taken:
                return True
        return False

    def _has_pending(self) -> bool:
        with self._lock:
            return bool(self._pending)

    def _can_join(self, host: ModelHost) -> bool:
        base = host.loaded.model
        if base not in self._joins:
            pad = host.loaded.tokenizer.pad_token_id
            self._joins[base] = can_join(lambda: host.peft or host.loaded.model, pad)
        return self._joins[base]

    def _admit(self, columns: "_Columns", decoder: Decoder) -> None:
        """Let calls join that there is room for, in the order in which they came."""
        joining: list[Row] = []
        while not columns.is_full:
            with self._lock:
                call = self._pending[0] if self._pending else None
            if call is None:
                break
            try:
                row = None if call.is_cancelled else columns.row(call)
            except Exception as error:  # of this call alone: the others go on
                row = None
                call.show(as_studio_error(error))
            if row is not None and not decoder.has_room(row, joining):
                break
            with self._lock:
                if self._is_closed:
                    return
                self._pending.popleft()
                if row is not None:
                    self._active.append(row)
                    joining.append(row)
        if joining:
            decoder.join(joining)


class _Columns:
    """The models that are loaded for a while, and the rows of calls for them."""

    def __init__(self, catalogue: Catalogue, host: ModelHost, stack: ExitStack):
        self._catalogue, self._host, self._stack = catalogue, host, stack
        self._loaded: dict[Column, LoadedColumns] = {}
        self._renderers: dict[str, Any] = {}
        self._last: Row | None = None

    @property
    def is_full(self) -> bool:
        return len(self._loaded) >= MOST_COLUMNS

    @property
    def notes(self) -> list[Any]:
        return list(dict.fromkeys(note for each in self._loaded.values() for note in each.notes))

    def model(self) -> Any:
        """Return the base, or PEFT's model around it."""
        return self._host.loaded.model if self._host.peft is None else self._host.peft

    def load(self, column: Column) -> LoadedColumns:
        """Return a column, loaded beside those that are there; raises StudioError."""
        if column not in self._loaded:
            run = self._catalogue.first
            loading = load_columns(self._host, run, run.config(), (column,), None, keep_all=True)
            self._loaded[column] = self._stack.enter_context(loading)
        return self._loaded[column]

    def row(self, call: Call) -> Row:
        """Return the row of a call; raises StudioError for a prompt that cannot be answered."""
        if self._last is None or self._last.call is not call:  # one that waits for room is not read again
            self._last = self._new_row(call)
        return self._last

    def _new_row(self, call: Call) -> Row:
        loaded = self.load(call.model.column)
        run = call.model.run
        if run.id not in self._renderers:
            self._renderers[run.id] = run_renderer(run, loaded.tokenizer)
        renderer = PlainRenderer(loaded.tokenizer) if call.is_text else self._renderers[run.id]
        if not call.is_text and len(call.turns) > 1 and not isinstance(renderer, ChatRenderer):
            raise CompareError("compare.one_turn")
        ids = tokens.prompt_ids(renderer.question(call.turns), loaded.tokenizer)
        field_name = "prompt" if call.is_text else "messages"
        if not ids:
            raise ServeError("serve.no_prompt", param=field_name)
        most = generate.max_positions(self.model())
        if len(ids) >= most:
            raise CompareError("compare.too_long", tokens=len(ids), most=most, param=field_name)
        call.prompt_tokens = len(ids)
        *earlier, prompt = [turn.content for turn in call.turns if turn.role == "user"]
        return Row(
            call,
            tuple(ids),
            name=loaded.names[0],
            key=noise_key(prompt, earlier),
            most=min(call.settings.max_new_tokens, most - len(ids)),
            alone=not loaded.mixes and loaded.names[0] != generate.BASE_MODEL,
        )
