"""Models of the Hugging Face Hub: whether it is reachable, a model's metadata, and its files.

A token is passed to the one call that needs it. Without one, the library takes `HF_TOKEN` or the login. An error of the
Hub becomes a ModelError that holds names, never a token or the text of an exception.
"""

import contextlib
import errno
import functools
import json
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from studio import locks
from studio.errors import ModelError, StudioError
from studio.files import cache, shared_folder
from studio.model import architecture, weight_files
from studio.model.subprocess_worker import HUB_TOKEN_VARIABLES, SubprocessWorker, WorkerSilent

log = logging.getLogger(__name__)

ProgressCallback = Callable[[float], None]

CONNECT_SECONDS = 4.0
"""Seconds until the Hub counts as out of reach. The library's own retries take 47 seconds without a network."""
ANSWER_SECONDS = 4.8
"""Time limit of a request to the Hub, the check of the connection included; the request itself gets at least 1 s."""

_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "README.md")
"""What a model needs, and its card. Pickled weights and code are not among it."""
_NOT = ("*/*", "consolidated*")
"""What else matches: copies of the weights for other programs, in folders or under another name."""
_SPARE_BYTES = 100 * 10**6
"""Bytes that stay free on the disk."""
WAIT_SECONDS = 0.3
"""Seconds between two checks whether another process has fetched a model."""
_STALE_SECONDS = 3600.0
"""Seconds after which a partial file is abandoned."""


@dataclass(frozen=True)
class Listing:
    """The Hub's metadata of a model at a revision."""

    id: str
    files: dict[str, int]
    """Bytes of each file that would be fetched."""
    missing: int
    """Bytes of those that are not in the cache yet."""
    config: dict[str, Any]
    """The parts of config.json that the Hub tells, and the tokenizer's under `tokenizer_config`."""
    licence: str | None
    parameters: dict[str, int]
    """Number of weights by their type (`BF16`, `U8`); empty if the Hub has not counted."""
    gated: bool
    others: tuple[str, ...] = ()
    """The names of the files that would not be fetched."""


@dataclass(frozen=True)
class FileSelection:
    """Which files of a repository are fetched, and what must hold of them."""

    allow: tuple[str, ...]
    ignore: tuple[str, ...]
    is_whole: Callable[[Path], bool]
    """Whether a folder holds all that there must be."""
    require_usable: Callable[[Listing], None]
    """Raises StudioError for a repository whose files would be refused once they were here."""

    def has(self, name: str) -> bool:
        """Whether a file is among them."""
        return any(fnmatch(name, each) for each in self.allow) and not any(fnmatch(name, each) for each in self.ignore)


def endpoint() -> str:
    """Return the Hub's address."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def page(model_id: str) -> str:
    """Return the address of a model's page."""
    return f"{endpoint()}/{model_id}"


def reachable() -> bool:
    """Return within `CONNECT_SECONDS` whether the Hub is reachable; False in offline mode."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    address = urlsplit(endpoint())
    proxy = getproxies().get(address.scheme)
    if proxy and not proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    connected = threading.Event()

    def connect() -> None:  # in a thread, since a DNS lookup has no timeout of its own
        try:
            socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
            connected.set()
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    return connected.is_set()


def is_whole(folder: Path) -> bool:
    """Whether a folder holds weights in safetensors, and every part that their index names."""
    if not (folder / weight_files.INDEX).is_file():
        return any(folder.glob("*.safetensors"))
    parts = weight_files.index(folder).values()
    return bool(parts) and all((folder / part).is_file() for part in set(parts))


def require_usable(listing: Listing) -> None:
    """Raise ModelError for a repository whose files would be refused once they were here."""
    if "config.json" not in listing.files:
        raise ModelError("model.no_config", id=listing.id)
    architecture.require(listing.config, listing.id)
    if not any(name.endswith(".safetensors") for name in listing.files):
        raise ModelError("model.no_safetensors", id=listing.id)


MODEL = FileSelection(_FILES, _NOT, is_whole, require_usable)


def local(model_id: str, revision: str | None, selection: FileSelection = MODEL) -> Path | None:
    """Return the folder of a model that was fetched before and is whole, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = {"allow_patterns": list(selection.allow), "ignore_patterns": list(selection.ignore)}
        folder = snapshot_download(model_id, revision=revision, local_files_only=True, **patterns)
    except (LocalEntryNotFoundError, HfHubHTTPError):
        return None
    except HFValidationError as error:
        raise ModelError("model.bad_id", id=model_id) from error
    return Path(folder) if selection.is_whole(Path(folder)) else None


