"""The answers of columns, and where they are kept, so that a stopped measurement goes on and none is made twice.

Base answers are kept in the cache, once for each base, settings and prompt: runs on one base share them. Those of
adapters are kept with the run.
"""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from studio.compare.column_loading import LoadedColumns
from studio.compare.columns import Column
from studio.config import GenerationConfig
from studio.data.conversation import Turn
from studio.data.prompt import PromptRenderer
from studio.data.tokens import prompt_ids
from studio.files import user_cache
from studio.generation.answer_store import Answer, AnsweredPrompt, AnswerStore, answer_missing
from studio.generation.generate import BASE_MODEL, ModelSet
from studio.generation.held_out import HeldOutRow
from studio.journal import digest
from studio.runs import Run

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


class ColumnAnswers:
    """Answers prompts with columns, and takes from the stores what was answered before."""

    def __init__(
        self,
        run: Run,
        columns: Sequence[Column],
        models: LoadedColumns,
        renderer: PromptRenderer,
        settings: GenerationConfig,
        stop: threading.Event,
        on_progress: Callable[[int], None],
    ):
        """`on_progress` gets the number of answers done so far."""
        self._run, self._columns, self._models, self._renderer = run, list(columns), models, renderer
        self._settings, self._stop, self._on_progress = settings, stop, on_progress
        self.done = 0

    def prompts(self, column: Column, rows: Sequence[HeldOutRow]) -> list[AnsweredPrompt]:
        """Return the prompts as a column with its own context sees them."""
        if column.is_plain:
            return [AnsweredPrompt(row.prompt, row.ids) for row in rows]
        system = () if column.system is None else (Turn("system", column.system),)
        turns = [(*system, *column.shots, Turn("user", row.prompt)) for row in rows]
        tokenizer = self._models.tokenizer
        ids = [tuple(prompt_ids(self._renderer.question(each), tokenizer)) for each in turns]
        return [AnsweredPrompt(row.prompt, own) for row, own in zip(rows, ids, strict=True)]

    def _store(self, column: Column, adapter: str | None) -> AnswerStore:
        base, dtype = self._models.base_sha256, str(self._models.model.dtype)
        return open_store(self._run.path, column, adapter, base, dtype, self._settings)

    def answer(self, numbers: Sequence[int], rows: Sequence[HeldOutRow]) -> list[list[Answer]]:
        """Return the answers of some columns; a few columns at a time are one batch where they can be mixed.

        Columns with a context of their own are answered alone: a batch is padded to its longest prompt.
        """
        result: dict[int, list[Answer]] = {}
        plain = [number for number in numbers if self._columns[number].is_plain]
        groups = [plain[at : at + MAX_COLUMNS_TOGETHER] for at in range(0, len(plain), MAX_COLUMNS_TOGETHER)]
        groups += [[number] for number in numbers if number not in plain]
        for group in groups:
            stores = [self._store(self._columns[number], self._models.hashes[number]) for number in group]
            prompts = [self.prompts(self._columns[number], rows) for number in group]
            missing = [
                number
                for number, store, own in zip(group, stores, prompts, strict=True)
                if any(prompt not in store for prompt in own)
            ]
            self._advance(len(rows) * (len(group) - len(missing)))
            if missing:
                chosen = [group.index(number) for number in missing]
                before = self.done
                answer_missing(
                    only(self._models, missing),
                    [stores[place] for place in chosen],
                    [prompts[place] for place in chosen],
                    self._settings,
                    self._stop,
                    self._advance,
                )
                self._advance(before + len(rows) * len(missing) - self.done)
            for number, store, own in zip(group, stores, prompts, strict=True):
                result[number] = [store[prompt] for prompt in own]
        return [result[number] for number in numbers]

    def answer_with(self, column: Column, rows: Sequence[HeldOutRow]) -> list[Answer]:
        """Return the answers of the base with a context of its own, which is no loaded column."""
        store, prompts = self._store(column, None), self.prompts(column, rows)
        before = self.done
        answer_missing(base_of(self._models), [store], [prompts], self._settings, self._stop, self._advance)
        self._advance(before + len(rows) - self.done)
        return [store[prompt] for prompt in prompts]

    def _advance(self, count: int) -> None:
        self.done += count
        self._on_progress(self.done)
