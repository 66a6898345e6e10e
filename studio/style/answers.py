"""Where the answers of a column are kept, so that a stopped measurement goes on and none is made twice.

Base answers are kept in the cache, once for each base, settings and prompt: runs on one base share them. Those of
adapters are kept with the run.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.compare.column_loading import LoadedColumns
from studio.compare.columns import Column
from studio.config import GenerationConfig
from studio.files import user_cache
from studio.generation.answer_store import AnswerStore
from studio.generation.generate import BASE_MODEL, ModelSet
from studio.journal import digest

FOLDER = "style"
"""The folder of the meter's files, in the cache and in a run."""
MAX_COLUMNS_TOGETHER = 4


def open_store(
    run: Path, column: Column, adapter: str | None, base: str, dtype: str, settings: GenerationConfig
) -> AnswerStore:
    """Open the answers of a column; they depend on base, adapter, strength, numbers and generation settings."""
    depends_on: dict[str, Any] = {"base": base, "dtype": dtype, "generation": settings.model_dump(mode="json")}
    if not column.is_base:
        depends_on |= {"adapter": adapter, "strength": column.strength}
    name = digest(json.dumps(depends_on, sort_keys=True))[:24]
    folder = user_cache(FOLDER) if column.is_base else run / FOLDER
    return AnswerStore(folder / f"answers-{name}.jsonl")


def only(models: LoadedColumns, columns: Sequence[int]) -> ModelSet:
    """Return some of the columns of loaded models, to answer by themselves."""
    names = tuple(models.names[column] for column in columns)
    return ModelSet(models.model, models.tokenizer, models.stops, names, models.mixes and set(names) != {BASE_MODEL})


def base_of(models: LoadedColumns) -> ModelSet:
    """Return the untouched base of loaded models."""
    return ModelSet(models.model, models.tokenizer, models.stops, (BASE_MODEL,), False)
