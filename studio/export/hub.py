"""An export on the Hugging Face Hub: a repository of one's own, private unless said otherwise, in one commit.

Large files go first and one by one, then everything gets its names in a single commit: a broken upload leaves the
repository as it was, and what has arrived of it is not sent again. (`upload_folder` commits a large folder in parts.)
The token is handed to the process that sends, through its standard input, and is nowhere else.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.errors import ExportError
from studio.export.request import Kind
from studio.i18n import Message, message
from studio.model import hub_models
from studio.model.adapter_files import BASE_RECORD
from studio.model.subprocess_worker import HUB_TOKEN_VARIABLES, SubprocessWorker, WorkerSilent

log = logging.getLogger(__name__)

Going = Callable[[str, float | None], None]

PUSHED: tuple[Kind, ...] = ("adapter", "merged", "space")
"""Kinds that go to the Hub."""
_OWN = frozenset({".gitattributes"})
"""What the Hub itself puts into a new repository."""
_OFFLINE = ("ConnectError", "TimeoutException", "NetworkError", "RemoteProtocolError", "OfflineModeIsEnabled")


@dataclass(frozen=True)
class Target:
    """A repository that may be pushed to."""

    id: str
    type: Literal["model", "space"]
    private: bool
    """Whether it is private, or will be."""
    token: str
    notes: tuple[Message, ...] = ()

    def __repr__(self) -> str:
        """Return what it is, without its token."""
        return f"Target({self.id!r}, {self.type!r}, private={self.private})"

    @property
    def page(self) -> str:
        """The address of its page."""
        return hub_models.page(self.id if self.type == "model" else f"spaces/{self.id}")

    @property
    def arrived(self) -> list[Message]:
        """What is to be known once an export is there."""
        return [*self.notes, message("export.note.private" if self.private else "export.note.public", page=self.page)]


def look(kind: Kind, repository: str, *, public: bool = False, token: str | None = None) -> Target:
    """Return where an export will be pushed to, before it is made; raises ExportError when that cannot be.

    Without a `token` for this one push, it is the environment's or the login's. Nothing is made on the Hub yet.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if kind not in PUSHED:
        raise ExportError("export.hub.kind", kind=kind, kinds=", ".join(PUSHED))
    named = repository.strip()
    with contextlib.suppress(HFValidationError):
        validate_repo_id(named)
        if named.count("/") == 1:
            return _look(HfApi(endpoint=hub_models.endpoint()), named, kind, public, token or get_token())
    raise ExportError("export.hub.bad_id", id=named[:120])


def _look(api: Any, repository: str, kind: Kind, public: bool, token: str | None) -> Target:
    if not hub_models.reachable():
        raise ExportError("export.hub.offline", id=repository)
    if not token:
        raise ExportError("export.hub.no_token", id=repository)
    me = _ask(lambda: api.whoami(token=token), repository)
    owner = repository.split("/")[0]
    role = ((me.get("auth") or {}).get("accessToken") or {}).get("role")
    mine = [me.get("name", ""), *(each.get("name", "") for each in me.get("orgs") or ())]
    if role == "read" or owner.lower() not in [name.lower() for name in mine]:
        raise ExportError("export.hub.no_right", id=repository, account=me.get("name", "?"))
    repository_type: Literal["model", "space"] = "space" if kind == "space" else "model"
    found = _ask(lambda: _info(api, repository, repository_type, token), repository)
    private, notes = not public, []
    if found is not None:
        names = {file.rfilename for file in found.siblings or ()} - _OWN
        if names and BASE_RECORD not in names:
            raise ExportError("export.hub.taken", id=repository)
        if not found.private and private:
            raise ExportError("export.hub.is_public", id=repository)
        if found.private and public:
            notes.append(message("export.note.stays_private", id=repository))
        private = found.private
    return Target(repository, repository_type, private, token, tuple(notes))


def _info(api: Any, repository: str, repository_type: str, token: str) -> Any:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.repo_info(repository, repo_type=repository_type, token=token, timeout=hub_models.ANSWER_SECONDS)
    except RepositoryNotFoundError:
        return None


def _ask(question: Callable[[], Any], repository: str) -> Any:
    """Return the Hub's answer; the library's exception, which holds the request with its token, goes no further."""
    import httpx

    try:
        return question()
    except (httpx.HTTPError, OSError, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        told = _error([kind.__name__ for kind in type(error).__mro__], status, repository, begun=False)
    raise told


def push(folder: Path, target: Target, going: Going) -> str:
    """Send an export, and return the address of its page; raises ExportError.

    It needs no device, so it is no job of the GPU thread. `going` is told the share of bytes that are there, and may
    raise to end it: the same push goes on from there.
    """
    asked = {
        "folder": str(folder),
        "id": target.id,
        "type": target.type,
        "private": target.private,
        "token": target.token,
        "endpoint": hub_models.endpoint(),
        "message": f"Restyle Studio: {folder.name}",
    }
    told: dict[str, Any] = {}
    child = SubprocessWorker(
        [sys.executable, "-m", "studio.export.upload"], json.dumps(asked), secrets=HUB_TOKEN_VARIABLES
    )
    try:
        with contextlib.closing(child.lines()) as lines:
            for line in lines:
                if line and line.startswith("{"):
                    told = json.loads(line)
                going("pushing", told.get("share"))
    except WorkerSilent as error:
        raise ExportError("export.hub.cut", id=target.id) from error
    if "commit" not in told:
        log.warning("the push to %s ended with %s", target.id, told)
        raise _error(told.get("error") or ["no answer"], told.get("status"), target.id, begun=True)
    return target.page


def _error(kinds: Sequence[str], status: int | None, repository: str, *, begun: bool) -> ExportError:
    """Return the error for an exception of the library, given by the names of its classes."""
    if status == 401:
        return ExportError("export.hub.bad_token", id=repository)
    if status in (403, 404):
        return ExportError("export.hub.no_right", id=repository, account="–")
    if status == 409:
        return ExportError("export.hub.taken", id=repository)
    if status is None and any(kind in _OFFLINE for kind in kinds):
        return ExportError("export.hub.cut" if begun else "export.hub.offline", id=repository)
    return ExportError("export.hub.failed", id=repository, detail=f"{status} {kinds[0]}" if status else kinds[0])
