"""What a run goes through, and plain TRL beside it: forecast and measured memory, losses, speed, proofs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import gpu
from studio.compare.columns import CompareRequest
from studio.export.request import ExportRequest
from studio.runs import Run, State

STEPS, PAUSED_AFTER = 20, 8


def wait(run: Run, reached: Callable[[Any], bool]) -> State:
    """Wait until a run's status is so, or the run is over."""
    while True:
        status = run.status()
        if reached(status) or not status.state.alive:
            return status.state
        time.sleep(0.02)


def carry_out(config: Any) -> dict[str, Any]:
    """Check, measure, train with a pause and a resume, compare, export and verify; return a line of the table."""
    from studio.train import preflight

    thread = gpu.thread()
    checked = preflight.check(config, thread.free_memory())
    if checked.blocks:
        return {"result": checked.blocks[0].text().splitlines()[0]}
    measured = thread.measure(config).result()
    run = thread.start_run(config)
    wait(run, lambda status: status.step >= PAUSED_AFTER)
    if run.status().state.alive:
        run.request("pause")
    if wait(run, lambda status: False) is State.PAUSED:
        thread.resume_run(run.id)
        wait(run, lambda status: False)
    status = run.status()
    if status.state is not State.FINISHED:
        return {"result": status.error.text() if status.error else status.state.value}
    chosen = {event.name: event.value for event in run.events()[0] if event.type == "chosen"}
    steps = [event for event in run.events()[0] if event.type == "step"]
    compared = thread.compare(CompareRequest(run.id, ("What is 3?", "And 4?"), config.generation)).result()
    exported = thread.export(ExportRequest(run.id, "adapter", verify=True)).result()
    verification = exported.verification
    return {
        "result": "ok",
        "placement": chosen["placement"],
        "rows": chosen["rows"],
        "forecast GB": checked.plan.memory.total / 1e9,
        "measured GB": measured.peak_bytes / 1e9,
        "step s": measured.step_seconds,
        "loss": f"{steps[0].loss:.3f} → {steps[-1].loss:.3f}",
        "tokens/s": (steps[-1].tokens - steps[-4].tokens) / max(1e-9, steps[-1].at - steps[-4].at),
        "base untouched": compared.proof.base_is_untouched,
        "verified": getattr(verification, "passed", None) if verification else None,
        "losses": [step.loss for step in steps],
        "run": run,
    }


def plain_trl(config: Any, run: Run, folder: Path, steps: int) -> dict[str, Any]:
    """Train the same rows with plain TRL and PEFT, in the same order; return its losses and tokens a second."""
    import torch
    from peft import get_peft_model
    from transformers import PrinterCallback, TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    from studio.model import adapter, load
    from studio.model.hardware import device
    from studio.train import recorded_rows
    from studio.train.trainer import _scale_gradients_on_processor

    losses: list[float] = []
    times: list[float] = []

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in (logs or {}):
                losses.append(logs["loss"])

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            times.append(time.perf_counter())
            control.should_training_stop = len(times) >= steps

    loaded = load.load(config.model, load.locate(config.model))
    settings, kind = config.train, loaded.precision.value
    set_seed(settings.seed)
    model = get_peft_model(loaded.model, adapter.lora_config(config.lora, loaded.model))
    rows, _ = recorded_rows.read_rows(run.path)
    chosen = {event.name: event.value for event in run.events()[0] if event.type == "chosen"}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder / "trl"),
            max_steps=STEPS,  # the rate falls as in the run
            per_device_train_batch_size=settings.batch_size,
            gradient_accumulation_steps=settings.gradient_accumulation,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=settings.schedule,
            warmup_steps=settings.warmup_steps or settings.warmup_ratio,
            optim=chosen.get("optimizer", settings.optimizer),  # a fused one moves the rate at skipped steps too
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            activation_checkpointing=False,
            logging_steps=1,
            seed=settings.seed,
            use_cpu=device() == "cpu",
            bf16=kind == "bfloat16",
            fp16=kind == "float16",  # on a processor too: else autocast takes bfloat16, and nothing overflows
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        processing_class=loaded.tokenizer,
        callbacks=[Watch()],
    )
    trainer.remove_callback(PrinterCallback)
    if kind == "float16" and device() == "cpu":
        _scale_gradients_on_processor(trainer.accelerator)  # as ours: the steps that overflow are skipped
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.to(torch.float32)
    trainer.train()
    mean = sum(map(len, rows["input_ids"])) / len(rows)
    each = mean * settings.batch_size * settings.gradient_accumulation
    return {"losses": losses, "tokens/s": each * 3 / max(1e-9, times[-1] - times[-4])}
