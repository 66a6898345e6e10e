"""What a job on another machine does: `python -m studio.remote.worker`, in the folder that `bundle` wrote.

It first takes the turn (`turn`). Then it starts the studio's own training as a process, and keeps the run in a private
repository of the Hub meanwhile: each checkpoint when it is made, and events once a minute. It pauses the run when it is
asked to (SIGTERM, or control.json in the repository) and shortly before the job's time is over.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

from studio.files import replace_file
from studio.remote import bootstrap, bundle, turn
from studio.runs import Action, Run, State, checkpoints

SYNC_SECONDS = 60.0
"""Between two commits of events at least: the Hub limits the commits of an hour."""
CONTROL_SECONDS = 10.0
CONTROL = "control.json"
ATTEMPT = "attempt"
"""File in the run's directory there: the number of the job that wrote the rest."""
RUN_LABEL, ATTEMPT_LABEL = "restyle-run", "restyle-attempt"
LAST_SECONDS = 600.0
"""How long the last commit is tried."""
GRACE_SECONDS, GRACE_SHARE = 180.0, 0.1
"""How long before the end of the job's time the run is paused: so many seconds, of a short job this share."""
_POLL_SECONDS = 0.5


class Repository:
    """The repository of the Hub that keeps a run."""

    def __init__(self, name: str, run: Run, folder: Path):
        from huggingface_hub import HfApi

        self._api, self.name, self._run, self._draft = HfApi(), name, run, folder / ".sending"
        self._newest: list[str] = []
        self._at = float("-inf")
        self._api.create_repo(name, private=True, exist_ok=True)

    def upload_if_due(self, last: bool = False) -> bool:
        """Commit the run as it is, where a checkpoint is new or it is time; returns False where that did not work."""
        newest = [path.name for path in checkpoints.all_of(self._run.path)]
        if not last and newest == self._newest and time.monotonic() - self._at < _sync_seconds():
            return True
        self._newest, self._at = newest, time.monotonic()
        try:
            shutil.rmtree(self._draft, ignore_errors=True)
            target = self._draft / "runs" / self._run.id
            target.mkdir(parents=True)
            bundle.copy_run(self._run, target)
            commit = {"commit_message": f"step {self._run.status().step}", "delete_patterns": "*"}
            self._api.upload_folder(repo_id=self.name, folder_path=self._draft, path_in_repo="home", **commit)
        except Exception as error:  # the network, or a file that was replaced meanwhile: again at the next time
            print(f"the run was not sent: {type(error).__name__}", flush=True)
            return False
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)
        return True

    def take_turn(self, attempt: int) -> bool:
        """Return whether this job may train: a repository has one at most that does. Tried for `LAST_SECONDS`."""
        submission = os.environ.get(turn.SUBMISSION)
        if not submission:  # started by hand, or by a studio that knows no turns
            return True
        return turn.until_known(lambda: turn.take(self._api, self.name, attempt, submission), LAST_SECONDS)

    def is_superseded(self, attempt: int) -> bool:
        """Whether a later attempt has been started meanwhile; False where that cannot be known now."""
        with contextlib.suppress(Exception):
            now = turn.read(self._api, self.name, self._api.repo_info(self.name).sha)
            return now is not None and now.attempt > attempt > 0
        return False

    def requested(self, attempt: int) -> Action | None:
        """Return what is asked of this attempt of the job, if anything."""
        try:
            path = self._api.hf_hub_download(self.name, CONTROL, local_dir=self._draft.with_name(".control"))
            control = json.loads(Path(path).read_bytes())
        except Exception:  # it is not there, or the network is not
            return None
        known = control.get("attempt") == attempt and control.get("action") in get_args(Action)
        return control["action"] if known else None

    def started(self, attempt: int) -> float | None:
        """Return when this job was started by the Hub's clock, in seconds since the epoch, if that is known."""
        labels = {RUN_LABEL: self._run.id, ATTEMPT_LABEL: str(attempt)}
        with contextlib.suppress(Exception):
            for job in self._api.list_jobs(labels=labels, namespace=self.name.split("/")[0]):
                return job.started_at.timestamp() if job.started_at else None
        return None


def _sync_seconds() -> float:
    return float(os.environ.get("RESTYLE_SYNC_SECONDS", SYNC_SECONDS))


def main() -> None:
    """Carry out the run of the folder."""
    options = bootstrap.read_options()
    began, folder = time.time(), Path.cwd()
    [path] = [path for path in (folder / "home" / "runs").iterdir() if not path.name.startswith(".")]
    run = Run(path)
    repository = Repository(options.repository, run, folder) if options.repository else None
    if repository and not repository.take_turn(options.attempt):
        print(f"run {run.id}: another job carries it out", flush=True)
        return
    bundle.release(path)
    replace_file(path / ATTEMPT, str(options.attempt))
    if run.status().state is not State.FINISHED or options.set:
        if repository and options.seconds:
            began = repository.started(options.attempt) or began
        end = began + options.seconds - min(GRACE_SECONDS, GRACE_SHARE * options.seconds) if options.seconds else None
        if not _train(run, repository, options.attempt, end, options.set):
            print(f"run {run.id}: a later job carries it out", flush=True)
            return
    state = run.status().state
    is_uploaded = not repository or _upload_last(repository)
    print(f"run {run.id}: {state.value}", flush=True)
    if not is_uploaded:
        sys.exit(1)
    if state not in (State.FINISHED, State.STOPPED):
        sys.exit(options.paused_code if state is State.PAUSED else 1)


def _train(run: Run, repository: Repository | None, attempt: int, end: float | None, settings: list[str]) -> bool:
    """Train in a process, and pass on what is asked of it; returns False where a later job has the turn."""
    changes = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "studio", "resume", run.id, *changes]
    child = subprocess.Popen(command, env=dict(os.environ))  # with the token: the base may be gated
    pausing = False

    def pause(*_: Any) -> None:
        nonlocal pausing
        pausing = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pause)
    controlled = time.monotonic()
    requested: Action | None = None
    while child.poll() is None:
        if end and time.time() > end:
            pausing = True
        if repository and time.monotonic() - controlled >= min(CONTROL_SECONDS, _sync_seconds()):
            controlled, requested = time.monotonic(), requested or repository.requested(attempt)
            if repository.is_superseded(attempt):
                child.kill()
                child.wait()
                return False
        action = "pause" if pausing else requested
        if action and run.status().state.alive and not run.requested():
            run.request(action)
        if repository:
            repository.upload_if_due()
        time.sleep(_POLL_SECONDS)
    return True


def _upload_last(repository: Repository) -> bool:
    end, wait = time.monotonic() + LAST_SECONDS, 1.0
    while not repository.upload_if_due(last=True):
        if time.monotonic() > end:
            return False
        time.sleep(wait)
        wait = min(wait * 2, 60.0)
    return True


if __name__ == "__main__":
    main()
