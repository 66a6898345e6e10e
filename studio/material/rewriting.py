"""Recipes that ask a model: a passage said plainly, or the question that it answers, becomes the prompt.

The passage stays as it was written and is the completion, so that what is learned is its style (back-translation;
Sennrich et al. 2016, "Improving neural machine translation models with monolingual data").

A pair is kept where its meaning is kept, its style gone, and its length right. Meaning is measured by what a change of
style leaves: numbers, names and the stems of content words. The meter's own measure (whether an answer fits its
question) needs likelihoods, which an endpoint does not give.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from studio.config import BUILTIN_MODEL, GenerationConfig, ModelConfig
from studio.data.language import is_hangul
from studio.data.vocabulary import load
from studio.generation.answer_store import Answer, Stopped
from studio.generation.base_answers import PromptsRequest
from studio.i18n import Message, message
from studio.material.passages import Passage, TokenCounter
from studio.material.recipes import source_of_row, without_particle

NAMES = ("plain", "question")
INSTRUCTIONS: dict[str, dict[str, str]] = load("instructions", __file__)
"""The instructions of the model, by recipe and language; `{text}` is the passage."""
FOLDER = "material"
"""The folder of the cache in which answers are kept."""
_QUESTION_TOKENS = 96
"""Tokens that a question may have."""
Reason = Literal["pair_empty", "pair_cut", "pair_length", "pair_copied", "pair_meaning"]
MAX_COPIED = 0.5
"""Share of three words in a row that a prompt may have in common with its passage."""
MIN_OVERLAP = 0.2
"""Least share of the stems of the shorter text that plain language has in common with its passage."""
MIN_NUMBERS = 0.5
"""Least share of a passage's numbers that plain language keeps."""
LENGTHS = (0.3, 3.0)
"""Least and largest ratio of the characters of plain language to those of its passage."""
MAX_QUESTION = 300
"""Characters that a question may have, also where its passage is shorter."""
_MIN_QUESTION = 6
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_QUOTES = ('""', "''", "“”", "‘’", "「」", "『』", "«»")
_MAX_PREAMBLE = 80


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
        """Yield rows with `prompt` and `completion`; pairs that cannot be trained are counted (see `reject`)."""
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


def clean_answer(text: str) -> str:
    """Return an answer without its thoughts, a line that announces it ("Here is the text:"), and quotes around it."""
    text = _THOUGHT.sub("", text).strip()
    first, _, rest = text.partition("\n")
    if rest.strip() and len(first) <= _MAX_PREAMBLE and first.rstrip().endswith((":", "：")):
        text = rest.strip()
    if len(text) > 2 and text[0] + text[-1] in _QUOTES and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def reject(recipe: str, passage: str, answer: Answer, prompt: str) -> Reason | None:
    """Return why a pair is dropped; None for one to keep. `prompt` is the answer as `clean_answer` returns it."""
    if not answer.ended:
        return "pair_cut"
    if not prompt:
        return "pair_empty"
    if recipe == "question":
        fits_length = _MIN_QUESTION <= len(prompt) <= max(MAX_QUESTION, len(passage))
    else:
        fits_length = LENGTHS[0] <= len(prompt) / len(passage) <= LENGTHS[1]
    if not fits_length:
        return "pair_length"
    if _copied(prompt, passage) > MAX_COPIED:
        return "pair_copied"
    return None if _keeps_meaning(recipe, passage, prompt) else "pair_meaning"


def _keeps_meaning(recipe: str, passage: str, prompt: str) -> bool:
    theirs, own = stems(passage), stems(prompt)
    common = len(theirs & own)
    if recipe == "question":
        return bool(common) or not theirs
    numbers = set(_NUMBER.findall(passage))
    if numbers and len(numbers & set(_NUMBER.findall(prompt))) < MIN_NUMBERS * len(numbers):
        return False
    return common >= MIN_OVERLAP * min(len(theirs), len(own))


def stems(text: str) -> set[str]:
    """Return the beginnings of the content words of a text: two syllables of Korean words, five letters of others."""
    result = set()
    for word in _WORD.findall(text):
        if is_hangul(word[0]):
            if len(stem := without_particle(word)) > 1:
                result.add(stem[:2])
        elif len(word) > 3 or word[0].isupper():
            result.add(word.casefold()[:5])
    return result


def _copied(prompt: str, passage: str) -> float:
    """Return the share of three words in a row of the prompt that are in the passage."""
    texts = ([word.casefold() for word in _WORD.findall(text)] for text in (prompt, passage))
    own, theirs = (set(zip(words, words[1:], words[2:], strict=False)) for words in texts)
    return len(own & theirs) / len(own) if own else float(prompt in passage)
