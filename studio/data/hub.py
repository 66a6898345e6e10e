"""Data sets of the Hugging Face Hub: their parts, and their rows as one Arrow file in the cache.

`datasets` does the reading; data sets that are scripts are refused by it (version 4 and later).
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.config import SourceConfig
from studio.errors import DataError
from studio.files import cache
from studio.model.hub import reachable

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


def _kept(source: SourceConfig, limit: int | None) -> Path:
    parts = (source.name, source.subset, source.split or "train", source.revision, limit)
    folder = cache() / "hub-data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}.arrow"


def fetch(source: SourceConfig, limit: int | None = None, token: str | None = None) -> Path:
    """Return a split's rows, or its first `limit` ones, as an Arrow file, fetched if it is not here; raises DataError.

    With a limit, no more than these rows are asked for. `token` is used for this one call and kept nowhere.
    """
    for kept in (_kept(source, None), _kept(source, limit)):
        if kept.exists():
            return kept
    _require(source)
    rows = _load(source, token, streaming=limit is not None)
    if limit is not None:
        rows = rows.take(limit)
    draft = kept.with_suffix(".draft")
    import pyarrow

    table = rows.with_format("arrow")
    with open(draft, "wb") as file:
        writer = None
        for batch in table.iter(1000):
            writer = writer or pyarrow.ipc.new_stream(file, batch.schema)
            writer.write_table(batch)
        if writer is None:
            raise DataError("data.empty", name=source.name)
        writer.close()
    draft.rename(kept)
    return kept


def first_rows(source: SourceConfig, count: int, token: str | None = None) -> list[dict[str, Any]]:
    """Return the first rows of a split, streamed, so that a look costs little; raises DataError."""
    _require(source)
    rows: Iterator[dict[str, Any]] = iter(_load(source, token, streaming=True))
    return [row for _, row in zip(range(count), rows, strict=False)]


def structure(name: str, revision: str | None = None, token: str | None = None) -> dict[str, list[str]]:
    """Return the subsets of a data set, each with its splits; raises DataError."""
    _require(SourceConfig(kind="hub", name=name))
    import datasets

    with _errors(name):
        subsets = datasets.get_dataset_config_names(name, revision=revision, token=token)
        return {s: datasets.get_dataset_split_names(name, s, revision=revision, token=token) for s in subsets}


def _require(source: SourceConfig) -> None:
    if not _ID.fullmatch(source.name):
        raise DataError("data.bad_id", id=source.name[:100])
    if not reachable():
        raise DataError("data.offline", id=source.name)


def _load(source: SourceConfig, token: str | None, streaming: bool) -> Any:
    import datasets

    with _errors(source.name):
        return datasets.load_dataset(
            source.name,
            source.subset,
            split=source.split or "train",
            revision=source.revision,
            token=token,
            streaming=streaming,
        )


class _errors:
    """Puts what `datasets` raises into our words; nothing of a token is in them."""

    def __init__(self, name: str):
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """Raise a DataError for what we know."""
        if error is None:
            return
        from datasets.exceptions import DatasetNotFoundError
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

        text = str(error).lower()
        if isinstance(error, GatedRepoError) or (isinstance(error, DatasetNotFoundError) and "gated" in text):
            raise DataError("data.gated", id=self._name) from error
        if isinstance(error, DatasetNotFoundError):
            raise DataError("data.unknown_id", id=self._name) from error
        if isinstance(error, ValueError):  # an unknown subset or split; the message lists those there are
            raise DataError("data.hub_part", id=self._name, detail=str(error)[:200]) from error
        if isinstance(error, HfHubHTTPError | OSError | RuntimeError):
            raise DataError("data.hub_failed", id=self._name, detail=type(error).__name__) from error
