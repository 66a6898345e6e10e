"""What a run costs beyond its trainer: the same steps with the studio and without it, in turn, in one process.

    python -m tests.bench.overhead [STEPS] [PAIRS]

With: the studio's run, with its thread, events, log, status and looks for requests; sample timeline and evaluation
are off, no page is open. Without: `PackedTrainer`, which knows nothing of the studio, on the same rows in the same
order. A step is timed from the beginning of one to the beginning of the next, by the clock and by the processor.
"""

import os
import statistics
import sys
import tempfile
import time
from typing import Any


def settings(steps: int) -> Any:
    """Return the quickstart's settings for some steps, with nothing that the bare trainer has not."""
    from studio import presets

    chosen = {"train.max_steps": steps, "train.save": "no", "train.length_grouping": False, "samples.mode": "off"}
    return presets.load(presets.QUICKSTART).with_settings({**chosen, "data.validation": {"kind": "none"}})


def note_steps() -> list[tuple[float, float]]:
    """Let each step leave the time of its beginning: the clock's, and the process's processor time."""
    from studio.train.packed_trainer import PackedTrainer

    began: list[tuple[float, float]] = []
    step = PackedTrainer.training_step

    def noted(self: Any, *args: Any) -> Any:
        began.append((time.perf_counter(), time.process_time()))
        return step(self, *args)

    PackedTrainer.training_step = noted
    return began


def with_studio(config: Any) -> None:
    """Train as the page and the command line do."""
    from studio import gpu

    run = gpu.thread().start_run(config)
    while run.status().state.alive:
        time.sleep(0.5)
    assert run.status().state == "finished", run.status()


def without_studio(config: Any, rows: Any, most_tokens: int) -> None:
    """Train with the trainer alone."""
    from peft import get_peft_model
    from transformers import PrinterCallback, set_seed
    from trl import SFTConfig

    from studio.model import adapter, load
    from studio.train.packed_trainer import PackedTrainer

    loaded = load.load(config.model, load.locate(config.model))
    set_seed(config.train.seed)
    model = get_peft_model(loaded.model, adapter.lora_config(config.lora, loaded.model))
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()
    with tempfile.TemporaryDirectory() as folder:
        trainer = PackedTrainer(
            most_tokens=most_tokens,
            model=model,
            args=SFTConfig(
                output_dir=folder,
                max_steps=config.train.max_steps,
                per_device_train_batch_size=config.train.batch_size,
                learning_rate=config.train.learning_rate,
                warmup_steps=config.train.warmup_steps,
                seed=config.train.seed,
                optim=config.train.optimizer,
                bf16=loaded.precision.value == "bfloat16",
                use_cpu=True,
                activation_checkpointing=False,
                dataloader_pin_memory=False,
                dataset_kwargs={"skip_prepare_dataset": True},
                max_length=None,
                save_strategy="no",
                logging_steps=1,
                disable_tqdm=True,
                report_to="none",
            ),
            train_dataset=rows,
            processing_class=loaded.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def main() -> None:
    """Measure, and print."""
    from studio.model.hardware import prepare_process

    prepare_process()
    steps, pairs = (
        int(given) if given else usual for given, usual in zip([*sys.argv[1:], "", ""], (30, 6), strict=False)
    )
    with tempfile.TemporaryDirectory() as home:
        os.environ["RESTYLE_HOME"] = home
        from studio import gpu
        from studio.data.prepare import prepare
        from studio.model import load

        config, began = settings(steps), note_steps()
        prepared = prepare(config, load.load_tokenizer(config.model))
        most = config.train.batch_size * prepared.longest
        clock: dict[bool, list[float]] = {True: [], False: []}
        processor: dict[bool, list[float]] = {True: [], False: []}
        for number in range(-1, 2 * pairs):  # the first one warms
            studio = number % 4 in (0, 3)
            began.clear()
            with_studio(config) if studio else without_studio(config, prepared.train, most)
            assert len(began) == steps
            if number >= 0:
                took = [(last - first) / (steps - 2) for first, last in zip(began[1], began[-1], strict=True)]
                clock[studio].append(took[0])
                processor[studio].append(took[1])
        gpu.shutdown()
    for name, times in (("the clock", clock), ("the processor", processor)):
        print(f"a step by {name}, s: with {_listed(times[True])}   without {_listed(times[False])}")
        ratios = [ours / theirs - 1 for ours, theirs in zip(times[True], times[False], strict=True)]
        print(f"    more with, %: median {100 * statistics.median(ratios):.1f}   of {_listed(100 * r for r in ratios)}")


def _listed(values: Any) -> str:
    return " ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main()
