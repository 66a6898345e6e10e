"""Data sets of the Hugging Face Hub: their parts, and their rows as one Arrow file in the cache.

`datasets` does the reading; data sets that are scripts are refused by it (version 4 and later).
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from studio.config import SourceConfig
from studio.errors import DataError
from studio.files import own_cache
from studio.model.hub import reachable

Answer = TypeVar("Answer")

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


def _kept(source: SourceConfig, limit: int | None) -> Path:
    parts = (source.name, source.subset, source.split or "train", source.revision, limit)
    folder = own_cache("hub-data")
    return folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}.arrow"


def is_here(source: SourceConfig, limit: int | None = None) -> bool:
    """Whether a split's rows, or its first `limit` ones, are on this machine."""
    return any(kept.exists() for kept in (_kept(source, None), _kept(source, limit)))


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

    def ask() -> dict[str, list[str]]:
        subsets = datasets.get_dataset_config_names(name, revision=revision, token=token)
        return {s: datasets.get_dataset_split_names(name, s, revision=revision, token=token) for s in subsets}

    return _ask(ask, name)


def _require(source: SourceConfig) -> None:
    if not _ID.fullmatch(source.name):
        raise DataError("data.bad_id", id=source.name[:100])
    if not reachable():
        raise DataError("data.offline", id=source.name)


def _load(source: SourceConfig, token: str | None, streaming: bool) -> Any:
    import datasets

    ask = functools.partial(
        datasets.load_dataset,
        source.name,
        source.subset,
        split=source.split or "train",
        revision=source.revision,
        token=token,
        streaming=streaming,
    )
    return _ask(ask, source.name)


def _ask(question: Callable[[], Answer], name: str) -> Answer:
    """Return what `datasets` answers; what it raises is put into our words.

    The exception itself, which may hold the request and its token, goes no further: not as a cause or a context either.
    """
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        return question()
    except (DatasetNotFoundError, ValueError, HfHubHTTPError, OSError, RuntimeError) as error:
        words = str(error)
        if isinstance(error, GatedRepoError) or (isinstance(error, DatasetNotFoundError) and "gated" in words.lower()):
            told = DataError("data.gated", id=name)
        elif isinstance(error, DatasetNotFoundError):
            told = DataError("data.unknown_id", id=name)
        elif isinstance(error, ValueError):  # an unknown subset or split; the message lists those there are
            told = DataError("data.hub_part", id=name, detail=words[:200])
        else:
            told = DataError("data.hub_failed", id=name, detail=type(error).__name__)
    raise told
