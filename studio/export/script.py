"""Export the run as a Python script for TRL, PEFT and transformers, with its tokenized rows in their order."""

import json
import shutil
from pathlib import Path
from typing import Any

from studio.errors import ExportError
from studio.events import Step
from studio.export import adapter, code_snippets, export_folder
from studio.export.code_snippets import escape_docstring, literal
from studio.export.export_context import ExportContext
from studio.files import replace_file
from studio.runs import Run, State
from studio.train import recorded_rows

NAME = "train.py"
STEP = "packed_trainer.py"
"""A copy of the studio's trainer, which imports no other module of it."""
LOSSES = "losses.csv"


def export(context: ExportContext, folder: Path) -> Path:
    """Write the script, its requirements, the rows, their order and the run's losses; return the folder.

    Raises ExportError for a run without stored rows, or when the folder holds something else.
    """
    rows = require_record(context.run)
    return export_folder.write(folder, "script", context.metadata, lambda draft: _fill(draft, context, rows))


def require_record(run: Run) -> Path:
    """Return the folder of a run's stored rows; raises ExportError when there is none."""
    rows = recorded_rows.folder_of(run.path)
    if not all((rows / name).is_file() for name in ("train.parquet", "order.npy")):
        raise ExportError("export.no_record", run=run.id)
    return rows


def _fill(draft: Path, context: ExportContext, rows: Path) -> None:
    shutil.copytree(rows, draft / "data", ignore=shutil.ignore_patterns(".*"))
    (draft / "tokenizer").mkdir()
    adapter.save_tokenizer(draft / "tokenizer", context)
    replace_file(draft / NAME, text(context))
    shutil.copyfile(Path(recorded_rows.__file__).parent / STEP, draft / STEP)
    replace_file(draft / "requirements.txt", "\n".join(code_snippets.requirements(context, training=True)) + "\n")
    lines = [f"{step},{loss!r}" for step, loss in losses(context.run).items()]
    replace_file(draft / LOSSES, "step,loss\n" + "\n".join(lines) + "\n")


def losses(run: Run) -> dict[int, float]:
    """Return the losses of a run by step; for a resumed run the latest."""
    return dict(sorted({event.step: event.loss for event in run.events()[0] if isinstance(event, Step)}.items()))


def text(context: ExportContext) -> str:
    """Return the script."""
    parts = (
        _head(context),
        code_snippets.base_from_package(context.base),
        _BATCHES,
        _trainer(context),
        _base(context),
        _adapter(context),
        _arguments(context),
        _main(context),
    )
    return "\n\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _settings(context: ExportContext) -> Any:
    """Return the training settings with the studio's automatic choices."""
    return context.config.train.model_copy(update=context.run.resolved().get("carried_out", {}))


def _has_validation(context: ExportContext) -> bool:
    return (recorded_rows.folder_of(context.run.path) / "validation.parquet").is_file()


def _last_step(context: ExportContext) -> int | None:
    """Return the step at which the run ended early; None if it did not."""
    status = context.run.status()
    return status.step if status.state is not State.FINISHED or status.step < status.total else None