def describe(
    model_id: str, revision: str | None = None, token: str | None = None, selection: FileSelection = MODEL
) -> Listing:
    """Return the Hub's metadata of a model, within about five seconds; raises ModelError."""
    from huggingface_hub import HfApi

    began = time.monotonic()
    if not reachable():
        raise ModelError("model.offline", id=model_id)
    timeout = max(1.0, ANSWER_SECONDS - (time.monotonic() - began))
    api = HfApi(endpoint=endpoint())
    settings = {"revision": revision, "files_metadata": True, "timeout": timeout, "token": token}
    refusal = functools.partial(_error, model_id=model_id, revision=revision, token=token)
    info = call(lambda: api.model_info(model_id, **settings), refusal)
    selected = [file for file in info.siblings or () if selection.has(file.rfilename)]
    files = {file.rfilename: file.size or 0 for file in selected}
    blobs = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in selected}
    missing = (name for name, blob in blobs.items() if not (storage(model_id) / "blobs" / str(blob)).exists())
    return Listing(
        id=info.id,
        files=files,
        missing=sum(files[name] for name in missing),
        config=info.config or {},
        licence=licence_of(info.card_data.to_dict() if info.card_data else {}),
        parameters=dict(info.safetensors.parameters) if info.safetensors else {},
        gated=bool(info.gated),
        others=tuple(file.rfilename for file in info.siblings or () if file.rfilename not in files),
    )


def licence_of(card: dict[str, Any]) -> str | None:
    """Return the licence that the head of a model's card names."""
    named = card.get("license")
    if named == "other":
        named = card.get("license_name") or named
    return ", ".join(map(str, named)) if isinstance(named, list) else named and str(named)


def require_access(model_id: str, token: str | None = None) -> None:
    """Raise ModelError unless the files of a gated model may be read with this token, or the login's."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    address = f"{endpoint()}/api/models/{model_id}/auth-check"

    def check() -> None:
        hf_raise_for_status(get_session().get(address, headers=build_hf_headers(token=token), timeout=ANSWER_SECONDS))

    call(check, functools.partial(_error, model_id=model_id, revision=None, token=token))


def fetch(
    model_id: str,
    revision: str | None,
    on_progress: ProgressCallback = lambda share: None,
    token: str | None = None,
    selection: FileSelection = MODEL,
) -> Path:
    """Return the folder of a model, fetched if needed; `on_progress` may raise: partial files go. Raises ModelError."""
    if folder := local(model_id, revision, selection):
        return folder
    on_progress(0.0)
    listing = describe(model_id, revision, token, selection)
    selection.require_usable(listing)
    if listing.gated:
        require_access(model_id, token)
    lock = shared_folder(cache(), "locks") / f"{storage(model_id).name}.lock"
    with locks.acquire(lock, lambda: on_progress(0.0), WAIT_SECONDS):  # two processes fetch it once
        require_disk(listing.missing, storage(model_id))
        with _remove_partial_files(storage(model_id) / "blobs"):
            folder = _download(listing, revision, selection, on_progress, token)
    on_progress(1.0)
    return folder


def require_disk(needed: int, folder: Path) -> None:
    """Raise ModelError unless `needed` bytes fit on the disk where `folder` is, or will be."""
    if needed and needed + _SPARE_BYTES > free_disk(folder):
        raise _disk_full(needed, folder)


def _disk_full(needed: int, folder: Path) -> ModelError:
    key = "model.cache_disk" if folder.is_relative_to(cache()) else "model.disk"  # ours holds the built-in model
    return ModelError(key, need=size(needed + _SPARE_BYTES), free=size(free_disk(folder)), path=str(folder))


def free_disk(folder: Path) -> int:
    """Return the free bytes of the disk where `folder` is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def size(count: int) -> str:
    """Return a number of bytes for people (`1.2 GB`)."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def cache_folder() -> Path:
    """Return the folder in which the library keeps what it has fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().resolve()


