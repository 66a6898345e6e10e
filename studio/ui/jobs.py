"""The GPU thread's jobs that were asked for on the page: one of each kind for each owner, so that Stop finds it.

Who owns a job is a session (comparing: it ends with it), or a run (its scoreboard: every session shows and stops it).
"""

from collections.abc import Callable
from weakref import WeakValueDictionary

import gradio as gr

from studio.job import Job

Owner = gr.Request | str
"""A session by its request, or a run by its id."""

_running: "WeakValueDictionary[tuple[str, str], Job]" = WeakValueDictionary()


def _key(owner: Owner, kind: str) -> tuple[str, str]:
    return owner if isinstance(owner, str) else str(owner.session_hash), kind


def keep(owner: Owner, kind: str, job: Job) -> Job:
    """Remember an owner's job; the one of this kind before it is ended."""
    stop(owner, kind)
    _running[_key(owner, kind)] = job
    return job


def is_current(owner: Owner, kind: str, job: Job) -> bool:
    """Whether no other job has taken the place of an owner's job, and it was not forgotten."""
    return _running.get(_key(owner, kind)) is job


def forget(owner: Owner, kind: str) -> None:
    """Forget an owner's job, which goes on."""
    _running.pop(_key(owner, kind), None)


def stop(owner: Owner, kind: str) -> None:
    """End an owner's job of this kind, if there is one."""
    if (job := _running.get(_key(owner, kind))) is not None:
        job.stop()


def stopper(kind: str) -> Callable[[str | None], None]:
    """Return a handler for a button that ends a run's job of this kind."""

    def stop_job(run_id: str | None) -> None:
        if run_id:
            stop(run_id, kind)

    return stop_job


def busy(owner: Owner, kind: str) -> bool:
    """Whether an owner's job of this kind goes on."""
    job = _running.get(_key(owner, kind))
    return job is not None and not job.done.is_set()
