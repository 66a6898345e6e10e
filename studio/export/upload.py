"""The uploading process of `studio.export.hub_push`: `python -m studio.export.upload`."""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from studio.model.download import end_with_parent

HEARTBEAT_SECONDS = 5.0
"""Time between two lines while a large file is uploaded."""

_printing = threading.Lock()


def main() -> None:
    """Run one upload."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        commit = _upload(request)
    except Exception as error:  # only class names are printed: the text may hold the token
        chain: list[BaseException] = [error]
        while cause := chain[-1].__cause__ or chain[-1].__context__:
            chain.append(cause)
        responses = (getattr(each, "response", None) for each in chain)
        status = next((response.status_code for response in responses if response is not None), None)
        _emit({"error": [kind.__name__ for each in chain for kind in type(each).__mro__], "status": status})
        os._exit(1)
    _emit({"commit": commit})


def _upload(request: dict[str, Any]) -> str:
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
            _emit(progress)

    threading.Thread(target=beat, daemon=True).start()
    for path, addition in zip(files, additions, strict=True):
        api.preupload_lfs_files(**repo, additions=[addition], free_memory=False)
        sent += path.stat().st_size
        progress["share"] = sent / total
        _emit(progress)
    names = {addition.path_in_repo for addition in additions} | {".gitattributes"}
    deletions = [CommitOperationDelete(name) for name in api.list_repo_files(**repo) if name not in names]
    commit = api.create_commit(**repo, operations=[*additions, *deletions], commit_message=request["message"])
    return str(commit.oid)


def _emit(event: dict[str, Any]) -> None:
    with _printing:
        print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main()
