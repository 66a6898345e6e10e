"""A subprocess for long work that cannot be interrupted from within: its output is read, and it can be killed."""

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import studio
from studio.errors import ModelError
from studio.process_limits import TOO_MUCH

POLL_SECONDS = 0.2
"""Seconds between two checks whether the work is still wanted."""
SILENCE_SECONDS = 120.0
"""Seconds without output after which a program counts as stuck."""
LONG_SILENCE_SECONDS = 1800.0
"""The same where a program loads a large model, downloads, or prints only its results."""

HUB_TOKEN_VARIABLES = ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN")
"""Variables with the user's token of the Hub, for those programs alone that call it."""
_PASSED = re.compile(
    r"PATH|PATHEXT|HOME|USER|LOGNAME|SHELL|USERPROFILE|USERNAME|HOMEDRIVE|HOMEPATH|(LOCAL)?APPDATA|PROGRAMDATA|PROGRAMFILES.*"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|TEMP|TMP|TMPDIR|TZ|LANG|LANGUAGE|LC_.*|XDG_.*|PYTHON.*|VIRTUAL_ENV|CONDA_.*"
    r"|(DY)?LD_.*|CUDA_.*|NVIDIA_.*|HIP_.*|ROC[MR]_.*|HSA_.*|(G?OMP|MKL|KMP|OPENBLAS|NUMEXPR|BLIS|VECLIB)_.*|MALLOC_.*"
    r"|(PY)?TORCH.*|TRITON_.*|BNB_.*|TOKENIZERS_PARALLELISM|TRANSFORMERS_.*|HF_.*|HUGGINGFACE_.*|SAFETENSORS_.*"
    r"|RESTYLE_(HOME|CACHE)|PIP_.*|(HTTPS?|ALL|NO|FTP)_PROXY|SSL_CERT_.*|(REQUESTS|CURL)_CA_BUNDLE",
    re.IGNORECASE,
)
"""Variables that a program needs to run as this one does."""
_SECRET = re.compile(r"(?<!_DISABLE_IMPLICIT_)TOKEN(?!IZERS)|SECRET|PASSW|CREDENTIAL|_KEY", re.IGNORECASE)


def environment(also: Sequence[str] = ()) -> dict[str, str]:
    """Return this process's environment as far as a program needs it: no keys and tokens, but for those `also`."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in also or (_PASSED.fullmatch(name) and not _SECRET.search(name))
    }


def is_bearable(program: str, *arguments: str, seconds: float, bearable: Sequence[int] = (0,)) -> bool:
    """Whether `python PROGRAM ARGUMENTS` ends `bearable`, within its limits and `seconds`; raises ModelError."""
    command = [sys.executable, "-P", program, *arguments]
    try:
        done = subprocess.run(command, input=b"", capture_output=True, timeout=seconds, check=False, env=environment())
    except subprocess.TimeoutExpired:
        return False
    except OSError as error:
        raise ModelError("model.trial", program=sys.executable, detail=str(error)) from error
    if done.returncode in bearable:
        return True
    check_limit_exit(done.returncode, done.stderr)
    return False


def check_limit_exit(code: int, stderr: bytes) -> None:
    """Raise ModelError with the last line of a program that failed, unless it ended at its limits."""
    if code == TOO_MUCH or code < 0:
        return
    lines = stderr.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
    raise ModelError("model.trial", program=sys.executable, detail=lines[-1][:300])


class WorkerSilent(Exception):
    """The program printed nothing for too long."""


class SubprocessWorker:
    """A running program. Its standard input stays open, so that it can see when this process is gone."""

    def __init__(
        self,
        command: Sequence[str],
        first_line: str = "",
        silence: float = SILENCE_SECONDS,
        variables: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
    ):
        """Start `command` with the named `secrets`, and write a line to it; after `silence` seconds it is stuck."""
        self._silence = silence
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**environment(secrets), **(variables or {})},
            cwd=Path(studio.__file__).parent.parent,  # where `-m studio…` finds the package
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="child-output", daemon=True).start()
        if first_line:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(first_line + "\n")
                self._process.stdin.flush()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; waits for its end."""
        return self._process.wait() != 0

    def lines(self) -> Iterator[str | None]:
        """Yield each line, and None when there is none for a moment; closing kills the program. Raises WorkerSilent."""
        last_output = time.monotonic()
        try:
            while True:
                try:
                    line = self._lines.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    if time.monotonic() - last_output > self._silence:
                        raise WorkerSilent from None
                    yield None
                    continue
                if line is None:
                    self._process.wait()
                    return
                last_output = time.monotonic()
                yield line
        finally:
            self._end()

    def _listen(self) -> None:
        with self._process.stdout as printed:
            for line in printed:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


def checked_lines(
    command: Sequence[str],
    failure: Callable[[str], Exception],
    first_line: str = "",
    variables: Mapping[str, str] | None = None,
) -> Iterator[str | None]:
    """Yield a program's output as `lines` does; raises `failure` of its last line, or of `time-out`."""
    worker = SubprocessWorker(command, first_line, LONG_SILENCE_SECONDS, variables)
    last = ""
    try:
        with contextlib.closing(worker.lines()) as lines:
            for line in lines:
                last = line.strip() if line and line.strip() else last
                yield line
    except WorkerSilent as error:
        raise failure("time-out") from error
    if worker.failed:
        raise failure(last)
