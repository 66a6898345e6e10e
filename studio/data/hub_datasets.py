"""Datasets of the Hugging Face Hub: their parts, and their rows as one Arrow file in the cache.

`datasets` does the reading; it refuses datasets that are scripts (version 4 and later).
"""

import functools
import hashlib
import re
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from studio import safe_yaml
from studio.config import SourceConfig
from studio.errors import ConfigError, DataError
from studio.files import atomic_write, user_cache
from studio.model.hub_models import reachable

_MAX_YAML_CHARACTERS = 10_000_000
"""Characters of the YAML in a README: that of a dataset with hundreds of subsets has a million."""
_ARCHIVED = re.compile(r"(zip|tar|gzip|bz2|lz4|xz|zstd)://")
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


def _cached_paths(source: SourceConfig, limit: int | None) -> list[Path]:
    """Return where a split's rows, and its first `limit` ones, are kept."""
    folder, split = user_cache("hub-data"), source.split or "train"
    parts = [repr((source.name, source.subset, split, source.revision, most)) for most in (None, limit)]
    return [folder / f"{hashlib.sha256(part.encode()).hexdigest()[:24]}.arrow" for part in parts]


def is_cached(source: SourceConfig, limit: int | None = None) -> bool:
    """Whether a split's rows, or its first `limit` ones, are on this machine."""
    return any(path.exists() for path in _cached_paths(source, limit))


def fetch(source: SourceConfig, limit: int | None = None, token: str | None = None) -> Path:
    """Return a split's rows, or its first `limit` ones, as an Arrow file, from the cache or the Hub.

    With a limit, only these rows are requested. `token` is used for this one call and stored nowhere. Raises
    DataError.
    """
    for path in _cached_paths(source, limit):
        if path.exists():
            return path
    _require(source)
    rows = _load(source, token, streaming=limit is not None)
    if limit is not None:
        rows = rows.take(limit)
    import pyarrow

    with atomic_write(path) as draft, open(draft, "wb") as file:
        writer = None
        for batch in rows.with_format("arrow").iter(1000):
            writer = writer or pyarrow.ipc.new_stream(file, batch.schema)
            writer.write_table(batch)
        if writer is None:
            raise DataError("data.empty", name=source.name)
        writer.close()
    return path


def first_rows(source: SourceConfig, count: int, token: str | None = None) -> list[dict[str, Any]]:
    """Return the first rows of a split, streamed, without a download; raises DataError."""
    _require(source)
    rows = _load(source, token, streaming=True)
    if rows.features:  # a picture or a sound is read from the path in its cell, which may be any
        rows = rows.decode(False)
    return [row for _, row in zip(range(count), rows, strict=False)]


def structure(name: str, revision: str | None = None, token: str | None = None) -> dict[str, list[str]]:
    """Return the subsets of a dataset, each with its splits; raises DataError."""
    _require(SourceConfig(kind="hub", name=name))
    import datasets

    access = {"revision": revision, "token": token}
    subsets = _translate_errors(lambda: datasets.get_dataset_config_names(name, **access), name)
    return _translate_errors(lambda: {s: datasets.get_dataset_split_names(name, s, **access) for s in subsets}, name)


def _require(source: SourceConfig) -> None:
    if not _ID.fullmatch(source.name):
        raise DataError("data.bad_id", id=source.name[:100])
    if Path(source.name).exists():  # `datasets` would read that
        raise DataError("data.id_is_here", id=source.name, folder=str(Path(source.name).resolve()))
    if not reachable():
        raise DataError("data.offline", id=source.name)
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    if source.name in _PACKAGED_DATASETS_MODULES:  # the name of a reader, which would read files of this folder
        raise DataError("data.unknown_id", id=source.name)


_repository: ContextVar[str | None] = ContextVar("repository", default=None)
"""The dataset of the current request; only its files may be read."""


@functools.cache
def _guard_files() -> None:
    """Let `datasets` find files of the dataset of the current request, and no others, and load no YAML that unfolds.

    The README of a dataset may name a path of this machine, another address or another dataset.
    """
    from datasets import data_files
    from datasets import load as loading
    from datasets.utils.file_utils import is_relative_path, xjoin
    from huggingface_hub import DatasetCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    class Card(DatasetCard):
        @classmethod
        def load(cls, path: Any, *args: Any, **settings: Any) -> Any:
            if block := REGEX_YAML_BLOCK.search(Path(path).read_text(encoding="utf-8", errors="replace")):
                _load_yaml(block.group(2))
            return super().load(path, *args, **settings)

    loading.DatasetCard = Card
    loading.yaml = SimpleNamespace(safe_load=_load_yaml)

    resolve = data_files.resolve_pattern

    @functools.wraps(resolve)
    def guarded(pattern: str, base_path: str, *args: Any, **settings: Any) -> list[str]:
        name = _repository.get()
        if name is None:
            return resolve(pattern, base_path, *args, **settings)
        _require_inside(name, xjoin(base_path, pattern) if is_relative_path(pattern) else pattern, base_path)
        paths = resolve(pattern, base_path, *args, **settings)
        for path in paths:
            _require_inside(name, path, base_path)
        return paths

    data_files.resolve_pattern = guarded


def _load_yaml(text: str) -> Any:
    """Load the YAML of a repository; raises DataError where it is too large."""
    try:
        return safe_yaml.load(text, _MAX_YAML_CHARACTERS)
    except ConfigError as error:
        raise DataError(
            "data.bad_readme", id=_repository.get() or "–", detail=error.message.values["detail"]
        ) from error


def _require_inside(name: str, path: str, base_path: str) -> None:
    """Raise DataError for a file that is not of a dataset at the commit of the request, nor in an archive of it."""
    *inner, where = path.split("::")
    commit = re.match(rf"hf://datasets/{re.escape(name)}@[0-9a-f]{{40}}(?=/|$)", base_path)
    inside = commit is not None and where.startswith(f"{commit[0]}/") and ".." not in where.split("/")
    if not inside or not all(_ARCHIVED.match(each) for each in inner):
        raise DataError("data.foreign_file", id=name, file=path[:200])


def _load(source: SourceConfig, token: str | None, streaming: bool) -> Any:
    import datasets

    settings = {"split": source.split or "train", "revision": source.revision, "token": token, "streaming": streaming}
    return _translate_errors(lambda: datasets.load_dataset(source.name, source.subset, **settings), source.name)


def _translate_errors(request: Callable[[], Any], name: str) -> Any:
    """Return the result of `request`; errors of `datasets`, which may hold the token, become DataError without them."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    _guard_files()
    token_before = _repository.set(name)
    try:
        return request()
    except (DatasetNotFoundError, ValueError, HfHubHTTPError, OSError, RuntimeError) as error:
        words, is_unknown = str(error), isinstance(error, DatasetNotFoundError)
        if isinstance(error, GatedRepoError) or (is_unknown and "gated" in words.lower()):
            translated = DataError("data.gated", id=name)
        elif is_unknown:
            translated = DataError("data.unknown_id", id=name)
        elif isinstance(error, ValueError):  # an unknown subset or split; the message lists those there are
            translated = DataError("data.hub_part", id=name, detail=words[:200])
        else:
            translated = DataError("data.hub_failed", id=name, detail=type(error).__name__)
    finally:
        _repository.reset(token_before)
    raise translated
