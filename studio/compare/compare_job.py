"""The jobs of comparing: answer prompts with all columns, or score a given answer."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from studio import runs
from studio.compare import comparison_history
from studio.compare.column_loading import LoadedColumns, load_columns
from studio.compare.columns import NOW, Column, CompareRequest
from studio.compare.comparison import Comparison
from studio.compare.proof import prove
from studio.data import tokens
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer, PromptRenderer
from studio.errors import CompareError, DeviceError, HomeError
from studio.generation import generate, likelihood
from studio.generation.generate import PromptBatchItem, noise_key
from studio.generation.job_context import JobContext
from studio.i18n import message
from studio.model.adapter import ModelHost, preserve_state
from studio.runs import Run

_BATCH_SECONDS = 0.5
"""Seconds between two updates of a batch."""


def compare(request: CompareRequest, job: JobContext, *, keep: bool = True, batch: bool = False) -> None:
    """Answer the prompts with all columns, and prove what was compared; shows a `Comparison` after every token.

    With `keep`, a comparison of one prompt is stored in the run's directory, and a `batch` of the user's own prompts
    before and after it is answered. Raises StudioError when a column's model or the prompt cannot be used, and
    DeviceError for a batch while a run is trained.
    """
    run = runs.find(request.run_id)
    training, show = job.training, job.show
    if batch:
        if training is not None:
            raise DeviceError("device.busy", run=training.id)
        show = _at_most_every(_BATCH_SECONDS, show)
    with load_during_training(job, run, request.columns) as models:
        renderer = run_renderer(run, models.tokenizer)
        items = [_batch_item(request, renderer, models.tokenizer, prompt) for prompt in request.prompts]
        step = training.step if training is not None else None
        columns = (  # the adapter in training answers as it is after so many steps
            replace(column, at_step=step if column.kind == "adapter" and column.adapter == NOW else None)
            for column in request.columns
        )
        pending = Comparison(replace(request, columns=tuple(columns)), (), models.notes)
        if keep and batch:
            pending = _saved(run, pending, batch)
        result = generate.answer(
            models, items, request.generation, job.stop, lambda sides: show(replace(pending, answers=sides))
        )
        proof = prove(request, models, items, result.first_logits)
    comparison = replace(pending, answers=result.answers, proof=proof)
    if keep and (batch or (len(request.prompts) == 1 and comparison.has_tokens)):
        comparison = _saved(run, comparison, batch)
    job.show(comparison)


def _saved(run: Run, comparison: Comparison, batch: bool) -> Comparison:
    """Store a comparison; one that cannot be stored is returned with a note that says so, and is shown all the same."""
    try:
        comparison_history.save(run, comparison, batch=batch)
    except (OSError, HomeError) as error:
        note = message("compare.note.not_saved", detail=str(error)[:200])
        return comparison if note in comparison.notes else replace(comparison, notes=(*comparison.notes, note))
    return comparison


def _at_most_every(seconds: float, show: Callable[[Comparison], None]) -> Callable[[Comparison], None]:
    """Return `show` for updates that nobody may be there to take: in a large batch they are many, and large."""
    last = -seconds

    def show_some(comparison: Comparison) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            show(comparison)

    return show_some


def score_answer(request: CompareRequest, answer: Sequence[int], job: JobContext) -> None:
    """Show the likelihood of an answer's tokens under each column (`TokenScores`), given the first prompt."""
    run = runs.find(request.run_id)
    with load_during_training(job, run, request.columns) as models:
        renderer = run_renderer(run, models.tokenizer)
        item = _batch_item(request, renderer, models.tokenizer, request.prompts[0])
        job.show(likelihood.score_answer(models, item, answer))


@contextmanager
def load_during_training(job: JobContext, run: Run, columns: Sequence[Column]) -> Iterator[LoadedColumns]:
    """Load the columns' models as `load_columns`, and leave a model in training as it was."""
    host, training = job.host, job.training
    with unchanged_model(host, training), load_columns(host, run, run.config(), columns, training) as models:
        yield models


def unchanged_model(host: ModelHost, training: Run | None) -> AbstractContextManager[None]:
    """Preserve the state of a model in training, if there is one; no gradients are computed in any case."""
    import torch

    return preserve_state(host.peft) if training is not None and host.peft is not None else torch.no_grad()


def _batch_item(request: CompareRequest, renderer: PromptRenderer, tokenizer: Any, prompt: str) -> PromptBatchItem:
    prompt_ids = []
    for column in request.columns:
        turns = request.turns(prompt, column)
        if len(turns) > 1 and not isinstance(renderer, ChatRenderer):
            raise CompareError("compare.one_turn")
        prompt_ids.append(tuple(tokens.prompt_ids(renderer.question(turns), tokenizer)))
    return PromptBatchItem(tuple(prompt_ids), noise_key(prompt, request.earlier))
