"""Ask the columns of a run: the job behind every comparison."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from studio import runs
from studio.compare import generate, likelihood
from studio.compare.columns import CompareRequest
from studio.compare.generate import Asked, Sides, noise_key
from studio.compare.likelihood import Weighed
from studio.compare.placing import placed
from studio.compare.proof import Proof, prove, run_renderer
from studio.data import tokens
from studio.data.prompt import ChatRenderer, PromptRenderer
from studio.errors import CompareError
from studio.i18n import Message
from studio.model.adapter import ModelHost, untouched
from studio.runs import Run


@dataclass(frozen=True)
class Comparison:
    """A comparison as it goes on."""

    request: CompareRequest
    answers: Sides
    """For each prompt one side for each column."""
    notes: tuple[Message, ...] = ()
    """What was done otherwise than one would think, and why."""
    proof: Proof | None = None
    """What it rests on; None until all answers are there."""

    def texts(self, prompt: int = 0) -> tuple[str, ...]:
        """Return the columns' answers to a prompt."""
        return tuple(side.text for side in self.answers[prompt])

    def followed(self, prompt: str) -> CompareRequest:
        """Return the request that goes on with this chat."""
        return self.request.followed(self.texts(), prompt)


def ask(
    request: CompareRequest,
    host: ModelHost,
    training: Run | None,
    show: Callable[[Comparison], None],
    stop: threading.Event,
) -> None:
    """Answer the prompts with all columns, and prove what was compared; `show` is called after every token.

    Raises StudioError when a column's model or the prompt cannot be used.
    """
    run = runs.find(request.run_id)
    config = run.config()
    with kept(host, training), placed(host, run, config, request.columns, training) as models:
        made = run_renderer(run, models.tokenizer)
        asked = [_asked(request, made, models.tokenizer, prompt) for prompt in request.prompts]
        shown = Comparison(request, (), models.notes)
        answered = generate.answer(
            models, asked, request.generation, stop, lambda sides: show(replace(shown, answers=sides))
        )
        proof = prove(request, models, asked, answered.first)
    show(replace(shown, answers=answered.sides, proof=proof))


def weigh(
    request: CompareRequest,
    answer: Sequence[int],
    host: ModelHost,
    training: Run | None,
    show: Callable[[tuple[Weighed, ...]], None],
    stop: threading.Event,
) -> None:
    """Show how likely each column finds the tokens of an answer to the first prompt."""
    run = runs.find(request.run_id)
    with kept(host, training), placed(host, run, run.config(), request.columns, training) as models:
        made = run_renderer(run, models.tokenizer)
        asked = _asked(request, made, models.tokenizer, request.prompts[0])
        show(likelihood.weigh(models, asked, answer))


def kept(host: ModelHost, training: Run | None) -> AbstractContextManager[None]:
    """Keep the state of the model that trains, if one does; no gradients are made in any case."""
    import torch

    return untouched(host.peft) if training is not None and host.peft is not None else torch.no_grad()


def _asked(request: CompareRequest, made: PromptRenderer, tokenizer: Any, prompt: str) -> Asked:
    each = []
    for column in request.columns:
        turns = request.turns(prompt, column)
        if len(turns) > 1 and not isinstance(made, ChatRenderer):
            raise CompareError("compare.one_turn")
        each.append(tuple(tokens.prompt_ids(made.question(turns), tokenizer)))
    return Asked(tuple(each), noise_key(prompt, request.earlier))
