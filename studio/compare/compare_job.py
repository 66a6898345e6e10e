"""Ask the columns of a run: the job behind every comparison."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from studio import runs
from studio.compare import comparison_history
from studio.compare.column_loading import load_columns
from studio.compare.columns import CompareRequest
from studio.compare.comparison import Comparison
from studio.compare.proof import prove
from studio.data import tokens
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer, PromptRenderer
from studio.errors import CompareError, HomeError
from studio.generation import generate, likelihood
from studio.generation.generate import PromptBatchItem, noise_key
from studio.generation.likelihood import TokenScores
from studio.i18n import message
from studio.model.adapter import ModelHost, preserve_state
from studio.runs import Run


def compare(
    request: CompareRequest,
    host: ModelHost,
    training: Run | None,
    show: Callable[[Comparison], None],
    stop: threading.Event,
    *,
    keep: bool = True,
) -> None:
    """Answer the prompts with all columns, and prove what was compared; `show` is called after every token.

    A comparison of one prompt is kept in the run's directory, unless it is not to be kept. Raises StudioError when a
    column's model or the prompt cannot be used.
    """
    run = runs.find(request.run_id)
    config = run.config()
    with unchanged_model(host, training), load_columns(host, run, config, request.columns, training) as models:
        made = run_renderer(run, models.tokenizer)
        asked = [_batch_item(request, made, models.tokenizer, prompt) for prompt in request.prompts]
        shown = Comparison(request, (), models.notes)
        answered = generate.answer(
            models, asked, request.generation, stop, lambda sides: show(replace(shown, answers=sides))
        )
        proof = prove(request, models, asked, answered.first)
    made = replace(shown, answers=answered.sides, proof=proof)
    show(_save(run, made) if keep and len(request.prompts) == 1 else made)


def _save(run: Run, made: Comparison) -> Comparison:
    if not any(side.ids for side in made.answers[0]):  # stopped before its first word
        return made
    try:
        comparison_history.save(run, made)
    except (OSError, HomeError) as error:  # a full disk takes nobody's answers away
        return replace(made, notes=(*made.notes, message("compare.note.not_saved", detail=str(error)[:200])))
    return made


def score_answer(
    request: CompareRequest,
    answer: Sequence[int],
    host: ModelHost,
    training: Run | None,
    show: Callable[[tuple[TokenScores, ...]], None],
    stop: threading.Event,
) -> None:
    """Show how likely each column finds the tokens of an answer to the first prompt."""
    run = runs.find(request.run_id)
    with unchanged_model(host, training), load_columns(host, run, run.config(), request.columns, training) as models:
        made = run_renderer(run, models.tokenizer)
        asked = _batch_item(request, made, models.tokenizer, request.prompts[0])
        show(likelihood.score_answer(models, asked, answer))


def unchanged_model(host: ModelHost, training: Run | None) -> AbstractContextManager[None]:
    """Keep the state of the model that trains, if one does; no gradients are made in any case."""
    import torch

    return preserve_state(host.peft) if training is not None and host.peft is not None else torch.no_grad()


def _batch_item(request: CompareRequest, made: PromptRenderer, tokenizer: Any, prompt: str) -> PromptBatchItem:
    each = []
    for column in request.columns:
        turns = request.turns(prompt, column)
        if len(turns) > 1 and not isinstance(made, ChatRenderer):
            raise CompareError("compare.one_turn")
        each.append(tuple(tokens.prompt_ids(made.question(turns), tokenizer)))
    return PromptBatchItem(tuple(each), noise_key(prompt, request.earlier))
