"""The jobs of comparing: answer prompts with all columns, score a given answer, or save a mix of adapters."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio import runs
from studio.compare import comparison_history
from studio.compare.column_loading import LoadedColumns, load_columns
from studio.compare.columns import NOW, Column, CompareRequest, MixRequest
from studio.compare.comparison import Comparison
from studio.compare.proof import prove
from studio.data import tokens
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer, PromptRenderer
from studio.errors import CompareError, DeviceError, HomeError
from studio.files import replace_folder, sha256, user_cache
from studio.generation import generate, likelihood
from studio.generation.generate import PromptBatchItem, noise_key
from studio.generation.job_context import JobContext
from studio.i18n import message
from studio.model import adapter_mix, uploaded_adapters
from studio.model.adapter import preserve_state
from studio.model.adapter_files import WEIGHTS
from studio.runs import Run

_BATCH_SECONDS = 0.5
"""Seconds between two updates of a batch."""
_README = """---
base_model: {base}
library_name: peft
tags: [lora, merge]
---
# {title}

A LoRA adapter for `{base}`, mixed of these by PEFT's `add_weighted_adapter` ({how}):

| Adapter | Weight | SHA-256 of its weights |
|---|---|---|
{rows}
"""


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
    import torch

    host, training = job.host, job.training
    unchanged = preserve_state(host.peft) if training is not None and host.peft is not None else torch.no_grad()
    with unchanged, load_columns(host, run, run.config(), columns, training) as models:
        yield models


def _batch_item(request: CompareRequest, renderer: PromptRenderer, tokenizer: Any, prompt: str) -> PromptBatchItem:
    prompt_ids = []
    for column in request.columns:
        turns = request.turns(prompt, column)
        if len(turns) > 1 and not isinstance(renderer, ChatRenderer):
            raise CompareError("compare.one_turn")
        prompt_ids.append(tuple(tokens.prompt_ids(renderer.question(turns), tokenizer)))
    return PromptBatchItem(tuple(prompt_ids), noise_key(prompt, request.earlier))


@dataclass(frozen=True)
class SavedMix:
    """A mix that was saved."""

    folder: Path
    column: str
    """How a column names it."""


def save_mix(request: MixRequest, job: JobContext) -> None:
    """Save the mix and show it (`SavedMix`); raises CompareError for what mixes fewer than two, or a full folder."""
    mix = request.column.mix
    if mix is None:
        raise CompareError("compare.mix.not_mix", text=request.column.adapter[:120])
    mix = mix.scaled(request.column.strength)
    if len(mix.taking_part) < 2:
        raise CompareError("compare.mix.one")
    out = request.out and request.out.expanduser().absolute()
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CompareError("compare.mix.not_empty", folder=str(out))
    run = runs.find(request.run_id)
    column = Column(adapter=str(mix))
    with load_during_training(job, run, (column,)) as models:
        record = _record(run, column, models, job.host.loaded.located.identity)
        about = _about(record, column.title())

        def fill(draft: Path) -> None:
            adapter_mix.save(models.model, models.names[0], models.tokenizer, draft, record, about)

        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            replace_folder(out, fill)
            job.show(SavedMix(out, str(out)))
            return
        with tempfile.TemporaryDirectory(dir=user_cache("mixes")) as temporary:
            draft = Path(temporary) / f"mix-{mix.combination}"
            draft.mkdir()
            fill(draft)
            files = [path for path in draft.iterdir() if path.name in uploaded_adapters.STORED_FILES]
            stored = uploaded_adapters.store(files, name=draft.name)
    job.show(SavedMix(stored.folder, stored.column))


def _record(run: Run, column: Column, models: LoadedColumns, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `restyle.json` says of a mix: its base, and what it was mixed of; no path of this machine."""
    mix = column.mix
    assert mix is not None
    parts = []
    for (name, weight), source in zip(mix.taking_part, models.sources[0], strict=True):
        assert source.folder is not None
        parts.append(
            {
                "adapter": Path(name).name if Path(name).is_absolute() else name,
                "run": source.run and source.run.id,
                "weight": weight,
                "weights_sha256": sha256(source.folder / WEIGHTS),
            }
        )
    how = {"combination": mix.combination} | ({"density": mix.density} if adapter_mix.prunes(mix.combination) else {})
    named = str(base["id"])
    return {
        "base": {**base, "id": Path(named).name if Path(named).is_absolute() else named},
        "mix": {**how, "made_in": run.id, "parts": parts},
    }


def _about(record: dict[str, Any], title: str) -> str:
    mix = record["mix"]
    rows = [
        f"| {_cell(part['run'] or part['adapter'])} ({_cell(part['adapter'])}) | {part['weight']:g} "
        f"| {part['weights_sha256'][:16]}… |"
        for part in mix["parts"]
    ]
    how = mix["combination"] + (f", density {mix['density']:g}" if "density" in mix else "")
    return _README.format(base=_cell(record["base"]["id"]), title=_cell(title), how=how, rows="\n".join(rows))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
