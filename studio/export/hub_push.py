"""Push an export to the Hugging Face Hub: into a repository of one's own, private by default, in one commit.

Large files are uploaded one by one, then a single commit names them all: an interrupted push leaves the repository
unchanged and resumes. The token goes to the uploading process through standard input only.
"""

import contextlib
import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.errors import ExportError
from studio.export.request import Kind, OnProgress
from studio.i18n import Message, message
from studio.model import hub_models
from studio.model.adapter_files import BASE_RECORD
from studio.model.subprocess_worker import WorkerSilent

log = logging.getLogger(__name__)

PUSHED: tuple[Kind, ...] = ("adapter", "merged", "space")
_CONNECTION_ERRORS = (
    "ConnectError",
    "TimeoutException",
    "NetworkError",
    "RemoteProtocolError",
    "OfflineModeIsEnabled",
)


@dataclass(frozen=True)
class PushTarget:
    """A repository that an export may be pushed to."""

    id: str
    type: Literal["model", "space"]
    private: bool
    token: str = field(repr=False)
    notes: tuple[Message, ...] = ()

    @property
    def page(self) -> str:
        """The URL of its page."""
        return hub_models.page(self.id if self.type == "model" else f"spaces/{self.id}")

    @property
    def push_notes(self) -> list[Message]:
        """Notes for after a push."""
        return [*self.notes, message("export.note.private" if self.private else "export.note.public", page=self.page)]


def resolve_target(kind: Kind, repository: str, *, public: bool = False, token: str | None = None) -> PushTarget:
    """Check that an export can be pushed to a repository; creates nothing. Raises ExportError."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id

    if kind not in PUSHED:
        raise ExportError("export.hub.kind", kind=kind, kinds=", ".join(PUSHED))
    repository = repository.strip()
    try:
        validate_repo_id(repository)
        is_valid = repository.count("/") == 1
    except HFValidationError:
        is_valid = False
    if not is_valid:
        raise ExportError("export.hub.bad_id", id=repository[:120])
    if not hub_models.reachable():
        raise ExportError("export.hub.offline", id=repository)
    token = token or get_token()
    if not token:
        raise ExportError("export.hub.no_token", id=repository)
    api = HfApi(endpoint=hub_models.endpoint(), token=token)
    refusal = functools.partial(_error, repository=repository, started=False)
    me = hub_models.call(api.whoami, refusal)
    role = ((me.get("auth") or {}).get("accessToken") or {}).get("role")
    owners = [me.get("name", ""), *(each.get("name", "") for each in me.get("orgs") or ())]
    if role == "read" or repository.split("/")[0].lower() not in [name.lower() for name in owners]:
        raise ExportError("export.hub.no_right", id=repository, account=me.get("name", "?"))
    repo_type: Literal["model", "space"] = "space" if kind == "space" else "model"

    def repo_info() -> Any:
        with contextlib.suppress(RepositoryNotFoundError):
            return api.repo_info(repository, repo_type=repo_type, timeout=hub_models.ANSWER_SECONDS)

    info = hub_models.call(repo_info, refusal)
    if info is None:
        return PushTarget(repository, repo_type, not public, token)
    names = {file.rfilename for file in info.siblings or ()} - {".gitattributes"}
    if names and BASE_RECORD not in names:
        raise ExportError("export.hub.taken", id=repository)
    if not info.private and not public:
        raise ExportError("export.hub.is_public", id=repository)
    notes = [message("export.note.stays_private", id=repository)] if info.private and public else []
    return PushTarget(repository, repo_type, info.private, token, tuple(notes))


def push(folder: Path, target: PushTarget, on_progress: OnProgress) -> str:
    """Push an export, and return the URL of its page; raises ExportError."""
    request = {
        "folder": str(folder),
        "id": target.id,
        "type": target.type,
        "private": target.private,
        "token": target.token,
        "endpoint": hub_models.endpoint(),
        "message": f"Restyle Studio: {folder.name}",
    }
    report = functools.partial(on_progress, "pushing")
    try:
        result = hub_models.run_program("studio.export.upload", request, lambda answer: report(answer.get("share")))
    except WorkerSilent as error:
        raise ExportError("export.hub.cut", id=target.id) from error
    if "commit" not in result:
        log.warning("the push to %s ended with %s", target.id, result)
        raise _error(result.get("error") or ["no answer"], result.get("status"), target.id, started=True)
    return target.page


def _error(kinds: Sequence[str], status: int | None, repository: str, *, started: bool) -> ExportError:
    """Return the error for an exception of the library, given by the names of its classes."""
    keys = {401: "bad_token", 403: "no_right", 404: "no_right", 409: "taken"}
    if status in keys:
        return ExportError(f"export.hub.{keys[status]}", id=repository, account="–")
    if status is None and any(kind in _CONNECTION_ERRORS for kind in kinds):
        return ExportError("export.hub.cut" if started else "export.hub.offline", id=repository)
    return ExportError("export.hub.failed", id=repository, detail=f"{status} {kinds[0]}" if status else kinds[0])
