"""Which prompts the film strip asks: those of the settings, else some that the run does not train on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.config import RunConfig
from studio.data.prepare import PreparedData
from studio.errors import PromptError
from studio.generation import held_out
from studio.generation.held_out import GENERAL, HeldOutRow
from studio.i18n import Message, message
from studio.model.hardware import Choice
from studio.runs import Run

PROMPTS = 4
"""Prompts that are chosen by the studio: as one batch they take hardly longer than one."""
MAX_PROMPT_TOKENS = 256
"""Tokens of a prompt that is chosen by the studio, if shorter ones are there."""


@dataclass(frozen=True)
class Pinned:
    """The prompts of a film strip, as the run is asked them."""

    rows: tuple[HeldOutRow, ...]
    choices: tuple[Choice, ...]
    """Where they come from, unless the settings say them."""


def choose(run: Run, config: RunConfig, prepared: PreparedData, tokenizer: Any) -> Pinned:
    """Return the settings' prompts, else up to `PROMPTS` of the held-out list, the validation rows, or ordinary ones.

    None that the studio chooses stands in the training rows. Raises PromptError when none can be asked alone.
    """
    if config.samples.prompts:
        return Pinned(tuple(held_out.from_prompts(run, config.samples.prompts, tokenizer)), ())
    listed = config.evaluation.prompts
    if listed and (rows := _spread(_not_in_training(held_out.from_bundled(run, listed, tokenizer), prepared))):
        return _with_reason(rows, message("choice.samples.held_out", name=listed))
    numbers = _evenly(prepared.validation_numbers, 4 * PROMPTS)  # some may be too long, or stand in the training rows
    if rows := _spread(_not_in_training(held_out.from_numbers(run, numbers, tokenizer), prepared)):
        return _with_reason(rows, message("choice.samples.validation", rows=len(prepared.validation_numbers)))
    if rows := _spread(_not_in_training(held_out.from_bundled(run, GENERAL, tokenizer), prepared)):
        return _with_reason(rows, message("choice.samples.general"))
    raise PromptError("prompt.nothing_to_pin")


def _with_reason(rows: Sequence[HeldOutRow], reason: Message) -> Pinned:
    return Pinned(tuple(rows), (Choice("samples_prompts", str(len(rows)), reason),))


def _spread(rows: Sequence[HeldOutRow]) -> list[HeldOutRow]:
    """Return some rows from all over a list, none of them long if that can be."""
    return _evenly([row for row in rows if len(row.ids) <= MAX_PROMPT_TOKENS] or rows, PROMPTS)


def _evenly(things: Sequence[Any], most: int) -> list[Any]:
    count = min(most, len(things))
    return [things[place * len(things) // count] for place in range(count)]


def _not_in_training(rows: Sequence[HeldOutRow], prepared: PreparedData) -> list[HeldOutRow]:
    """Return the rows whose prompt no training row begins with."""
    prompt_lengths = {row.ids: len(row.ids) for row in rows}
    in_training = set()
    for batch in prepared.train.with_format("arrow").iter(1000):
        for ids in batch["input_ids"].to_pylist():
            in_training |= {begins for begins, length in prompt_lengths.items() if tuple(ids[:length]) == begins}
    return [row for row in rows if row.ids not in in_training]
