"""The process that works on a run, on this machine or on another that shares the home.

A process of this machine is looked up. Of another machine's processes nothing is known but their heartbeat: they touch
one of the run's files every `BEAT_SECONDS` at least, by the clock of the file system, which sets the times.
"""

import functools
import math
import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from studio.files import home

BEAT_SECONDS = 10.0
"""Seconds between two heartbeats at most."""
GONE_SECONDS = 90.0
"""Seconds without a heartbeat after which a process of another machine counts as gone. Network file systems keep the
times of files for up to 60 (nfs(5), acregmax)."""


class Owner(BaseModel):
    """A process, distinguished from a later one with the same number by when it and the machine started."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float
    boot: float
    host: str = ""
    """The machine's name, for people; empty in records of older versions, which knew no others."""
    kernel: str = ""
    """The namespace of the process number: this boot of the machine, or a container on it."""
    devices: tuple[str, ...] = ()
    """The devices that it may use, see `hardware.devices`; empty where that is not known."""

    @classmethod
    def current(cls, devices: Iterable[str] = ()) -> "Owner":
        """Return the owner that is this process."""
        return cls(
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            boot=psutil.boot_time(),
            host=socket.gethostname(),
            kernel=_kernel(),
            devices=tuple(devices),
        )

    @property
    def is_local(self) -> bool:
        """Whether the process can be looked up: it runs on this machine, or ran on it since its start."""
        return not self.host or (self.host, self.kernel) == (socket.gethostname(), _kernel())

    def is_alive(self, beats: Iterable[Path] = ()) -> bool:
        """Whether the process still runs; `beats` are the files that it touches while it does."""
        if not self.is_local:
            return seconds_since_heartbeat(beats) <= GONE_SECONDS
        if abs(self.boot - psutil.boot_time()) > 60:  # boot_time is derived from a clock that may be set
            return False
        try:
            process = psutil.Process(self.pid)
            ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)  # not waited for yet
            return abs(process.create_time() - self.started) < 1 and not ended
        except psutil.NoSuchProcess:
            return False

    def may_share(self, devices: Iterable[str]) -> bool:
        """Whether the process may use one of these devices, as far as that is known."""
        return not self.devices or not devices or bool(set(self.devices) & set(devices))


def seconds_since_heartbeat(beats: Iterable[Path]) -> float:
    """Return the seconds since the newest of some files was written; infinite when none is there."""
    newest = max(map(_written, beats), default=0.0)
    return max(0.0, _now() - newest) if newest else math.inf


def _written(path: Path) -> float:
    """Return a file's time; 0 for one that is not there. It is opened: a network file system then reads it again."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return 0.0


def _now() -> float:
    """Return the time by the clock that gives the files in the home theirs, as a new file there has it."""
    with tempfile.NamedTemporaryFile(dir=home(), prefix=".clock-") as file:
        return os.fstat(file.fileno()).st_mtime


@functools.cache
def _kernel() -> str:
    """Return what tells this start of the machine, and this container on it, from others (Linux; else empty)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""