def cached_repositories() -> Collection[Any]:
    """Return the library's record of each model or adapter in its cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        return [each for each in scan_cache_dir(cache_folder()).repos if each.repo_type == "model"]
    except (CacheNotFound, OSError):
        return ()


def storage(model_id: str) -> Path:
    """Return the folder of the cache that a model of the Hub lies in, or will."""
    return cache_folder() / f"models--{model_id.replace('/', '--')}"


def _download(
    listing: Listing, revision: str | None, selection: FileSelection, on_progress: ProgressCallback, token: str | None
) -> Path:
    """Download in a process of its own; it ends when `on_progress` raises."""
    request = {
        "repo_id": listing.id,
        "revision": revision,
        "token": token,
        "endpoint": endpoint(),
        "cache_dir": str(cache_folder()),
        "allow_patterns": selection.allow,
        "ignore_patterns": selection.ignore,
    }

    def on_answer(answer: dict[str, Any]) -> None:
        on_progress(1.0 if "path" in answer else min(answer.get("bytes", 0) / max(listing.missing, 1), 1.0))

    try:
        answer = run_program("studio.model.download", request, on_answer)
    except WorkerSilent as error:
        raise ModelError("model.fetch_failed", id=listing.id, detail="time-out") from error
    if "path" in answer:
        return Path(answer["path"])
    log.warning("the download of %s ended with %s", listing.id, answer)
    if answer.get("errno") == errno.ENOSPC:
        raise _disk_full(listing.missing, storage(listing.id))
    if answer.get("errno") in (errno.EACCES, errno.EPERM, errno.EROFS):
        raise ModelError("model.cache_denied", id=listing.id, path=str(cache_folder()))
    raise _error(answer.get("error") or ["no answer"], answer.get("status"), listing.id, revision, token)


@contextlib.contextmanager
def _remove_partial_files(blobs: Path) -> Iterator[None]:
    """Remove partial files: old ones first, and those that a killed download leaves behind."""
    for path in blobs.glob("*.incomplete"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
    before = set(blobs.glob("*.incomplete"))
    try:
        yield
    finally:
        for path in set(blobs.glob("*.incomplete")) - before:
            path.unlink(missing_ok=True)


def run_program(name: str, request: dict[str, Any], on_answer: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run `python -m NAME` (see `download.carry_out`), and return its last answer; `on_answer` may raise to end it."""
    worker = SubprocessWorker([sys.executable, "-m", name], json.dumps(request), secrets=HUB_TOKEN_VARIABLES)
    answer: dict[str, Any] = {}
    with contextlib.closing(worker.lines()) as lines:
        for line in lines:
            if line and line.startswith("{"):
                answer = json.loads(line)
            on_answer(answer)
    return answer


def call(request: Callable[[], Any], refusal: Callable[[Sequence[str], int | None], StudioError]) -> Any:
    """Return the answer of the Hub's library; its error, which may hold the token, becomes `refusal` of its classes."""
    import httpx

    try:
        return request()
    except (httpx.HTTPError, OSError, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        translated = refusal([kind.__name__ for kind in type(error).__mro__], status)
    raise translated


def _error(
    error_names: Sequence[str], status: int | None, model_id: str, revision: str | None, token: str | None
) -> ModelError:
    """Return the error for an exception of the library, given by the names of its classes."""
    from huggingface_hub import get_token

    if "HFValidationError" in error_names:
        return ModelError("model.bad_id", id=model_id)
    if "GatedRepoError" in error_names:
        return ModelError("model.gated", id=model_id, page=page(model_id))
    if "RepositoryNotFoundError" in error_names or "RevisionNotFoundError" in error_names:
        return ModelError("model.unknown", id=model_id, revision=revision or "main")
    if status == 401 and (token or get_token()):  # the library tells it from a 401 for what is not there
        return ModelError("model.bad_token", id=model_id)
    if status in (401, 403):
        return ModelError("model.forbidden", id=model_id, page=page(model_id))
    offline = ("ConnectError", "TimeoutException", "OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectionError")
    if status is None and any(kind in offline for kind in error_names):
        return ModelError("model.offline", id=model_id)
    return ModelError("model.fetch_failed", id=model_id, detail=f"{status or ''} {error_names[0]}".strip())
