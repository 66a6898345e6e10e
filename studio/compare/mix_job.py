"""The job that saves a mix of adapters as one adapter, with what it was mixed of."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import runs
from studio.compare.column_loading import LoadedColumns
from studio.compare.columns import Column, MixRequest
from studio.compare.compare_job import load_during_training
from studio.errors import CompareError
from studio.files import replace_folder, sha256, user_cache
from studio.generation.job_context import JobContext
from studio.model import adapter_mix, uploaded_adapters
from studio.model.adapter_files import WEIGHTS
from studio.model.adapter_mix import prunes
from studio.runs import Run

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
    how = {"combination": mix.combination} | ({"density": mix.density} if prunes(mix.combination) else {})
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
