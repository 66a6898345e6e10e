"""The answers of columns, and where they are kept, so that a stopped measurement goes on and none is made twice.

Base answers are kept in the cache, once for each base, settings and prompt: runs on one base share them. Those of
adapters are kept with the run.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    return AnswerStore.open(user_cache(FOLDER) if column.is_base else run / FOLDER, depends_on)


@dataclass
class ColumnAnswers:
    """Answers prompts with columns, and takes from the stores what was answered before."""

    run: Run
    columns: Sequence[Column]
    models: LoadedColumns
    renderer: PromptRenderer
    settings: GenerationConfig
    stop: threading.Event
    on_progress: Callable[[int], None]
    """Gets the number of answers done so far."""
    done: int = 0

    def prompts(self, column: Column, rows: Sequence[HeldOutRow]) -> list[AnsweredPrompt]:
        """Return the prompts as a column with its own context sees them."""
        if column.is_plain:
            return [row.question for row in rows]
        turns = [(*column.context, Turn("user", row.prompt)) for row in rows]
        tokenizer = self.models.tokenizer
        ids = [tuple(prompt_ids(self.renderer.question(each), tokenizer)) for each in turns]
        return [AnsweredPrompt(row.prompt, own) for row, own in zip(rows, ids, strict=True)]

    def _store(self, column: Column, adapter: str | None) -> AnswerStore:
        base, dtype = self.models.base_sha256, str(self.models.model.dtype)
        return open_store(self.run.path, column, adapter, base, dtype, self.settings)

    def answer(self, numbers: Sequence[int], rows: Sequence[HeldOutRow]) -> list[list[Answer]]:
        """Return the answers of some columns; a few columns at a time are one batch where they can be mixed.

        Columns with a context of their own are answered alone: a batch is padded to its longest prompt.
        """
        result: dict[int, list[Answer]] = {}
        plain = [number for number in numbers if self.columns[number].is_plain]
        groups = [plain[at : at + MAX_COLUMNS_TOGETHER] for at in range(0, len(plain), MAX_COLUMNS_TOGETHER)]
        groups += [[number] for number in numbers if number not in plain]
        for group in groups:
            stores = {number: self._store(self.columns[number], self.models.hashes[number]) for number in group}
            prompts = {number: self.prompts(self.columns[number], rows) for number in group}
            missing = [number for number in group if any(prompt not in stores[number] for prompt in prompts[number])]
            self._advance(len(rows) * (len(group) - len(missing)))
            if missing:
                models = self.models.only(*(self.models.names[number] for number in missing))
                self._answer(models, [stores[number] for number in missing], [prompts[number] for number in missing])
            result |= {number: [stores[number][prompt] for prompt in prompts[number]] for number in group}
        return [result[number] for number in numbers]

    def answer_with(self, column: Column, rows: Sequence[HeldOutRow]) -> list[Answer]:
        """Return the answers of the base with a context of its own, which is no loaded column."""
        store, prompts = self._store(column, None), self.prompts(column, rows)
        self._answer(self.models.only(BASE_MODEL), [store], [prompts])
        return [store[prompt] for prompt in prompts]

    def _answer(
        self, models: ModelSet, stores: Sequence[AnswerStore], prompts: Sequence[Sequence[AnsweredPrompt]]
    ) -> None:
        before = self.done
        answer_missing(models, stores, prompts, self.settings, self.stop, self._advance)
        self._advance(before + sum(map(len, prompts)) - self.done)

    def _advance(self, count: int) -> None:
        self.done += count
        self.on_progress(self.done)
