"""Recipes that ask a model: a passage said plainly, or the question that it answers, becomes the prompt.

The passage stays as it was written and is the completion, so that what is learned is its style (back-translation;
Sennrich et al. 2016, "Improving neural machine translation models with monolingual data").
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from studio.config import BUILTIN_MODEL, GenerationConfig, ModelConfig
from studio.data.vocabulary import load
from studio.generation.answer_store import Answer, Stopped
from studio.generation.base_answers import PromptsRequest
from studio.i18n import Message, message
from studio.material.pair_filter import clean_answer, reject
from studio.material.passages import Passage, TokenCounter
from studio.material.recipes import source_of_row

NAMES = ("plain", "question")
INSTRUCTIONS: dict[str, dict[str, str]] = load("instructions", __file__)
"""The instructions of the model, by recipe and language; `{text}` is the passage."""
FOLDER = "material"
"""The folder of the cache in which answers are kept."""
_QUESTION_TOKENS = 96
"""Tokens that a question may have."""


@dataclass(frozen=True)
class Task:
    """Passages for which a model writes prompts."""

    prompts: tuple[str, ...] = field(repr=False)
    settings: GenerationConfig
    tokens: TokenCounter


class Writer(Protocol):
    """What answers prompts: a model on this machine, or an endpoint."""

    kind: str
    """One of `provenance.WRITERS`."""
    notes: list[Message]
    """What the reader of the summary should know."""

    def agree(self, tasks: Sequence[Task]) -> None:
        """Agree to all tasks of a making before the first is begun; may raise where somebody has to confirm them."""

    def answer(self, task: Task, on_progress: Callable[[float], None]) -> Sequence[Answer]:
        """Return the answers in order. `on_progress` gets the share done now and then, and may raise to end the work.

        Answers that were made before are not made again. Raises Stopped where somebody else has ended the work.
        """


class BaseModelWriter:
    """Lets the GPU thread answer with a base model; `submit` queues a `PromptsRequest` and returns its job."""

    kind = "base"

    def __init__(self, model: str, submit: Callable[[PromptsRequest], Any]):
        self._model, self._submit = model, submit
        self.notes = [message("material.notes.poor")] if model == BUILTIN_MODEL else []

    def agree(self, tasks: Sequence[Task]) -> None:
        """Agree: a model on this machine costs nothing but time."""

    def answer(self, task: Task, on_progress: Callable[[float], None]) -> Sequence[Answer]:
        """Answer with the model, in batches; raises Stopped, and StudioError where the job fails."""
        job = self._submit(PromptsRequest(ModelConfig(id=self._model), task.prompts, task.settings, FOLDER))
        update = None

        def report() -> None:
            on_progress((update.done + update.partial) / max(1, update.total) if update else 0.0)

        try:
            for update in job.updates(report):  # noqa: B007 (read by `report`)
                report()
        finally:
            job.stop()
        if update is None or update.answers is None:
            raise Stopped
        return update.answers


@dataclass(frozen=True)
class RewritingRecipe:
    """What a model makes of a passage becomes the prompt, and the passage the completion."""

    name: str
    """One of `NAMES`."""
    instruction: str
    writer: Writer
    tokens: TokenCounter
    most_tokens: int
    """Of the longest passage; a plain version may be half as long again."""
    on_progress: Callable[[float], None]

    @property
    def notes(self) -> list[Message]:
        """What the reader of the summary should know."""
        return self.writer.notes

    def task(self, passages: Sequence[Passage]) -> Task:
        """Return the prompts for these passages."""
        prompts = tuple(render(self.instruction, passage.text) for passage in passages)
        answer_tokens = _QUESTION_TOKENS if self.name == "question" else self.most_tokens * 3 // 2
        return Task(prompts, GenerationConfig(max_new_tokens=answer_tokens, temperature=0.0), self.tokens)

    def rows(self, passages: Sequence[Passage], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
        """Yield rows with `prompt` and `completion`; pairs that cannot be trained are counted (see `pair_filter`)."""
        if not passages:
            return
        known: set[str] = set()
        task = self.task(passages)
        for passage, answer in zip(passages, self.writer.answer(task, self.on_progress), strict=True):
            prompt = clean_answer(answer.text)
            reason = reject(self.name, passage.text, answer, prompt)
            if reason is None and prompt in known:
                reason = "pair_repeated"
            if reason:
                left_out[reason] += 1
                continue
            known.add(prompt)
            origin = {**source_of_row(passage, self.name), "writer": self.writer.kind}
            yield {"prompt": prompt, "completion": passage.text, "source": origin}


def render(instruction: str, text: str) -> str:
    """Return an instruction with the passage in place of `{text}`, or below it where it has no such place."""
    if "{text}" in instruction:
        return instruction.replace("{text}", text)
    return f"{instruction}\n\n{text}"
