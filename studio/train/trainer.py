"""One run, from its settings to a saved adapter: TRL's `SFTTrainer` on rows that we have tokenized."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.config import RunConfig
from studio.data.prepare import Prepared, prepare
from studio.errors import RunError
from studio.files import replace_folder, sha256
from studio.i18n import message
from studio.model import adapter, load
from studio.model.adapter import ModelHost
from studio.model.hardware import checkpointing, device, versions
from studio.runs import RunWriter, State
from studio.train import checkpoint
from studio.train.best import Best


class Stopped(Exception):
    """The user asked the run to stop."""


def train(run: RunWriter, host: ModelHost, visits: Callable[[], None], *, resume: bool = False) -> None:
    """Carry out a run, or go on with it from its newest checkpoint; its directory says how it ended.

    `visits` is called between two micro-batches and runs short jobs of others. A stop that is asked for keeps the
    adapter as it is then, a pause makes a checkpoint. Errors are the caller's to record; RunError when a resumed run's
    settings, data or base are not those it began with.
    """
    config = run.config()

    def going(share: float | None = None) -> None:
        if run.requested() in ("stop", "pause"):
            raise Stopped
        if share is not None:
            run.update(progress=share)

    def between() -> None:
        visits()
        if run.requested() == "stop":
            raise Stopped

    run.enter(State.PREPARING)
    begun_from = checkpoint.newest_whole(run.path) if resume else None
    try:
        trainer, callback, best = _prepared_trainer(run, config, host, going, between, resume)
    except Stopped:
        host.remove_adapter()
        paused = resume or run.requested() == "pause"
        run.enter(State.PAUSED if paused else State.STOPPED)
        return
    if begun_from:
        best.go_back_to(checkpoint.step_of(begun_from))
    try:
        trainer.train(resume_from_checkpoint=str(begun_from) if begun_from else None)
        ended = State.PAUSED if callback.paused else State.FINISHED
    except Stopped:
        ended = State.STOPPED
    if trainer.state.global_step and ended is not State.PAUSED:
        _save_result(run, host, best)
    host.remove_adapter()
    run.enter(ended)


def _prepared_trainer(
    run: RunWriter,
    config: RunConfig,
    host: ModelHost,
    going: Callable[[float | None], None],
    between: Callable[[], None],
    resume: bool,
) -> tuple[Any, Any, Best]:
    run.begin("fetching")
    located = load.fetch(config.model, going)
    going(None)
    run.begin("reading")
    prepared = prepare(config, load.load_tokenizer(config.model), going)
    rests_on = {"config": sha256(run.path / "run.yaml"), "data": prepared.sha256, "base": located.identity}
    if resume:
        _require_same(run, rests_on)
    _tell_problems(run, prepared)
    going(None)
    run.begin("loading")
    host.remove_adapter()
    loaded = host.base(config.model, located)
    for choice in loaded.choices:
        run.choose(choice.name, choice.value, choice.reason)
    going(None)
    built = _build(run, config, host, prepared, between)
    mapping = prepared.report.detected.mapping.model_dump(mode="json")
    run.resolve({**rests_on, "mapping": mapping, "versions": versions(), "device": device()})
    return built


def _require_same(run: RunWriter, rests_on: dict[str, Any]) -> None:
    """Raise RunError that names what has changed since the run began."""
    known = run.resolved()
    changed = [name for name, value in rests_on.items() if known.get(name) != value]
    if changed:
        raise RunError("run.changed", run=run.id, what=", ".join(changed))


def _tell_problems(run: RunWriter, prepared: Prepared) -> None:
    report = prepared.report
    run.tell(message("log.rows", rows=report.rows, usable=report.usable, validation=report.validation))
    for problem in report.problems:
        run.tell(problem.message, "warning")


def _build(
    run: RunWriter, config: RunConfig, host: ModelHost, prepared: Prepared, between: Callable[[], None]
) -> tuple[Any, Any, Best]:
    from peft import get_peft_model
    from transformers import PrinterCallback, set_seed
    from trl import SFTConfig

    from studio.train.callbacks import RunCallback
    from studio.train.sft import StudioTrainer

    assert host.loaded is not None
    settings, loaded = config.train, host.loaded
    lora = adapter.lora_config(config.lora, loaded.model)
    set_seed(settings.seed)
    wrapped = get_peft_model(loaded.model, lora, adapter_name=adapter.TUNED)
    host.put_adapter(wrapped, run.id)
    trained, total = wrapped.get_nb_trainable_parameters()
    modules = ", ".join(adapter.linear_modules_with_adapter(wrapped))
    run.tell(message("log.parameters", trained=f"{trained:,}", share=f"{trained / total:.2%}", modules=modules))
    saved = checkpointing(settings.gradient_checkpointing, forecast_activations(config, loaded.model, prepared))
    run.choose(saved.name, saved.value, saved.reason)
    arguments = SFTConfig(
        output_dir=str(run.path / "checkpoints"),
        save_strategy=settings.save,
        save_steps=settings.save_steps,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_steps or settings.warmup_ratio,  # below 1 it is a share of all steps
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        optim=settings.optimizer,
        neftune_noise_alpha=settings.neftune_alpha,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        activation_checkpointing=saved.value == "on",
        logging_steps=settings.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # else a loss that is not a number is logged as 0
        eval_strategy="steps" if prepared.validation else "no",
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
        report_to=list(settings.trackers) or "none",
    )
    best = Best(run, settings.keep == "best", settings.early_stopping, lambda folder: _save(folder, host))
    callback = RunCallback(run, between, best)
    trainer = StudioTrainer(
        run,
        settings.keep_checkpoints,
        settings.length_grouping,
        model=wrapped,
        args=arguments,
        train_dataset=prepared.train,
        eval_dataset=prepared.validation,
        processing_class=loaded.tokenizer,
        callbacks=[callback],
    )
    trainer.remove_callback(PrinterCallback)
    _float32_adapter(wrapped)
    return trainer, callback, best


def _float32_adapter(model: Any) -> None:
    """Keep the trained weights in float32.

    TRL casts those of a quantized model to bfloat16, where small updates vanish, and which float16's gradient scaler
    cannot unscale.
    """
    import torch

    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.to(torch.float32)


def forecast_activations(config: RunConfig, model: Any, prepared: Prepared) -> float:
    """Estimate the bytes that the activations of one micro-batch take when all are kept.

    34 · hidden size + 5 · heads · length bytes per token and layer, for 16-bit activations (Korthikanti et al. 2022,
    "Reducing Activation Recomputation", equation 1), doubled for float32; plus the logits of the batch, three times
    (values, log-probabilities, gradients).
    """
    text = model.config.get_text_config()
    tokens = prepared.longest * config.train.batch_size
    width = model.dtype.itemsize / 2
    per_layer = 34 * text.hidden_size + 5 * text.num_attention_heads * prepared.longest
    return tokens * (per_layer * text.num_hidden_layers * width + 3 * 4 * text.vocab_size)


def _save(folder: Path, host: ModelHost) -> None:
    assert host.loaded is not None
    adapter.save(host.peft, host.loaded.tokenizer, folder, host.loaded.located.identity)


def _save_result(run: RunWriter, host: ModelHost, best: Best) -> None:
    """Save the adapter as it is, or the best one where that is to be kept."""
    run.begin("saving")
    if best.adapter.exists():
        replace_folder(run.adapter, lambda draft: shutil.copytree(best.adapter, draft, dirs_exist_ok=True))
        run.tell(message("log.best", step=best.step, loss=f"{best.loss:.3f}"))
    else:
        _save(run.adapter, host)
