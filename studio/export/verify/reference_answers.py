"""Prompts for verifying an export, held out from the training where possible, and the run's own answers to them."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from studio.compare.column_loading import load_columns
from studio.compare.columns import Column
from studio.config import GenerationConfig
from studio.data import tokens
from studio.data.prepare import run_renderer
from studio.data.tokens import IGNORED
from studio.errors import ExportError, StudioError
from studio.export.export_context import ExportContext
from studio.export.verify.verification import Answer, EvalPrompt, ModelAnswers, RowSource
from studio.generation import generate, held_out, likelihood
from studio.generation.generate import PromptBatchItem
from studio.train import recorded_rows, samples

if TYPE_CHECKING:
    from studio.export.verify.checks import VerificationCase

MAX_PROMPTS = 8
TEMPLATE_TEXTS = ("What is the sea?", "바다는 무엇인가요?", "  List: a, b;\n\nthen {c}. ")


def prompts_with_references(context: ExportContext, max_new_tokens: int) -> tuple[list[EvalPrompt], RowSource]:
    """Return prompts from held-out rows, else from training rows; raises ExportError when the run stored no rows."""
    run, tokenizer, rows = context.run, context.tokenizer, []
    with contextlib.suppress(StudioError):  # the data is gone or changed, or the template needs more than one column
        rows = held_out.from_run(run, tokenizer)
        if not rows and context.config.evaluation.prompts:
            rows = held_out.from_bundled(run, context.config.evaluation.prompts, tokenizer)
    if prompts := fit_context_length(context, [EvalPrompt(row.ids, row.answer) for row in rows], max_new_tokens):
        return prompts, "held_out"
    if prompts := fit_context_length(context, _trained(context), max_new_tokens):
        return prompts, "trained"
    raise ExportError("export.no_questions", run=run.id)


def fit_context_length(context: ExportContext, prompts: Sequence[EvalPrompt], max_new_tokens: int) -> list[EvalPrompt]:
    """Return at most `MAX_PROMPTS` prompts that fit the model's context together with an answer."""
    limit = context.base.settings.get("max_position_embeddings") or 1 << 30
    longest = [len(each.ids) + max(max_new_tokens, len(each.reference)) for each in prompts]
    fitting = [each for each, length in zip(prompts, longest, strict=True) if each.ids and length <= limit]
    return fitting[:MAX_PROMPTS]


def sample_prompts(context: ExportContext) -> list[EvalPrompt]:
    """Return the prompts of the run's sample timeline, else of its settings, else bundled ones; raises PromptError."""
    run, tokenizer = context.run, context.tokenizer
    prompts = samples.read(run).prompts or context.config.samples.prompts
    return encode_prompts(context, prompts) or [
        EvalPrompt(row.ids, texts=(row.prompt,))
        for row in held_out.from_bundled(run, held_out.GENERAL, tokenizer)[: samples.PROMPTS]
    ]


def encode_prompts(context: ExportContext, prompts: Sequence[str]) -> list[EvalPrompt]:
    """Return prompts as the run renders them; raises PromptError where its template needs more than one column."""
    rows = held_out.from_prompts(context.run, prompts, context.tokenizer)
    return [EvalPrompt(row.ids, texts=(row.prompt,)) for row in rows]


def column_prompts(context: ExportContext) -> list[EvalPrompt]:
    """Return prompts with a text for every column of the run's template."""
    renderer, columns = run_renderer(context.run, context.tokenizer), context.prompt.columns
    prompts = []
    for first in range(len(TEMPLATE_TEXTS)):
        texts = tuple(TEMPLATE_TEXTS[(first + place) % len(TEMPLATE_TEXTS)] for place in range(len(columns)))
        row = dict(zip(columns, texts, strict=True)) | {renderer.answer: ""}
        segments = renderer.example((), row).segments[:-1]
        prompts.append(EvalPrompt(tuple(tokens.prompt_ids(segments, context.tokenizer)), texts=texts))
    return prompts


def _trained(context: ExportContext) -> list[EvalPrompt]:
    """Return training rows, each split before its last answer, or in the middle where the whole text is trained."""
    from pyarrow import parquet

    path = recorded_rows.folder_of(context.run.path) / "train.parquet"
    if not path.is_file():
        return []
    rows = next(parquet.ParquetFile(path).iter_batches(MAX_PROMPTS * 4)).to_pylist()
    prompts = []
    for row in rows:
        ids, labels = row["input_ids"], row["labels"]
        last = len(labels) - next((n for n, label in enumerate(reversed(labels)) if label == IGNORED), len(labels))
        split = last if 0 < last < len(ids) else len(ids) // 2
        prompts.append(EvalPrompt(tuple(ids[:split]), tuple(ids[split:])))
    return prompts


def run_answers(
    case: "VerificationCase",
    prompts: Sequence[EvalPrompt],
    columns: Sequence[Column] = (),
    repetition_penalty: float = 1.0,
) -> list[ModelAnswers]:
    """Generate the run's own greedy answers, one result per column (else the adapter alone); release its models."""
    import torch

    context = case.context
    columns = columns or (context.column,)
    settings = GenerationConfig(
        max_new_tokens=case.max_new_tokens, temperature=0.0, repetition_penalty=repetition_penalty
    )
    answers: list[list[Answer]] = [[] for _ in columns]
    nll: list[list[float]] = [[] for _ in columns]
    with torch.no_grad(), load_columns(case.host, context.run, context.config, columns, None) as models:
        models = replace(models, mixes=False)  # in one batch, PEFT rounds differently in 16 bit
        for number, prompt in enumerate(prompts):
            case.on_progress(number / len(prompts) if number else None)
            batch = [PromptBatchItem((prompt.ids,) * len(columns), str(number))]
            sides = generate.answer(models, batch, settings, threading.Event()).answers[0]
            for column, side in zip(answers, sides, strict=True):
                column.append(Answer(side.ids))
            if prompt.reference:
                scores = likelihood.log_probabilities(models, batch, [prompt.reference])[0]
                for column_nll, score in zip(nll, scores, strict=True):
                    column_nll.append(float(-score.sum()))
    case.host.release()
    return [ModelAnswers(tuple(column), tuple(losses)) for column, losses in zip(answers, nll, strict=True)]
