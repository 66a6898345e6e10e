"""The GPU thread's jobs that a session has asked for: one of each kind, so that a Stop button finds it."""

from weakref import WeakValueDictionary

import gradio as gr

from studio.gpu import Job

_going: "WeakValueDictionary[tuple[str, str], Job]" = WeakValueDictionary()


def _key(request: gr.Request, kind: str) -> tuple[str, str]:
    return str(request.session_hash), kind


def keep(request: gr.Request, kind: str, job: Job) -> Job:
    """Remember a session's job; the one of this kind before it is ended."""
    stop(request, kind)
    _going[_key(request, kind)] = job
    return job


def stop(request: gr.Request, kind: str) -> None:
    """End a session's job of this kind, if there is one."""
    if (job := _going.get(_key(request, kind))) is not None:
        job.stop()


def busy(request: gr.Request, kind: str) -> bool:
    """Whether a session's job of this kind goes on."""
    job = _going.get(_key(request, kind))
    return job is not None and not job.done.is_set()