def _head(context: ExportContext) -> str:
    settings = _settings(context)
    most = context.run.resolved().get("most_tokens", settings.batch_size * context.config.data.max_length)
    classes = ["AutoModelForCausalLM", "AutoTokenizer", "set_seed"]
    classes += ["BitsAndBytesConfig"] if context.quantization != "none" else []
    classes += ["GgufConfig"] if context.base.origin == "package" else []
    classes += ["EarlyStoppingCallback"] if context.config.train.early_stopping else []
    classes += ["TrainerCallback"]
    docstring = [
        f'"""Train "{escape_docstring(context.name)}" again, as Restyle Studio did in its run {context.run.id}.',
        "",
        "    pip install -r requirements.txt",
        f"    python {NAME}",
        "",
        "The rows in data/ are token ids with labels, as the run was shown them; data/order.npy has the order of each",
        f"epoch. {STEP} computes a step. On the same machine the losses are those of {LOSSES}, the adapter is in",
        "adapter/ at the end.",
        "",
        code_snippets.wrap(escape_docstring(code_snippets.base_description(context.base))),
    ]
    if changes := context.run.resolved().get("changes"):
        steps = ", ".join(str(change["step"]) for change in changes)
        docstring += [
            "",
            code_snippets.wrap(
                f"The run was resumed with other settings at step {steps}. This script has the last ones from the "
                "start, so its losses need not be those of the run before that."
            ),
        ]
    return "\n".join(
        [
            *docstring[:-1],
            f'{docstring[-1]}"""',
            "",
            "import argparse",
            "import csv",
            "import math",
            *sorted(code_snippets.base_from_package_imports(context.base)),
            "from pathlib import Path",
            "",
            "import numpy",
            "import torch",
            "from datasets import Dataset",
            "from packed_trainer import PackedTrainer",
            "from peft import LoraConfig, get_peft_model",
            "from torch.utils.data import DataLoader, Sampler",
            f"from transformers import {', '.join(sorted(classes))}",
            "from trl import SFTConfig",
            "",
            "HERE = Path(__file__).parent",
            code_snippets.base_constants(context.base),
            f"SEED = {context.config.train.seed}",
            f"BATCH = {settings.batch_size * settings.gradient_accumulation}  # rows of a step",
            f"MOST_TOKENS = {most}  # in a forward pass",
        ]
    )


_BATCHES = '''class RecordedBatches(Sampler):
    """Gives the rows of each step as the run had them."""

    def __init__(self, orders, size):
        self.orders, self.size, self.epoch = orders, size, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return math.ceil(len(self.orders[0]) / self.size)

    def __iter__(self):
        order = self.orders[self.epoch].tolist()
        for start in range(0, len(order), self.size):
            yield order[start : start + self.size]
'''


def _trainer(context: ExportContext) -> str:
    lines = [
        "class Trainer(PackedTrainer):",
        '    """Is fed with the recorded batches."""',
        "",
        "    def get_train_dataloader(self):",
        '        batches = RecordedBatches(numpy.load(HERE / "data" / "order.npy"), BATCH)',
        "        loader = DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)",
        "        return self.accelerator.prepare(loader)",
    ]
    if _has_validation(context):
        lines += [
            "",
            "    def evaluate(self, *args, **settings):",
            "        with torch.random.fork_rng():  # how often it is done changes nothing in the training",
            "            return super().evaluate(*args, **settings)",
        ]
    lines += [
        "",
        "",
        "class Losses(TrainerCallback):",
        '    """Shows each loss beside the one that the run had, and may end the training at a step."""',
        "",
        "    def __init__(self, last):",
        "        self.last = last",
        f'        with open(HERE / "{LOSSES}", encoding="utf-8") as file:',
        '            self.known = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}',
        "",
        "    def on_log(self, args, state, control, logs=None, **settings):",
        '        if logs and "loss" in logs:',
        "            known = self.known.get(state.global_step)",
        """            print(f"step {state.global_step} loss {logs['loss']!r} run {known!r}", flush=True)""",
        "",
        "    def on_step_end(self, args, state, control, **settings):",
        "        if self.last and state.global_step >= self.last:",
        "            control.should_training_stop = True",
    ]
    return "\n".join(lines)


def _base(context: ExportContext) -> str:
    source = "base or base_from_package()" if context.base.origin == "package" else "base or BASE"
    lines = [
        "def load(base):",
        '    """Return the base as the run loaded it."""',
        "    model = AutoModelForCausalLM.from_pretrained(",
        f"        {source},",
        "        revision=None if base else REVISION,",
        f"        dtype=torch.{context.precision},",
        f"        attn_implementation={literal(context.attention)},",
    ]
    if quantized := code_snippets.quantization_config(context):
        lines.append(f"        quantization_config={quantized.replace(chr(10), chr(10) + ' ' * 8)},")
        lines.append('        device_map={"": "cuda" if torch.cuda.is_available() else "cpu"},')
    elif context.choices.get("placement") == "auto":
        lines.append('        device_map="auto",')
    lines.append("    )")
    if quantized:
        lines += code_snippets.KEEP_4BIT_LAYOUT
    lines += ["    model.requires_grad_(False)", "    return model"]
    return "\n".join(lines)


