"""Start a run as a job of the Hub, and follow it: what it writes comes into an ordinary run directory here.

The directory is owned by this process, which only follows. Where it ends, the job goes on; the next start of the app
follows it again. Resuming the run does so too, or starts the next job from the newest checkpoint.
"""

import logging
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from studio import locks, runs
from studio.command import format_value
from studio.config import BUILTIN_MODEL, RunConfig
from studio.errors import DeviceError, RunError, StudioError
from studio.files import home, read_as
from studio.i18n import message
from studio.model import builtin
from studio.remote import bundle, hub_jobs, mirror, turn
from studio.remote import record as records
from studio.remote.hub_jobs import ENDED, HubJobs, HubRefusal
from studio.remote.record import JobRecord
from studio.remote.turn import SUBMISSION_LABEL, Turn
from studio.remote.worker import ATTEMPT_LABEL, CONTROL, RUN_LABEL
from studio.runs import Run, RunWriter, State, Status

log = logging.getLogger(__name__)

DEVICES = ("hf-jobs",)
"""What a run elsewhere uses: no device of this machine, so others may train here meanwhile."""
LOG = "job.log"
"""File in the run's directory: what a job that died had printed."""
POLL_SECONDS = 10.0
_PROGRESS = {"state", "phase", "step", "total", "progress", "started"}
STOP_SECONDS = 300.0
"""How long a job may take to save and end by itself; then it is cancelled."""


def start(jobs: HubJobs, config: RunConfig, quote: JobRecord) -> Run:
    """Create a run and have it carried out by a job, as quoted; raises StudioError, and then nothing was started."""
    from studio.train import start_adapter

    bundle.require_sendable(config)
    config, adapter = start_adapter.resolve(config)
    with locks.acquire(home() / "start.lock"):
        for run in runs.alive_runs(DEVICES):
            if records.load(run) and run.started_config() == config:
                raise RunError("remote.twice", run=run.id)
        run = start_adapter.create_run(config, adapter, DEVICES, {})
        records.save(run.path, quote.model_copy(update={"repository": f"{quote.repository}-{run.id}"}))
    return _follow(jobs, run, {})


def resume(run: Run, settings: Mapping[str, Any], token: str | None = None) -> Run:
    """Follow the run's job again if it goes on; else start the next one, from the newest checkpoint."""
    from studio.train import resume as resuming

    jobs = HubJobs(token)
    _ = jobs.account  # a wrong token, or no network, is said at once
    with locks.acquire(home() / "start.lock"):
        if run.status().state.alive:
            raise DeviceError("device.busy", run=run.id)
        changes = resuming.checked_changes(run, settings)
        writer = RunWriter.take_over(run, DEVICES)
    return _follow(jobs, writer, {path: format_value(value) for path, value in changes.items()})


def follow_again() -> list[Run]:
    """Follow the jobs of all runs whose process is gone, and return them; without a token they stay interrupted."""
    followed: list[Run] = []
    with locks.acquire(home() / "start.lock"):
        left = [run for run in runs.all_runs() if records.load(run) and _is_left(run)]
        if left:
            try:
                jobs = HubJobs()
            except RunError as error:
                log.warning("jobs of the Hub are not followed: %s", error)
                return []
            for run in left:
                try:
                    followed.append(_follow(jobs, RunWriter.take_over(run, DEVICES, keep_request=True), None))
                except StudioError as error:  # another user's run
                    log.warning("the job of %s is not followed: %s", run.id, error)
    return followed


def _is_left(run: Run) -> bool:
    """Whether the process that followed a run is gone, and has not said how it ended."""
    written = read_as(Status, run.path / "status.json")
    return bool(written and written.state.alive and not written.as_now(run.heartbeat_files).state.alive)


def _follow(jobs: HubJobs, run: RunWriter, settings: dict[str, str] | None) -> Run:
    threading.Thread(target=_Follower(jobs, run, settings).work, name="remote", daemon=True).start()
    return run


class _Canceled(Exception):
    """The user does not wait for the Hub any more."""


