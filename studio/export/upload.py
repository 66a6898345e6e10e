"""The uploading process of `studio.export.hub_push`: `python -m studio.export.upload`."""

import threading
from pathlib import Path
from typing import Any

from studio.model.download import carry_out, report

HEARTBEAT_SECONDS = 5.0
"""Time between two lines while a large file is uploaded."""


def _upload(request: dict[str, Any]) -> dict[str, str]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.repocard import metadata_load
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi(endpoint=request["endpoint"], token=request["token"])
    folder, repo = Path(request["folder"]), {"repo_id": request["id"], "repo_type": request["type"]}
    sdk = (metadata_load(folder / "README.md") or {})["sdk"] if request["type"] == "space" else None
    api.create_repo(**repo, private=request["private"], exist_ok=True, space_sdk=sdk)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    total, sent = sum(path.stat().st_size for path in files) or 1, 0
    progress = {"share": 0.0}
    timer = threading.Event()

    def beat() -> None:
        while not timer.wait(HEARTBEAT_SECONDS):
            report(progress)

    threading.Thread(target=beat, daemon=True).start()
    for path, addition in zip(files, additions, strict=True):
        api.preupload_lfs_files(**repo, additions=[addition], free_memory=False)
        sent += path.stat().st_size
        progress["share"] = sent / total
        report(progress)
    names = {addition.path_in_repo for addition in additions} | {".gitattributes"}
    deletions = [CommitOperationDelete(name) for name in api.list_repo_files(**repo) if name not in names]
    commit = api.create_commit(**repo, operations=[*additions, *deletions], commit_message=request["message"])
    return {"commit": str(commit.oid)}


if __name__ == "__main__":
    carry_out(_upload, causes=True)
