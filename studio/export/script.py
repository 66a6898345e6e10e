"""Export the run as a Python script for TRL, PEFT and transformers, with its tokenized rows in their order."""

import json
import math
import shutil
from pathlib import Path

from studio.config import TrainConfig
from studio.errors import ExportError
from studio.events import Step
from studio.export import adapter, code_snippets, export_folder
from studio.export.export_context import ExportContext
from studio.files import replace_file
from studio.model.adapter_files import SETTINGS, WEIGHTS
from studio.runs import Run, State
from studio.train import recorded_rows, start_adapter

NAME = "train.py"
STEP, PREFERENCES = "packed_trainer.py", "preference_trainer.py"
"""Copies of the studio's trainers, which import no other module of it; the one of preferences imports the other."""
HUB = "hub_checkpoints.py"
LOSSES = "losses.csv"


def export(context: ExportContext, folder: Path) -> Path:
    """Write the script, its requirements, the rows, their order and the run's losses; return the folder."""
    rows = require_record(context.run)
    return export_folder.write(folder, "script", context.metadata, lambda draft: _fill(draft, context, rows))


def require_record(run: Run) -> Path:
    """Return the folder of a run's stored rows; raises ExportError when there is none."""
    rows = recorded_rows.folder_of(run.path)
    if not all((rows / name).is_file() for name in ("train.parquet", "order.npy")):
        raise ExportError("export.no_record", run=run.id)
    return rows


def _fill(draft: Path, context: ExportContext, rows: Path) -> None:
    shutil.copytree(rows, draft / "data", ignore=shutil.ignore_patterns(".*", "reference-*"))
    if (start := context.run.path / start_adapter.FOLDER).is_dir():
        shutil.copytree(start, draft / start_adapter.FOLDER)
    (draft / "tokenizer").mkdir()
    adapter.save_tokenizer(draft / "tokenizer", context)
    replace_file(draft / NAME, text(context))
    trainers = Path(recorded_rows.__file__).parent
    shutil.copyfile(trainers / STEP, draft / STEP)
    shutil.copyfile(Path(__file__).parent / HUB, draft / HUB)
    if context.config.train.method != "sft":
        code = (trainers / PREFERENCES).read_text(encoding="utf-8")
        replace_file(draft / PREFERENCES, code.replace("from studio.train.packed_trainer", "from packed_trainer"))
    replace_file(draft / "requirements.txt", "\n".join(code_snippets.requirements(context, training=True)) + "\n")
    lines = [f"{step},{loss!r}" for step, loss in losses(context.run).items()]
    replace_file(draft / LOSSES, "step,loss\n" + "\n".join(lines) + "\n")


def losses(run: Run) -> dict[int, float]:
    """Return the losses of a run by step; for a resumed run the latest."""
    return dict(sorted({event.step: event.loss for event in run.events()[0] if isinstance(event, Step)}.items()))


def text(context: ExportContext) -> str:
    """Return the script."""
    resolved, status = context.run.resolved(), context.run.status()
    train = context.config.train.model_copy(update=resolved.get("carried_out", {}))
    adapter_config = json.loads((context.run.adapter / SETTINGS).read_text(encoding="utf-8"))
    kept_step = resolved.get("kept_step") if train.keep != "best" else None  # the script keeps the best by itself
    ended_early = status.state is not State.FINISHED or status.step < status.total
    return code_snippets.render(
        NAME,
        context,
        requirements=code_snippets.requirements(context, training=True),
        train=train,
        save_steps=_save_steps(context, train),
        lora=context.config.lora,
        trained_modules=resolved["trained_modules"],
        trained_layers=adapter_config["layers_to_transform"],
        most_tokens=resolved.get("most_tokens", train.batch_size * context.config.data.max_length),
        changed_steps=[change["step"] for change in resolved.get("changes") or ()],
        preference_arguments=_preference_arguments(context),
        start_weights=f"{start_adapter.FOLDER}/{WEIGHTS}" if context.config.model.adapter else None,
        has_validation=(recorded_rows.folder_of(context.run.path) / "validation.parquet").is_file(),
        last_step=kept_step or (status.step if ended_early else None),
    )


def _save_steps(context: ExportContext, train: TrainConfig) -> int:
    """Return after how many steps the run saved; of one that did so after each epoch, the steps of an epoch."""
    if train.save == "steps":
        return train.save_steps
    total = context.run.status().total
    rows = len(recorded_rows.first_epoch(context.run.path))
    return max(1, min(total or 1, math.ceil(rows / (train.batch_size * train.gradient_accumulation))))


def _preference_arguments(context: ExportContext) -> dict[str, object]:
    if (method := context.config.train.method) == "sft":
        return {}
    from studio.train import preference_trainer

    rows, _ = recorded_rows.read_rows(context.run.path)
    return preference_trainer.own_arguments(method, context.config.preference.beta, rows)