class _Follower:
    """Carries out one start or resume, in a thread of its own; without `settings` it starts no job."""

    def __init__(self, jobs: HubJobs, run: RunWriter, settings: dict[str, str] | None):
        self._jobs, self._run, self._settings, self._record = jobs, run, settings or {}, records.load(run)
        self._starts = settings is not None
        self._keep = run.config().train.keep_checkpoints
        self._lost = False
        self._commit = ""
        self._remote: Status | None = None  # the run's status in the repository
        self._turn: Turn | None = None  # whose turn it is, as the repository says
        self._settled = ""  # the request whose job trains, once the others are cancelled
        self._sent: tuple[str, float] | None = None  # what was asked of the job, and when

    def work(self) -> None:
        """Follow the run to its end, which its directory tells."""
        try:
            if self._begin():
                self._watch()
        except _Canceled:
            self._run.enter(State.INTERRUPTED, error=RunError("remote.not_canceled", page=self._page()).message)
        except StudioError as error:
            self._run.enter(State.INTERRUPTED, error=error.message)
        except Exception as error:
            log.error("following %s failed\n%s", self._run.id, traceback.format_exc())
            detail = StudioError("unexpected", kind=type(error).__name__, detail=str(error)[:300])
            self._run.enter(State.INTERRUPTED, error=detail.message)

    def _begin(self) -> bool:
        """Have a job: the one that goes on, or a new one; returns False where there is nothing left to do."""
        self._run.enter_phase("sending")
        job = None
        if self._record.attempt:
            active = self._call(lambda: self._jobs.active(self._run.id, self._record))
            self._mirror()
            job = next((job for job in active if job.labels.get(SUBMISSION_LABEL) == self._submission), None)
            job = job or next(iter(active), None)
            if job is None and self._remote and self._remote.state is State.FINISHED and not self._settings:
                self._end(None)
                return False
        if job is None and not self._starts:
            if self._record.job is None:  # the process ended before the Hub had answered
                self._close_turn()
                self._run.enter(State.INTERRUPTED, error=RunError("remote.not_begun").message)
            else:
                self._end(self._call(lambda: self._jobs.inspect(self._record)))
            return False
        if job is None:
            if not self._commit:
                self._send_run()
            if action := self._run.requested():
                self._run.enter(State.PAUSED if action == "pause" else State.STOPPED)
                return False
            self._remote = self._turn = None
            self._save(attempt=self._record.attempt + 1, job=None)
            self._call(lambda: turn.open_for(self._jobs.api, self._record.repository, self._record.attempt))
            job = self._jobs.submit(self._run.id, self._record, self._settings, self._call)
        elif self._settings:
            raise RunError("remote.still_there", run=self._run.id)
        self._save(job=job.id)
        self._note_job()
        return True

    @property
    def _submission(self) -> str:
        """The request whose job trains; empty while none does."""
        return self._turn.submission if self._turn and self._turn.attempt == self._record.attempt else ""

    def _note_job(self) -> None:
        self._run.note(message("log.remote.job", page=self._page(), flavor=self._record.flavor))

    def _send_run(self) -> None:
        """Make the private repository, and send what the job needs, in one commit."""
        api, name = self._jobs.api, self._record.repository
        self._call(lambda: api.create_repo(name, private=True, exist_ok=True))
        if not self._call(lambda: api.repo_info(name)).private:
            raise RunError("remote.public", id=name)
        is_builtin = self._run.started_config().model.id == BUILTIN_MODEL and builtin.is_here()
        if is_builtin and (origin := builtin.identity()["origin"]) != builtin.HUB_ID:
            self._run.note(message("log.remote.other_builtin", origin=origin), "warning")
        with tempfile.TemporaryDirectory(prefix="restyle-job-") as draft:
            folder = Path(draft) / "job"
            bundle.write(self._run, folder)
            lines = folder / "home" / "runs" / self._run.id / "events.jsonl"
            self._save(offset=lines.stat().st_size, deleted=False)
            about = {"repo_id": name, "folder_path": folder, "commit_message": "Restyle Studio: a run to carry out"}
            self._call(lambda: api.upload_folder(**about))
            shutil.rmtree(folder, ignore_errors=True)

    def _watch(self) -> None:
        """Follow the job until it has ended, and pass on what is asked of the run."""
        while True:
            job = self._call(lambda: self._jobs.inspect(self._record))
            stage = job.status.stage if job else "DELETED"
            self._mirror()  # after that: the last commit comes before the end
            if self._turns_to_another():
                continue
            if stage in ENDED:
                self._end(job)
                return
            if self._remote and self._remote.state.alive:
                self._run.update(**self._remote.model_dump(include=_PROGRESS))
            elif self._remote:  # the run is over, and its job is about to be
                self._run.update(**self._remote.model_dump(include={"phase", "step", "total"}))
            else:
                waits = stage == "SCHEDULING"
                state, phase = (State.QUEUED, "remote_queue") if waits else (State.PREPARING, "remote_setup")
                if (self._run.status().state, self._run.status().phase) != (state, phase):
                    self._run.update(state=state, phase=phase)
            self._pass_on(stage)
            self._wait(POLL_SECONDS)

    def _turns_to_another(self) -> bool:
        """Once a job has the turn: cancel the attempt's other jobs; returns whether it is another than the followed."""
        if self._submission in ("", turn.CLOSED, self._settled):
            return False
        labels = {RUN_LABEL: self._run.id, ATTEMPT_LABEL: str(self._record.attempt)}
        jobs = self._call(lambda: self._jobs.find(self._record, labels))
        trains = next((job for job in jobs if job.labels.get(SUBMISSION_LABEL) == self._submission), None)
        if trains is None:  # the list does not have it yet
            return False
        self._settled = self._submission
        for job in jobs:
            if job.id != trains.id and job.status.stage not in ENDED:
                self._call(lambda job=job: self._jobs.cancel(self._record, job.id))
                self._run.note(message("log.remote.rival", job=job.id), "warning")
        if trains.id == self._record.job:
            return False
        self._save(job=trains.id)
        self._note_job()
        return True

    def _cancel(self) -> None:
        """Cancel all jobs of the run, also one whose request has not arrived yet."""
        self._call(lambda: turn.close(self._jobs.api, self._record.repository, self._record.attempt))
        active = self._call(lambda: self._jobs.active(self._run.id, self._record))
        for job in {self._record.job, *(job.id for job in active)}:
            self._call(lambda job=job: self._jobs.cancel(self._record, job))

    def _pass_on(self, stage: str) -> None:
        """Pass on what is asked of the run: a job that works saves and ends by itself; else it is cancelled."""
        action = self._run.requested()
        if action is None:
            return
        if action == "cancel" or stage == "SCHEDULING" or (self._sent and time.monotonic() > self._sent[1]):
            self._cancel()
        elif self._sent is None or self._sent[0] != action:
            content = f'{{"action": "{action}", "attempt": {self._record.attempt}}}'.encode()
            upload = {"path_in_repo": CONTROL, "repo_id": self._record.repository, "commit_message": action}
            self._call(lambda: self._jobs.api.upload_file(path_or_fileobj=content, **upload))
            self._sent = action, time.monotonic() + STOP_SECONDS

    def _mirror(self) -> None:
        """Bring what is new in the repository into the run's directory."""
        api, name = self._jobs.api, self._record.repository
        try:
            commit = self._call(lambda: api.repo_info(name)).sha
        except HubRefusal as refusal:
            if refusal.status == 404:  # it was deleted: the run here is what there is
                self._commit, self._turn = "", None
                return
            raise
        if commit == self._commit:
            return
        self._turn = self._call(lambda: turn.read(api, name, commit))
        folder = mirror.fetch(api, self._run, self._record, commit, self._call)
        self._record, self._remote = mirror.apply(self._run, folder, self._record, self._keep)
        self._commit = commit

    def _end(self, job: Any) -> None:
        """Enter the state that the run has now, with the price of the job where it is known."""
        durations = getattr(job, "durations", None)
        if durations and durations.running_secs is not None:
            seconds, price = durations.running_secs, self._record.dollars_per_hour
            cost = "–" if price is None else f"${price * seconds / 3600:.2f}"
            self._run.note(message("log.remote.price", minutes=f"{seconds / 60:.1f}", cost=cost))
        status, action = self._remote, self._run.requested()
        mirror.forget(self._run)
        if status:
            self._run.update(**status.model_dump(include={"phase", "step", "total", "started"}))
        if status and status.state in (State.FINISHED, State.STOPPED, State.FAILED):
            self._leave_repository(is_whole=status.state is not State.FAILED)
            self._run.enter(status.state, error=status.error)
        elif action:
            self._close_turn()
            if action != "pause":
                self._leave_repository(is_whole=False)
            self._run.enter(State.PAUSED if action == "pause" else State.STOPPED)
        elif status and status.state is State.PAUSED and job and job.status.stage == "COMPLETED":
            self._run.note(message("log.remote.time_over", seconds=self._record.seconds), "warning")
            self._run.enter(State.PAUSED)
        else:
            self._close_turn()
            stage, detail = (job.status.stage, job.status.message) if job else ("DELETED", "")
            self._keep_log()
            log_path = str(self._run.path / LOG)
            error = RunError("remote.died", stage=str(stage).split(".")[-1], detail=detail or "–", log=log_path)
            self._run.enter(State.INTERRUPTED, error=error.message)

    def _close_turn(self) -> None:
        """Keep a job whose request arrives late from training unseen, as far as the Hub answers now."""
        try:
            turn.close(self._jobs.api, self._record.repository, self._record.attempt)
        except Exception as error:
            log.warning("the turn was not closed: %s", type(error).__name__)

    def _leave_repository(self, is_whole: bool) -> None:
        """Delete the repository where that was chosen and all of it is here; else say that it stays, and where."""
        name, api = self._record.repository, self._jobs.api
        about = {"id": name, "page": f"{api.endpoint}/{name}/settings"}
        if not self._commit:
            return
        if self._record.delete_repository and is_whole:
            listed = self._call(lambda: mirror.differences(api, self._run, self._record, self._commit))
            if not listed:
                self._call(lambda: api.delete_repo(name, missing_ok=True))
                self._save(deleted=True)
                self._run.note(message("log.remote.deleted", **about))
                return
            names = ", ".join(listed[:3])
            self._run.note(message("log.remote.not_deleted", count=len(listed), names=names, **about), "warning")
        else:
            self._run.note(message("log.remote.kept", **about))

    def _keep_log(self) -> None:
        try:
            (self._run.path / LOG).write_text(self._jobs.log(self._record), encoding="utf-8")
        except Exception as error:
            log.warning("the log of the job was not fetched: %s", type(error).__name__)

    def _save(self, **changes: Any) -> None:
        self._record = self._record.model_copy(update=changes)
        records.save(self._run.path, self._record)

    def _page(self) -> str:
        return f"{self._jobs.api.endpoint}/jobs/{self._record.owner}/{self._record.job or ''}"

    def _call(self, request: Callable[[], Any]) -> Any:
        """Carry out a request until the Hub answers; the first time that it does not, and the end of it, are told."""
        while True:
            try:
                result = hub_jobs.answer(request)
            except ConnectionError:
                self._on_lost()
                continue
            if self._lost:
                self._lost = False
                self._run.note(message("log.remote.back"))
            return result

    def _on_lost(self) -> None:
        if not self._lost:
            self._lost = True
            self._run.note(message("log.remote.lost"), "warning")
        if self._run.requested() == "cancel":
            raise _Canceled
        self._wait(hub_jobs.RETRY_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Wait, or until something new is asked of the run."""
        end, requested = time.monotonic() + seconds, self._run.requested()
        while time.monotonic() < end and self._run.requested() == requested:
            time.sleep(min(0.2, seconds))
        self._run.touch_heartbeat()
