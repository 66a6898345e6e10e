"""Which of a run's jobs may train: decided by a file in the repository, which one commit changes and no second one.

The Hub has no key by which a repeated request for a job counts once, and a request whose answer was lost may still
arrive later. So two jobs may come of one attempt. Each first takes the turn, by a commit that is refused where another
commit came before it (`parent_commit`); a job that does not get the turn ends without training.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

FILE = "turn.json"
SUBMISSION = "RESTYLE_SUBMISSION"
"""Environment variable of a job: the request that started it, as it is in the job's label too."""
SUBMISSION_LABEL = "restyle-submission"
CLOSED = "closed"
"""In place of a submission: no job may take the turn any more."""
_REFUSED = (401, 403, 404)
_PAUSE_SECONDS = 0.5


class Turn(BaseModel):
    """Whose turn it is."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    submission: str = ""
    """The request of the job that trains; empty while any job of the attempt may take the turn."""


def read(api: Any, repository: str, commit: str) -> Turn | None:
    """Return whose turn it was at a commit; None in a repository without turns. Raises what huggingface_hub raises."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    with tempfile.TemporaryDirectory(prefix="restyle-turn-") as folder:  # the cache would keep one of each commit
        try:
            path = api.hf_hub_download(repository, FILE, revision=commit, local_dir=folder)
        except RemoteEntryNotFoundError:
            return None
        return Turn.model_validate_json(Path(path).read_bytes())


def open_for(api: Any, repository: str, attempt: int) -> None:
    """Let the jobs of an attempt take the turn, and those of earlier ones no more."""
    _write(api, repository, Turn(attempt=attempt))


def close(api: Any, repository: str, attempt: int) -> bool:
    """Let no job of an attempt take the turn any more; returns False where one has it already."""
    return take(api, repository, attempt, CLOSED)


def take(api: Any, repository: str, attempt: int, submission: str) -> bool:
    """Take the turn for a job; returns False where it is another's. Raises what huggingface_hub raises."""
    while True:
        commit = api.repo_info(repository).sha
        turn = read(api, repository, commit)
        if turn is None or turn.attempt != attempt or turn.submission not in ("", submission):
            return False
        if turn.submission == submission:  # the answer to its commit was lost
            return True
        try:
            _write(api, repository, Turn(attempt=attempt, submission=submission), commit)
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", 500)
            if status in _REFUSED or status >= 500:
                raise
            time.sleep(_PAUSE_SECONDS)  # another commit came before: look again
        else:
            return True


def _write(api: Any, repository: str, turn: Turn, parent: str | None = None) -> None:
    about = {"repo_id": repository, "commit_message": f"turn of attempt {turn.attempt}", "parent_commit": parent}
    api.upload_file(path_or_fileobj=turn.model_dump_json().encode(), path_in_repo=FILE, **about)


def until_known(request: Callable[[], bool], seconds: float) -> bool:
    """Return the answer of `request`, which is repeated after any failure for so many seconds; then the failure."""
    end, wait = time.monotonic() + seconds, 1.0
    while True:
        try:
            return request()
        except Exception as error:
            if time.monotonic() > end:
                raise
            print(f"the turn is not known yet: {type(error).__name__}", flush=True)
            time.sleep(wait)
            wait = min(wait * 2, 30.0)
