"""The program that sends an export: `python -m studio.export.upload`, spoken to by `studio.export.hub`.

It reads one line of JSON, `{folder, id, type, private, token, endpoint, message}`, and prints lines of JSON:
`{"share": …}` as files arrive, and every few seconds, then `{"commit": …}`, or `{"error": kinds, "status": n}`. It is
a process of its own since it can be ended at any moment; the token comes where no other program can read it.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from studio.model.download import end_with_parent

ALIVE = 5.0
"""Seconds between two words while a large file is sent."""
_KEPT = (".gitattributes",)
"""What is the Hub's own in a repository."""


def main() -> None:
    """Carry out one upload."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        commit = _send(asked)
    except Exception as error:  # the boundary: told by its kinds, since its text may hold anything
        chain = list(_chain(error))
        answers = (getattr(each, "response", None) for each in chain)
        status = next((answer.status_code for answer in answers if answer is not None), None)
        _say({"error": [kind.__name__ for each in chain for kind in type(each).__mro__], "status": status})
        os._exit(1)
    _say({"commit": commit})


def _send(asked: dict[str, Any]) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.repocard import metadata_load
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi(endpoint=asked["endpoint"], token=asked["token"])
    folder, where = Path(asked["folder"]), {"repo_id": asked["id"], "repo_type": asked["type"]}
    sdk = (metadata_load(folder / "README.md") or {})["sdk"] if asked["type"] == "space" else None
    api.create_repo(**where, private=asked["private"], exist_ok=True, space_sdk=sdk)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    added = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    total, sent = sum(path.stat().st_size for path in files) or 1, 0
    told = {"share": 0.0}
    threading.Thread(target=_stay_alive, args=(told,), daemon=True).start()
    for path, addition in zip(files, added, strict=True):
        api.preupload_lfs_files(**where, additions=[addition], free_memory=False)
        sent += path.stat().st_size
        told["share"] = sent / total
        _say(told)
    here = {addition.path_in_repo for addition in added} | set(_KEPT)
    gone = [CommitOperationDelete(name) for name in api.list_repo_files(**where) if name not in here]
    made = api.create_commit(**where, operations=[*added, *gone], commit_message=asked["message"])
    return str(made.oid)


def _stay_alive(told: dict[str, float]) -> None:
    silence = threading.Event()
    while not silence.wait(ALIVE):
        _say(told)


def _chain(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_printing = threading.Lock()


def _say(told: dict[str, Any]) -> None:
    with _printing:
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
