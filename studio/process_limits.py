"""Limits on what a process takes, for programs that open others' files. It imports nothing of the studio.

Such a program has nothing of the studio on its path, and loads this file with `runpy`.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

TOO_MUCH = 7
"""Exit code of a program that needed more than its limits."""
_STATM_FIELDS = {"RLIMIT_AS": 0, "RLIMIT_DATA": 5}
"""Where /proc/self/statm has what a limit is about, in pages."""


def limiter(kind: str = "RLIMIT_AS") -> Callable[..., AbstractContextManager[None]]:
    """Return a context manager `limited(memory, seconds)`: bytes beyond what is used now, and processor time.

    Too much memory raises MemoryError, or ends native code; it is limited on Linux only. Too much time ends the
    process with a signal, in native code too; 0 stands for no limit. Windows limits neither: there whoever started the
    process has to watch the clock.
    """
    try:
        import resource
    except ImportError:
        return lambda memory, seconds=0: contextlib.nullcontext()
    limit = getattr(resource, kind)
    usual, used = resource.getrlimit(limit), 0
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[_STATM_FIELDS[kind]]) * resource.getpagesize()

    @contextlib.contextmanager
    def limited(memory: int, seconds: float = 0) -> Iterator[None]:
        if used:
            resource.setrlimit(limit, (used + memory, usual[1]))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(limit, usual)

    return limited
