"""The trainer of a run: TRL's `SFTTrainer` by way of `PackedTrainer`, with our checkpoints, on tokenized rows."""

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader
from transformers import PrinterCallback, Trainer, set_seed
from transformers.integrations.neftune import deactivate_neftune
from trl import SFTConfig
from typing_extensions import override

from studio.config import RunConfig, TrainConfig
from studio.errors import RunError
from studio.i18n import message
from studio.model import adapter, processes
from studio.model.adapter import ModelHost
from studio.model.hardware import device, random_state, set_random_state
from studio.runs import RunWriter, checkpoints
from studio.train import recorded_rows, start_adapter
from studio.train.best_adapter import BestAdapter
from studio.train.callbacks import RunCallback
from studio.train.interrupts import EarlyStop, NonFiniteLoss, StopRequested
from studio.train.packed_trainer import IGNORE_INDEX, PackedTrainer
from studio.train.plan import Plan
from studio.train.samples import SampleWriter

MAX_SKIPPED_STEPS = 20
"""Steps in a row that float16's gradient scaler may skip: it halves its scale of 65,536 at each."""
_SEED_STRIDE = 1_000_003  # between the seeds of two steps: a prime, larger than any number of processes


class StudioTrainer(PackedTrainer):
    """Trains adapters under a run's directory.

    Writes each checkpoint whole or not at all; groups rows by length where the settings say so; ends at the first loss
    or gradient that is not a number, and still holds the last weights before it. Of several processes, each trains on
    its share of a step's rows, and the main one writes. `on_micro_batch` is called after every forward pass and may
    raise to end the training.
    """

    def __init__(self, run: RunWriter, settings: TrainConfig, on_micro_batch: Callable[[], None], **arguments: Any):
        self._run, self._settings, self.on_micro_batch = run, settings, on_micro_batch
        self._draft: Path | None = None
        self._good: list[torch.Tensor] = []
        self._good_step = 0
        self._broken = False
        self.skipped = self.overflowed = 0
        """Steps that float16's gradient scaler has left out: since the start or the resume, and in a row up to now."""
        self.after_step: dict[str, Any] = {}
        """The state of the random number generators after the last whole step."""
        self.strip: SampleWriter | None = None
        super().__init__(**arguments)

    def sample(self, *, last: bool = False) -> None:
        """Answer the sample prompts, where that is due after the steps so far; the other processes wait meanwhile."""
        try:
            if self.strip:
                self.strip.take_if_due(self.state.global_step, last=last)
        except StopRequested:
            if processes.world_size() == 1:
                raise
        if processes.world_size() > 1:
            self.on_micro_batch()  # where a stop is requested, all processes end here

    @override
    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; when that ends before the last step, let the trackers close their files and take the noise off."""
        try:
            return super().train(*args, **kwargs)
        except BaseException:
            self.callback_handler.on_train_end(self.args, self.state, self.control)
            if (hook := getattr(self, "neftune_hook_handle", None)) is not None:
                deactivate_neftune(self.model, hook, self.accelerator)
            raise

    def fit(self, resume_from: Path | None) -> None:
        """Train to the last step, or until early stopping ends the run, and answer the sample prompts once more."""
        with contextlib.suppress(EarlyStop):
            self.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if self.skipped:
            self._run.note(message("log.skipped_steps", count=self.skipped, total=self.state.global_step), "warning")
        self.sample(last=True)

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            self._broken = True  # the other processes have to know before they end with this one
            if processes.world_size() == 1:
                raise NonFiniteLoss
        return loss

    @override
    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Look at the gradient just before the weights are changed; they have shown to be good by then."""
        if processes.all_reduce_max(self._broken):
            raise NonFiniteLoss
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if math.isfinite(norm):
            self.overflowed = 0
            self._good_step = self.state.global_step
            if self._good:
                torch._foreach_copy_(self._good, self._trained())
            else:
                self._good = [weights.clone() for weights in self._trained()]
        elif self.accelerator.scaler is None:
            raise NonFiniteLoss
        else:
            self.overflowed += 1
            self.skipped += 1
            if self.overflowed > MAX_SKIPPED_STEPS:
                raise NonFiniteLoss
            step = self.state.global_step + 1
            self._run.note(message("log.skipped_step", step=step, count=self.skipped), "warning")
        return norm

    def _trained(self) -> list[torch.Tensor]:
        """Return the trained weights: this process's part of them, where they are sharded."""
        result = (weights.data for weights in self.model.parameters() if weights.requires_grad)
        return [weights.to_local() if hasattr(weights, "to_local") else weights for weights in result]

    def restore_last_finite(self) -> int | None:
        """Put back the last weights that gave a finite loss and gradient; return their step, or None without any."""
        if not self._good:
            return None
        torch._foreach_copy_(self._trained(), self._good)
        return self._good_step

    @override
    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score the validation rows without a trace: how often that is done does not change the training."""
        self.on_micro_batch()  # a request is answered before an evaluation begins
        before = random_state()
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            set_random_state(before)

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self._settings.length_grouping:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        size = self.get_total_train_batch_size(self.args)
        return recorded_rows.LengthGroupedSampler([len(ids) for ids in rows["input_ids"]], size, self.args.seed)

    @override
    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        batches = getattr(loader.batch_sampler, "batch_sampler", loader.batch_sampler)  # over many processes: a part
        if processes.is_main_process():
            batches.sampler = recorded_rows.RecordedSampler(batches.sampler, self._run.path)
        return self._share(loader, batches.sampler, self.args.train_batch_size)

    @override
    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        loader = super().get_eval_dataloader(eval_dataset)
        return self._share(loader, range(len(loader.dataset)), self.args.eval_batch_size)

    def _share(self, whole: Any, rows: Any, size: int) -> Any:
        """Return the loader of this process's micro-batches, `size` rows each, in place of a loader of all `rows`."""
        if processes.world_size() == 1:
            return whole
        # the loss needs a token that another follows
        filler = {"input_ids": [self.processing_class.pad_token_id] * 2, "labels": [IGNORE_INDEX] * 2}
        sampler = recorded_rows.DistributedBatchSampler(rows, size)
        dataset = ConcatDataset([whole.dataset, [filler]])
        settings = {"collate_fn": whole.collate_fn, "pin_memory": whole.pin_memory}
        loader = DataLoader(dataset, batch_sampler=sampler, **settings)
        loader.set_epoch = sampler.set_epoch
        return loader

    def save_last_checkpoint(self) -> None:
        """Write the checkpoint of the last whole step, wherever in a step or an evaluation the training was left."""
        if not self.after_step:  # nothing was done since the start, or since the checkpoint it went on from
            return
        set_random_state(self.after_step)
        self.model.zero_grad()
        self._save_checkpoint(self.model, None)

    @override
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._run.enter_phase("saving")
        if processes.is_main_process():
            checkpoints.write(self._run.path, self.state.global_step, lambda draft: self._fill(draft, model, trial))
            processes.broadcast()
            checkpoints.prune(self._run.path, self._settings.keep_checkpoints)
        else:
            while draft := processes.broadcast():
                self._write(draft, model, trial)
        if self.state.global_step < self.state.max_steps:
            self._run.enter_phase("training")

    def _fill(self, draft: Path, model: Any, trial: Any) -> None:
        """Let transformers write its checkpoint, and move the files into `draft`."""
        self._write(processes.broadcast(draft), model, trial)
        result = draft / f"checkpoint-{self.state.global_step}"
        for path in result.iterdir():
            path.rename(draft / path.name)
        result.rmdir()

    def _write(self, draft: Path, model: Any, trial: Any) -> None:
        """Write this process's part: the main one all but the random states of the others."""
        self._draft = draft
        try:
            Trainer._save_checkpoint(self, model, trial)  # TRL's own adds a model card that is not wanted here
        finally:
            self._draft = None
        processes.all_reduce_max(0)  # all have written

    @override
    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Go on with the random numbers of a checkpoint; draw new ones where another number of processes made it."""
        name = f"rng_state_{processes.rank()}.pth" if processes.world_size() > 1 else "rng_state.pth"
        if checkpoint and not (Path(checkpoint) / name).exists():
            set_seed((self.args.seed + _SEED_STRIDE * (self.state.global_step + 1) + processes.rank()) % 2**32)
        else:
            super()._load_rng_state(checkpoint)

    @override
    def _get_output_dir(self, trial: Any) -> str:
        return str(self._draft) if self._draft else super()._get_output_dir(trial)


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
    """Put a new adapter into the base on `host` and return the `StudioTrainer` that will train it."""
    settings, loaded = plan.settings, host.loaded
    rows = settings.batch_size * settings.gradient_accumulation
    lora = adapter.lora_config(config.lora, loaded.model)
    set_seed(settings.seed)
    wrapped = adapter.wrap_model(loaded.model, lora, adapter_name=adapter.TUNED)
    if config.model.adapter is not None:
        start_adapter.load_weights(run, wrapped)
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
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = 1  # one card, or layers spread over all: never a copy of the model on each
    if device() == "cuda" and processes.world_size() == 1:
        # where the model begins: transformers and accelerate would move it to the first card, or refuse a quantized one
        torch.cuda.set_device(loaded.model.device)
        arguments.distributed_state.device = vars(arguments)["_setup_devices"] = loaded.model.device
    trainer = StudioTrainer(
        run,
        settings,
        on_micro_batch,
        most_tokens=plan.most_tokens,
        most_rows=settings.batch_size if processes.world_size() > 1 else None,
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
    rows_are = "packed" if trainer.packed else "padded"
    reason = "padded_noise" if not trainer.packed and trainer.neftune_noise_alpha is not None else rows_are
    run.record_choice("rows", rows_are, message(f"choice.rows.{reason}", attention=loaded.attention.value))
    if trainer.router_loss_fails:
        run.note(message("log.no_router_loss"), "warning")
    logits = "trained" if trainer.scored else "all"
    run.record_choice("logits", f"{logits} tokens", message(f"choice.logits.{logits}"))
    return trainer


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