def _adapter(context: ExportContext) -> str:
    lora = context.config.lora
    adapter_config = json.loads((context.run.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    settings = {
        "r": lora.r,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": context.run.resolved()["trained_modules"],
        "layers_to_transform": adapter_config["layers_to_transform"],
        "use_rslora": lora.rslora,
        "use_dora": lora.dora,
        "init_lora_weights": True if lora.init == "default" else lora.init,
        "task_type": "CAUSAL_LM",
    }
    lines = [f"    {name}={literal(value)}," for name, value in settings.items() if value is not None]
    return "\n".join(["LORA = LoraConfig(", *lines, ")"])


def _arguments(context: ExportContext) -> str:
    settings, precision = _settings(context), context.precision
    best = settings.keep == "best"
    values: dict[str, Any] = {
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_steps or settings.warmup_ratio,
        "optim": settings.optimizer,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "neftune_noise_alpha": settings.neftune_alpha,
        "activation_checkpointing": settings.gradient_checkpointing == "on",
        "bf16": precision == "bfloat16",
        "fp16": precision == "float16",
        "logging_steps": settings.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps" if _has_validation(context) else "no",
        "eval_steps": settings.eval_steps if _has_validation(context) else None,
        "save_strategy": "steps" if best else "no",
        "save_steps": settings.eval_steps if best else None,
        "save_total_limit": 1 if best else None,
        "load_best_model_at_end": best or None,
        "metric_for_best_model": "eval_loss" if best or settings.early_stopping else None,
        "greater_is_better": False if best or settings.early_stopping else None,
        "max_length": None,
        "packing": False,
        "report_to": "none",
        "disable_tqdm": True,
    }
    lines = [
        f"    {name}={literal(value)}," for name, value in values.items() if value is not None or name == "max_length"
    ]
    return "\n".join(
        [
            "ARGUMENTS = SFTConfig(",
            '    output_dir=str(HERE / "checkpoints"),',
            "    per_device_train_batch_size=BATCH,",
            f"    per_device_eval_batch_size={settings.batch_size},",
            *lines,
            '    dataset_kwargs={"skip_prepare_dataset": True},  # the rows are token ids already',
            "    use_cpu=not torch.cuda.is_available() and not torch.backends.mps.is_available(),",
            "    seed=SEED,",
            ")",
            "ARGUMENTS._n_gpu = 1  # never a copy of the model on each card",
        ]
    )


def _main(context: ExportContext) -> str:
    patience = context.config.train.early_stopping
    callbacks = f"Losses(chosen.steps), EarlyStoppingCallback({patience})" if patience else "Losses(chosen.steps)"
    last = _last_step(context)
    end = f'default={last}, help="end after so many; the run ended there"' if last else 'help="end after so many"'
    validation = 'rows("validation")' if _has_validation(context) else "None"
    return f"""def rows(name):
    return Dataset.from_parquet(str(HERE / "data" / f"{{name}}.parquet"), cache_dir=ARGUMENTS.output_dir)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", help="the folder of the base, or another id of it")
    parser.add_argument("--steps", type=int, {end})
    parser.add_argument("--out", type=Path, default=HERE, help="the folder for adapter/ and checkpoints/")
    chosen = parser.parse_args()
    ARGUMENTS.output_dir = str(chosen.out / "checkpoints")
    tokenizer = AutoTokenizer.from_pretrained(HERE / "tokenizer")
    model = load(chosen.base)
    set_seed(SEED)
    model = get_peft_model(model, LORA)
    trainer = Trainer(
        MOST_TOKENS,
        model=model,
        args=ARGUMENTS,
        train_dataset=rows("train"),
        eval_dataset={validation},
        processing_class=tokenizer,
        callbacks=[{callbacks}],
    )
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()  # TRL casts those of a quantized model to bfloat16
    trainer.train()
    model.save_pretrained(chosen.out / "adapter")
    tokenizer.save_pretrained(chosen.out / "adapter")


if __name__ == "__main__":
    main()"""
