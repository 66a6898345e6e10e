"""The trainer of a run, which one of TRL's trainers does the arithmetic of, with its arguments.

Answers are learned by `SFTTrainer` by way of `PackedTrainer`, preferences by `DPOTrainer` and `KTOTrainer`.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, set_seed
from trl import DPOConfig, KTOConfig, SFTConfig

from studio.config import RunConfig
from studio.errors import RunError
from studio.i18n import message
from studio.model import adapter, processes
from studio.model.adapter import ModelHost
from studio.model.hardware import device
from studio.runs import RunWriter
from studio.train import preference_trainer, start_adapter
from studio.train.best_adapter import BestAdapter
from studio.train.packed_trainer import PackedTrainer
from studio.train.plan import Plan
from studio.train.preference_trainer import PairTrainer, VerdictTrainer
from studio.train.run_trainer import RunCallback, RunTrainer


class StudioTrainer(RunTrainer, PackedTrainer):
    """Learns answers: supervised fine-tuning."""

    def add_pass_context(self, context: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        """Let each forward pass, in training and in an evaluation, take place in one more context."""
        before = self.pass_context

        @contextlib.contextmanager
        def both() -> Iterator[None]:
            with before(), context():
                yield

        self.pass_context = both


class StudioPairTrainer(RunTrainer, PairTrainer):
    """Learns which of two answers is better."""


class StudioVerdictTrainer(RunTrainer, VerdictTrainer):
    """Learns from answers that are good or bad."""


def build_trainer(
    run: RunWriter,
    config: RunConfig,
    plan: Plan,
    host: ModelHost,
    train: Any,
    validation: Any | None,
    on_micro_batch: Callable[[], None],
    best: BestAdapter,
    *,
    resumed: bool,
) -> Any:
    """Put an adapter into the base on `host` and return the `RunTrainer` that will train it."""
    settings, loaded = plan.settings, host.loaded
    rows = settings.batch_size * settings.gradient_accumulation
    lora = adapter.lora_config(config.lora, loaded.model)
    set_seed(settings.seed)
    wrapped = adapter.wrap_model(loaded.model, lora, adapter_name=adapter.TUNED)
    if config.model.adapter is not None:
        start_adapter.load_weights(run, wrapped)
    host.peft, host.adapter = wrapped, run.id
    if settings.method == "sft":
        own: dict[str, Any] = {"dataset_kwargs": {"skip_prepare_dataset": True}, "packing": False}
    else:
        own = preference_trainer.own_arguments(settings.method, config.preference.beta, train)
    configs: dict[str, Any] = {"sft": SFTConfig, "dpo": DPOConfig, "kto": KTOConfig}
    arguments = configs[settings.method](
        **own,
        output_dir=str(run.path / "checkpoints"),
        save_strategy=settings.save,
        save_steps=settings.save_steps,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_steps or settings.warmup_ratio,  # below 1 it is a share of all steps
        per_device_train_batch_size=rows // processes.world_size(),  # all at once: `PackedTrainer` cuts them up
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
        max_length=None,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = 1  # one card, or layers spread over all: never a copy of the model on each
    if device() == "cuda" and processes.world_size() == 1:
        # where the model begins: transformers and accelerate would move it to the first card, or refuse a quantized one
        torch.cuda.set_device(loaded.model.device)
        arguments.distributed_state.device = vars(arguments)["_setup_devices"] = loaded.model.device
    trainers: dict[str, Any] = {"sft": StudioTrainer, "dpo": StudioPairTrainer, "kto": StudioVerdictTrainer}
    if settings.method == "sft":
        shared = {"most_rows": settings.batch_size if processes.world_size() > 1 else None}
    else:
        shared = {}
        if config.lora.dropout:
            run.record_choice("dropout", "0", message("choice.dropout.preference"))
    trainer = trainers[settings.method](
        run,
        settings,
        on_micro_batch,
        most_tokens=plan.most_tokens,
        **shared,
        model=wrapped,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=loaded.tokenizer,
    )
    if loaded.precision.value == "float16" and device() == "cpu":
        _scale_gradients_on_processor(trainer.accelerator)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(RunCallback(trainer, run, best, host.gather, resumed))
    for tracker in settings.trackers if processes.is_main_process() else ():
        trainer.add_callback(_tracker(tracker, run.path))
    for weights in wrapped.parameters():  # TRL casts those of a quantized model to bfloat16, where small updates vanish
        if weights.requires_grad:
            weights.data = weights.data.to(torch.float32)  # float16's gradient scaler can unscale no others
    if settings.method == "sft":
        _record_arithmetic(run, trainer, loaded.attention.value)
    return trainer


def _record_arithmetic(run: RunWriter, trainer: StudioTrainer, attention: str) -> None:
    """Record how the steps of a trainer are computed."""
    rows_are = "packed" if trainer.packed else "padded"
    reason = "padded_noise" if not trainer.packed and trainer.neftune_noise_alpha is not None else rows_are
    run.record_choice("rows", rows_are, message(f"choice.rows.{reason}", attention=attention))
    if trainer.router_loss_fails:
        run.note(message("log.no_router_loss"), "warning")
    logits = "trained" if trainer.scored else "all"
    run.record_choice("logits", f"{logits} tokens", message(f"choice.logits.{logits}"))


def _scale_gradients_on_processor(accelerator: Any) -> None:
    """Let float16 compute on a processor as on a card; accelerate casts and scales on accelerators only."""
    accelerator.native_amp = True
    accelerator.scaler = torch.amp.GradScaler("cpu")


def _tracker(name: str, folder: Path) -> Any:
    """Return transformers' callback for a tracker, which keeps its files in the run's folder; raises RunError."""
    from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback

    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            return TensorBoardCallback(SummaryWriter(log_dir=str(folder / "tensorboard")))
        os.environ["WANDB_DIR"] = str(folder)
        return WandbCallback() if name == "wandb" else TrackioCallback()
    except (ImportError, RuntimeError) as error:
        raise RunError("run.no_tracker", tracker=name) from error
