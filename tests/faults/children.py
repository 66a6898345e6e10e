"""Processes of their own that start at once: forked from one that has imported everything and never used torch.

Python's fork server does it. A child is killed, signalled and waited for like any other process.
"""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # sums are then the same in every process, whatever else the machine does
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "HF_HUB_OFFLINE": "1",
    "COLUMNS": "300",  # lines of the command line stay whole
}


def start(
    home: Path, work: Callable[..., None], *args: Any, out: Path | None = None, env: Mapping[str, str] = {}
) -> BaseProcess:
    """Run `work(*args)` in a process whose home is `home`; what it prints goes to the file `out`, or nowhere."""
    own = {"RESTYLE_HOME": str(home), "RESTYLE_CACHE": str(home.parent / "cache"), **env}
    process = _forks().Process(target=_carry_out, args=(own, out, work, args), daemon=True)
    process.start()
    return process


def _forks() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.loaded"])
    kept = {name: os.environ.get(name) for name in (*ENVIRONMENT, "PYTHONPATH")}
    os.environ.update(ENVIRONMENT)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), kept["PYTHONPATH"])))
    try:
        multiprocessing.forkserver.ensure_running()  # with the environment as it is now, the first time
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
    return context


def _carry_out(env: Mapping[str, str], out: Path | None, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.environ.update(env)
    written = os.open(out or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(written, stream)
    try:
        work(*args)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # at once, as a process that only serves


def command_line(*arguments: str) -> None:
    """Be `python -m studio` with these arguments."""
    from studio.cli import main

    sys.argv = ["studio", *arguments]
    main()


NOTHING_SAVED = 3


def train(settings: str, run_id: str | None = None) -> None:
    """Start a run with these settings (YAML), or go on with one, and wait until it ends.

    Leaves with 1 unless it finishes, with `NOTHING_SAVED` when there is nothing to go on from.
    """
    import time

    from studio import gpu
    from studio.config import RunConfig
    from studio.errors import RunError
    from studio.runs import State

    thread = gpu.thread()
    try:
        run = thread.resume_run(run_id) if run_id else thread.start_run(RunConfig.from_yaml(settings))
    except RunError as error:
        print(error)
        sys.exit(NOTHING_SAVED if error.key == "run.no_checkpoint" else 1)
    while (status := run.status()).state.alive:
        time.sleep(0.02)
    if status.state is not State.FINISHED:
        print(status, run.log.read_text(encoding="utf-8"))
        sys.exit(1)
