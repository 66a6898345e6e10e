"""Adapters of the Hub: named `owner/name`, or `owner/name@revision`, fetched as models are, and into the same cache."""

import re
from pathlib import Path

from studio.errors import CompareError, ModelError
from studio.model import hub_models
from studio.model.adapter_files import BASE_RECORD, MAX_WEIGHT_BYTES, SETTINGS, WEIGHTS
from studio.model.hub_models import FileSelection, Listing, ProgressCallback

_HUB_ID = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?")
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_REWORDED = ("offline", "unknown", "bad_id", "disk", "fetch_failed")
"""Errors of fetching that have messages of their own for adapters."""


def is_hub_id(named: str) -> bool:
    """Whether this is an id of the Hub, and no folder of that name is here."""
    return bool(_HUB_ID.fullmatch(named)) and not Path(named).is_dir()


def parse_id(named: str) -> tuple[str, str | None]:
    """Return id and revision; raises CompareError for what is neither."""
    match = _HUB_ID.fullmatch(named.strip())
    if match is None:
        raise CompareError("compare.hub.bad_id", id=named.strip()[:120])
    return match[1], match[2]


def fetch(named: str, on_progress: ProgressCallback = lambda share: None, token: str | None = None) -> Path:
    """Return the folder of an adapter, fetched if needed; `on_progress` may raise. Raises CompareError, ModelError."""
    adapter_id, revision = parse_id(named)
    try:
        return hub_models.fetch(adapter_id, revision, on_progress, token, ADAPTER)
    except ModelError as error:
        reason, values = error.key.removeprefix("model."), error.values
        if reason not in _REWORDED:
            raise
    raise CompareError(f"compare.hub.{reason}", **values)


def local_folder(named: str) -> Path:
    """Return the folder of an adapter that was fetched before; raises CompareError when it was not."""
    adapter_id, revision = parse_id(named)
    folder = hub_models.local(adapter_id, revision, ADAPTER)
    if folder is None:
        raise CompareError("compare.hub.not_here", id=named)
    return folder


def fetched() -> dict[str, Path]:
    """Return the folders of the adapters in the cache, by name: with a branch, tag or commit, except on `main`."""
    folders = {}
    for repository in hub_models.cached_repositories():
        for revision in repository.revisions:
            if _is_whole(revision.snapshot_path):
                suffix = "" if "main" in revision.refs else f"@{min(revision.refs, default=revision.commit_hash)}"
                folders[repository.repo_id + suffix] = revision.snapshot_path
    return dict(sorted(folders.items()))


def _is_whole(folder: Path) -> bool:
    return (folder / SETTINGS).is_file() and (folder / WEIGHTS).is_file()


def _require_usable(listing: Listing) -> None:
    if SETTINGS not in listing.files:
        raise CompareError("compare.hub.no_adapter", id=listing.id)
    if WEIGHTS not in listing.files:
        pickled = [name for name in listing.others if name.endswith(_PICKLED)]
        key = "compare.hub.pickled" if pickled else "compare.hub.no_weights"
        raise CompareError(key, id=listing.id, files=", ".join(pickled[:3]))
    if listing.files[WEIGHTS] > MAX_WEIGHT_BYTES:
        raise CompareError("compare.too_large", name=listing.id, most=hub_models.size(MAX_WEIGHT_BYTES))


_FILES = (SETTINGS, WEIGHTS, BASE_RECORD, "chat_template.jinja", "tokenizer_config.json")
"""The template is for the proof: the comparison says so when the adapter came with another one."""
ADAPTER = FileSelection(_FILES, (), _is_whole, _require_usable)
