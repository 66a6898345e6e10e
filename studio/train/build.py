"""The trainer of a run: TRL's `SFTTrainer` on rows that we have tokenized, with a new adapter in the base."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.config import RunConfig
from studio.errors import RunError
from studio.i18n import message
from studio.model import adapter, processes
from studio.model.adapter import ModelHost
from studio.model.hardware import device
from studio.runs import RunWriter
from studio.train.best_adapter import BestAdapter
from studio.train.plan import Plan


def build_trainer(
    run: RunWriter,
    config: RunConfig,
    plan: Plan,
    host: ModelHost,
    train: Any,
    validation: Any | None,
    between: Callable[[], None],
    best: BestAdapter,
    *,
    resumed: bool,
) -> Any:
    """Put a new adapter into the base on `host` and return the `StudioTrainer` that will train it.

    `train` and `validation` have the columns `input_ids` and `labels`; `between` is called whenever a forward pass is
    done, and may raise to end the training.
    """
    from transformers import PrinterCallback, set_seed
    from trl import SFTConfig

    from studio.train.callbacks import RunCallback
    from studio.train.trainer import StudioTrainer

    assert host.loaded is not None
    settings, loaded = plan.settings, host.loaded
    rows = settings.batch_size * settings.gradient_accumulation
    lora = adapter.lora_config(config.lora, loaded.model)
    set_seed(settings.seed)
    wrapped = adapter.put_into(loaded.model, lora, adapter_name=adapter.TUNED)
    host.put_adapter(wrapped, run.id)
    arguments = SFTConfig(
        output_dir=str(run.path / "checkpoints"),
        save_strategy=settings.save,
        save_steps=settings.save_steps,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_steps or settings.warmup_ratio,  # below 1 it is a share of all steps
        per_device_train_batch_size=rows // processes.count(),  # all at once: `LeanTrainer` cuts them up
        per_device_eval_batch_size=plan.evaluated_at_once,
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=False,
        optim=settings.optimizer,
        neftune_noise_alpha=settings.neftune_alpha,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        activation_checkpointing=settings.gradient_checkpointing == "on",
        logging_steps=settings.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # else a loss that is not a number is logged as 0
        eval_strategy="steps" if validation is not None else "no",
        eval_steps=settings.eval_steps,
        seed=settings.seed,
        use_cpu=device() == "cpu",
        bf16=loaded.precision.value == "bfloat16",
        fp16=loaded.precision.value == "float16",
        dataloader_num_workers=0,  # this is a thread of a server: no forks
        dataloader_pin_memory=device() == "cuda",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = 1  # one card, or layers spread over all: never a copy of the model on each
    steps = RunCallback(run, between, best, resumed)
    steps.gather = host.gather
    trainer = StudioTrainer(
        run,
        settings.keep_checkpoints,
        settings.length_grouping,
        steps,
        most_tokens=plan.most_tokens,
        most_rows=settings.batch_size if processes.count() > 1 else None,
        model=wrapped,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=loaded.tokenizer,
    )
    if loaded.precision.value == "float16" and device() == "cpu":
        _scale_gradients_on_processor(trainer.accelerator)
    trainer.remove_callback(PrinterCallback)
    for tracker in settings.trackers if processes.is_first() else ():
        trainer.add_callback(_tracker(tracker, run.path))
    _float32_adapter(wrapped)
    _record_step_choices(run, trainer, loaded.attention.value)
    return trainer


def _scale_gradients_on_processor(accelerator: Any) -> None:
    """Let float16 compute on a processor as on a card; accelerate casts and scales on accelerators only.

    Without its scale, gradients below 6e-8 would become zero, and one that overflows would end the run.
    """
    import torch

    accelerator.native_amp = True
    accelerator.scaler = torch.amp.GradScaler("cpu")


def _record_step_choices(run: RunWriter, trainer: Any, attention: str) -> None:
    """Record what the model's steps leave out."""
    noise = trainer.neftune_noise_alpha is not None
    reason = "packed" if trainer.packed else "padded_noise" if noise else "padded"
    rows = "packed" if trainer.packed else "padded"
    run.record_choice("rows", rows, message(f"choice.rows.{reason}", attention=attention))
    if trainer.router_loss_fails:
        run.note(message("log.no_router_loss"), "warning")
    logits = "trained" if trainer.scored else "all"
    run.record_choice("logits", f"{logits} tokens", message(f"choice.logits.{logits}"))


def _tracker(name: str, folder: Path) -> Any:
    """Return transformers' callback for a tracker, which keeps its files in the run's folder; raises RunError."""
    from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback

    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            return TensorBoardCallback(SummaryWriter(log_dir=str(folder / "tensorboard")))
        os.environ.setdefault("WANDB_DIR", str(folder))
        return WandbCallback() if name == "wandb" else TrackioCallback()
    except (ImportError, RuntimeError) as error:
        raise RunError("run.no_tracker", tracker=name) from error


def _float32_adapter(model: Any) -> None:
    """Keep the trained weights in float32.

    TRL casts those of a quantized model to bfloat16, where small updates vanish, and which float16's gradient scaler
    cannot unscale.
    """
    import torch

    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.to(torch.float32)


def record_plan(run: RunWriter, plan: Plan) -> None:
    """Record what the plan has chosen, what it expects, and what will be trained."""
    for choice in plan.choices:
        run.record_choice(choice.name, choice.value, choice.reason)
    run.note(plan.trained)
    for warning in plan.warnings:
        run.note(warning, "warning")
