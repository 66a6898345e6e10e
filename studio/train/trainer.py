"""One run, from its settings to a saved adapter: TRL's `SFTTrainer` on rows that we have tokenized."""

from collections.abc import Callable
from typing import Any

from studio.config import RunConfig
from studio.data.prepare import Prepared, prepare
from studio.i18n import message
from studio.model import adapter, load
from studio.model.adapter import ModelHost
from studio.model.hardware import checkpointing, device, versions
from studio.runs import RunWriter, State


class Stopped(Exception):
    """The user asked the run to stop."""


def train(run: RunWriter, host: ModelHost, visits: Callable[[], None]) -> None:
    """Carry out a run; its directory says how it ended.

    `visits` is called between two micro-batches and runs short jobs of others. A stop that is asked for keeps the
    adapter as it is then. Errors are the caller's to record.
    """
    config = run.config()

    def going(share: float | None = None) -> None:
        if run.requested() == "stop":
            raise Stopped
        if share is not None:
            run.update(progress=share)

    def between() -> None:
        visits()
        going()

    run.enter(State.PREPARING)
    try:
        trainer = _prepared_trainer(run, config, host, going, between)
    except Stopped:
        host.remove_adapter()
        run.enter(State.STOPPED)
        return
    try:
        trainer.train()
        ended = State.FINISHED
    except Stopped:
        ended = State.STOPPED
    if trainer.state.global_step:
        _save(run, host)
    host.remove_adapter()
    run.enter(ended)


def _prepared_trainer(
    run: RunWriter,
    config: RunConfig,
    host: ModelHost,
    going: Callable[[float | None], None],
    between: Callable[[], None],
) -> Any:
    run.begin("fetching")
    located = load.fetch(config.model, going)
    going(None)
    run.begin("reading")
    prepared = prepare(config, load.load_tokenizer(config.model), going)
    _tell_problems(run, prepared)
    going(None)
    run.begin("loading")
    host.remove_adapter()
    loaded = host.base(config.model, located)
    run.choose("precision", loaded.precision.value, loaded.precision.reason)
    going(None)
    trainer = _build(run, config, host, prepared, between)
    run.resolve(
        {
            "base": located.identity,
            "data": prepared.sha256,
            "mapping": prepared.report.detected.mapping.model_dump(mode="json"),
            "versions": versions(),
            "device": device(),
        }
    )
    return trainer


def _tell_problems(run: RunWriter, prepared: Prepared) -> None:
    report = prepared.report
    run.tell(message("log.rows", rows=report.rows, usable=report.usable, validation=report.validation))
    for problem in report.problems:
        run.tell(problem.message, "warning")


def _build(run: RunWriter, config: RunConfig, host: ModelHost, prepared: Prepared, between: Callable[[], None]) -> Any:
    from peft import get_peft_model
    from transformers import PrinterCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    from studio.train.callbacks import RunCallback

    assert host.loaded is not None
    settings, loaded = config.train, host.loaded
    lora = adapter.lora_config(config.lora, loaded.model)
    set_seed(settings.seed)
    wrapped = get_peft_model(loaded.model, lora, adapter_name=adapter.TUNED)
    host.put_adapter(wrapped, run.id)
    trained, total = wrapped.get_nb_trainable_parameters()
    run.tell(message("log.parameters", trained=f"{trained:,}", share=f"{trained / total:.2%}"))
    saved = checkpointing(settings.gradient_checkpointing, forecast_activations(config, loaded.model, prepared))
    run.choose(saved.name, saved.value, saved.reason)
    arguments = SFTConfig(
        output_dir=str(run.path / "checkpoints"),
        save_strategy="no",
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        optim=settings.optimizer,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        activation_checkpointing=saved.value == "on",
        train_sampling_strategy="group_by_length" if settings.length_grouping else "random",
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
        report_to="none",
    )
    trainer = SFTTrainer(
        model=wrapped,
        args=arguments,
        train_dataset=prepared.train,
        eval_dataset=prepared.validation,
        processing_class=loaded.tokenizer,
        callbacks=[RunCallback(run, between)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


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


def _save(run: RunWriter, host: ModelHost) -> None:
    assert host.loaded is not None
    run.begin("saving")
    adapter.save(host.peft, host.loaded.tokenizer, run.adapter, host.loaded.located.identity)
