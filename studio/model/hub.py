"""The Hugging Face Hub: whether it answers, and a model's files from it."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from studio.errors import ModelError

TIMEOUT = 4.0
"""Seconds until the Hub counts as out of reach. The library's own retries take 47 seconds without a network."""

_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
"""What a model needs. Pickled weights and code are not among it."""


def reachable() -> bool:
    """Say within `TIMEOUT` seconds whether the Hub can be reached; False when the user has set offline mode."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    address = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    answered = threading.Event()

    def knock() -> None:  # in a thread, since looking up a name has no time-out of its own
        try:
            socket.create_connection((host, port), timeout=TIMEOUT).close()
            answered.set()
        except OSError:
            pass

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return answered.is_set()


def local(model_id: str, revision: str | None) -> Path | None:
    """Return the folder of a model that was fetched before, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(model_id, revision=revision, allow_patterns=_FILES, local_files_only=True)
    except (LocalEntryNotFoundError, HfHubHTTPError):
        return None
    except HFValidationError as error:
        raise ModelError("model.bad_id", id=model_id) from error
    return Path(found) if any(Path(found).glob("*.safetensors")) else None


def fetch(model_id: str, revision: str | None, going: Callable[[float], None] = lambda share: None) -> Path:
    """Return the folder of a model, fetched if it is not here yet; raises ModelError."""
    if found := local(model_id, revision):
        return found
    if not reachable():
        raise ModelError("model.offline", id=model_id)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    going(0.0)
    try:
        return Path(snapshot_download(model_id, revision=revision, allow_patterns=_FILES))
    except GatedRepoError as error:
        raise ModelError("model.gated", id=model_id) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelError("model.unknown", id=model_id, revision=revision or "main") from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError("model.fetch_failed", id=model_id, detail=type(error).__name__) from error
