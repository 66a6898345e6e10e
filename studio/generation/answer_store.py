"""Answers that are kept as they come, batch by batch: what was stopped goes on, and none is made twice."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.config import GenerationConfig
from studio.generation import generate
from studio.generation.generate import Answers, ModelSet, PromptBatchItem
from studio.journal import Journal, digest


class Stopped(Exception):
    """A stop was requested."""


def check_stop(stop: threading.Event) -> None:
    """Raise Stopped where a stop was requested."""
    if stop.is_set():
        raise Stopped


@dataclass(frozen=True)
class Answer:
    """An answer of a column."""

    text: str
    ended: bool
    """Whether it ended by itself."""


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt as text and as a column sees it."""

    text: str
    ids: tuple[int, ...]

    @property
    def key(self) -> str:
        """The prompt's name in an `AnswerStore`: a hash of its tokens."""
        return digest(json.dumps(self.ids))[:24]


class AnswerStore:
    """The answers of one model with one set of generation settings, by prompt."""

    @classmethod
    def open(cls, folder: Path, depends_on: Any) -> "AnswerStore":
        """Open the store of a folder for answers that depend on some JSON values, which its name is a hash of."""
        return cls(folder / f"answers-{digest(json.dumps(depends_on, sort_keys=True))[:24]}.jsonl")

    def __init__(self, path: Path):
        self._journal = Journal(path)
        self._answers = {
            str(entry["prompt"]): Answer(str(entry["text"]), bool(entry["ended"]))
            for entry in self._journal.entries()
            if {"prompt", "text", "ended"} <= entry.keys()
        }

    def __contains__(self, prompt: AnsweredPrompt) -> bool:
        return prompt.key in self._answers

    def __getitem__(self, prompt: AnsweredPrompt) -> Answer:
        return self._answers[prompt.key]

    def add(self, prompt: AnsweredPrompt, answer: Answer) -> None:
        """Store an answer."""
        if prompt not in self:
            self._journal.append({"prompt": prompt.key, **asdict(answer)})
            self._answers[prompt.key] = answer


def answer_missing(
    models: ModelSet,
    stores: Sequence[AnswerStore],
    prompts: Sequence[Sequence[AnsweredPrompt]],
    settings: GenerationConfig,
    stop: threading.Event,
    on_progress: Callable[[int], None],
    on_partial: Callable[[float], None] | None = None,
) -> None:
    """Answer what the stores lack, batch by batch; `stores` and `prompts` have one item for each column of `models`.

    All columns have the same prompts in the same order, each with its own tokens. `on_progress` gets the number of
    answers that a batch has added. Within a batch `on_partial` gets, after every token, how many answers it is
    worth so far: one for each that has ended, else its share of the longest. Raises Stopped.
    """

    def show(answers: Answers) -> None:
        sides = [side for sides in answers for side in sides]
        on_partial(sum(1.0 if side.end else side.tokens / settings.max_new_tokens for side in sides))

    rows = [row for row in range(len(prompts[0])) if any(p[row] not in s for s, p in zip(stores, prompts, strict=True))]
    lengths = [max(len(column[row].ids) for column in prompts) for row in rows]
    for batch in generate.batches(lengths, settings.max_new_tokens):
        check_stop(stop)
        chosen = [rows[place] for place in batch]
        items = [
            PromptBatchItem(tuple(column[row].ids for column in prompts), generate.noise_key(prompts[0][row].text))
            for row in chosen
        ]
        result = generate.answer(models, items, settings, stop, show if on_partial else None)
        check_stop(stop)
        for row, sides in zip(chosen, result.answers, strict=True):
            for store, column, side in zip(stores, prompts, sides, strict=True):
                store.add(column[row], Answer(side.text, side.end == "turn"))
        on_progress(len(chosen) * len(stores))
