"""Bring a run from its repository of the Hub into its directory here, so that all that reads runs shows it."""

import contextlib
import filecmp
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.files import replace_file, replace_folder, sha256, user_cache
from studio.remote import record as records
from studio.remote.record import JobRecord
from studio.remote.worker import ATTEMPT
from studio.runs import RunWriter, Status, checkpoints

_OWN = ("run.yaml", "status.json", "events.jsonl", "resolved.json", "checkpoints", ATTEMPT)
"""What is not taken as it is."""


def cache_of(run: RunWriter) -> Path:
    """Return the folder that holds the repository's files, so that none is fetched twice."""
    return user_cache("remote") / run.id


def forget(run: RunWriter) -> None:
    """Remove the copy of the repository's files."""
    shutil.rmtree(cache_of(run), ignore_errors=True)


def fetch(api: Any, run: RunWriter, record: JobRecord, commit: str, call: Callable[[Callable[[], Any]], Any]) -> Path:
    """Fetch a run as it was at a commit, and return its folder; `call` carries out a request until it is answered."""
    prefix, target = f"home/runs/{run.id}/", cache_of(run)
    names = call(lambda: api.list_repo_files(record.repository, revision=commit))
    call(
        lambda: api.snapshot_download(
            record.repository, revision=commit, local_dir=target, allow_patterns=[f"{prefix}*"], max_workers=4
        )
    )
    wanted, folder = {target / name for name in names if name.startswith(prefix)}, target / prefix
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
    return folder


def apply(run: RunWriter, folder: Path, record: JobRecord, keep: int) -> tuple[JobRecord, Status | None]:
    """Bring the fetched `folder` into the run; returns the record, and the newest job's status once it has one."""
    for path in sorted(folder.iterdir()):
        if path.name in _OWN or path.name.startswith("."):
            continue
        target = run.path / path.name
        if path.is_file():
            if not (target.is_file() and filecmp.cmp(path, target, shallow=False)):
                replace_file(target, path.read_bytes())
        elif not _same(path, target):
            replace_folder(target, lambda draft, path=path: shutil.copytree(path, draft, dirs_exist_ok=True))
    _take_checkpoints(run, folder, keep)
    with contextlib.suppress(FileNotFoundError):
        resolved = json.loads((folder / "resolved.json").read_bytes())
        if "config" in resolved:  # its rows have another place there
            resolved["config"] = run.started_config().model_dump(mode="json")
        replace_file(run.path / "resolved.json", json.dumps(resolved, ensure_ascii=False, indent=1))
    content = (folder / "events.jsonl").read_bytes() if (folder / "events.jsonl").is_file() else b""
    added = content[record.offset : content.rfind(b"\n") + 1]
    if added:  # the offset first: a kill between the two loses lines of the curve, and doubles none
        record = record.model_copy(update={"offset": record.offset + len(added)})
        records.save(run.path, record)
        run.append("events.jsonl", added.decode())
    if not (folder / ATTEMPT).is_file() or (folder / ATTEMPT).read_text(encoding="ascii") != str(record.attempt):
        return record, None
    return record, Status.model_validate_json((folder / "status.json").read_bytes())


def differences(api: Any, run: RunWriter, record: JobRecord, commit: str) -> list[str]:
    """Return the repository's files that are not here with the same content; old checkpoints need not be."""
    from huggingface_hub.utils.sha import git_hash

    prefix, differing = f"home/runs/{run.id}/", []
    local = {checkpoint.name for checkpoint in checkpoints.all_of(run.path)}
    tree = api.list_repo_tree(record.repository, recursive=True, revision=commit)
    ours = [file for file in tree if file.path.startswith(prefix) and hasattr(file, "blob_id")]
    newest = max((_checkpoint_of(file.path, prefix) for file in ours), default="")
    for file in ours:
        name = file.path.removeprefix(prefix)
        checkpoint = _checkpoint_of(file.path, prefix)
        if name == "events.jsonl":
            is_here = record.offset == file.size
        elif name.startswith(".") or (name.split("/")[0] in _OWN and not checkpoint):
            is_here = True
        elif checkpoint and checkpoint not in local:
            is_here = checkpoint != newest
        else:
            path = run.path / name
            is_here = path.is_file() and (
                sha256(path) == file.lfs.sha256 if file.lfs else git_hash(path.read_bytes()) == file.blob_id
            )
        if not is_here:
            differing.append(name)
    return differing


def _checkpoint_of(path: str, prefix: str) -> str:
    parts = path.removeprefix(prefix).split("/")
    return parts[1] if parts[0] == "checkpoints" and len(parts) > 2 else ""


def _take_checkpoints(run: RunWriter, folder: Path, keep: int) -> None:
    (run.path / "checkpoints").mkdir(exist_ok=True)
    for checkpoint in checkpoints.all_of(folder):
        target = checkpoints.folder_of(run.path) / checkpoint.name
        if not checkpoints.is_complete(target) and checkpoints.is_complete(checkpoint):
            replace_folder(target, lambda draft, path=checkpoint: shutil.copytree(path, draft, dirs_exist_ok=True))
    checkpoints.prune(run.path, keep)


def _same(folder: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    if not other.is_dir() or names != {path.relative_to(other) for path in other.rglob("*") if path.is_file()}:
        return False
    return all(filecmp.cmp(folder / name, other / name, shallow=False) for name in names)
