"""Two steps of a run, tried out on its longest rows: what they take in memory and time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psutil

from studio import runs
from studio.config import RunConfig
from studio.data.prepare import prepare
from studio.generation.held_out import HeldOutRow
from studio.model import load
from studio.model.adapter import ModelHost
from studio.model.hardware import device, free_memory_each, release_memory
from studio.runs.curve import read_curve
from studio.train import plan, recorded_rows, samples, start_adapter
from studio.train.best_adapter import BestAdapter
from studio.train.interrupts import StopRequested

POLL_SECONDS = 0.005


@dataclass(frozen=True)
class TrialResult:
    """What two steps on the longest rows took."""

    peak_bytes: int
    """The most memory that loading, training and its adapter added to the process, or took on the device."""
    step_seconds: float
    """Seconds of the second step."""
    seconds: float
    """Seconds of all steps, if the other rows cost as much a token as the longest did, and of the sample timeline."""


def measure(config: RunConfig, host: ModelHost, stop: threading.Event) -> TrialResult:
    """Load the base, put an adapter into it, and take two steps on the longest rows; leaves nothing behind."""
    from studio.train import frozen_layers
    from studio.train.trainer import build_trainer

    def on_progress(share: float | None = None) -> None:
        if stop.is_set():
            raise StopRequested("cancel")

    config, start = start_adapter.resolve(config)
    located = load.require(config.model)
    host.remove_adapter()
    prepared = prepare(config, load.load_tokenizer(config.model), on_progress)
    free = free_memory_each(host.base_bytes)
    planned = plan.make(config, located, rows=len(prepared.train), longest=prepared.longest, free=free)
    lengths = recorded_rows.row_lengths(prepared.train)
    size = planned.settings.batch_size * planned.settings.gradient_accumulation
    longest = sorted(range(len(lengths)), key=lambda row: -lengths[row])[:size]
    trial = {"max_steps": 2, "epochs": 1000.0, "save": "no", "trackers": (), "length_grouping": False}
    trial |= {"warmup_steps": 0, "warmup_ratio": 0.0, "keep": "last", "early_stopping": None, "logging_steps": 1}
    with runs.scratch(config) as run, _peak(dict(host.base_bytes)) as peak:
        if start:
            start_adapter.keep(run, start)
            start_adapter.check_base(run, located)
        host.base(config.model, located)
        short = replace(planned, settings=planned.settings.model_copy(update=trial))
        rows = prepared.train.select(longest)
        trainer = build_trainer(run, config, short, host, rows, None, on_progress, BestAdapter(run), resumed=False)
        if config.train.method != "sft":
            trainer.prepare_reference()
        trainer.train()
        first, second = read_curve(run).times
        halves = [tuple(ids[: len(ids) // 2 + 1]) for ids in rows["input_ids"][: samples.PROMPTS]]
        prompts = [HeldOutRow("", None, ids, ()) for ids in halves]
        speed = samples.measure(host, prompts, config.generation, on_progress)
    step_seconds = float(second - first)
    total = sum(lengths)
    tokens = planned.steps * size * total / len(lengths) if config.train.max_steps else config.train.epochs * total
    seconds = step_seconds / max(1, sum(lengths[row] for row in longest)) * tokens
    saving = frozen_layers.expected_saving(config, planned, prepared.report, located)
    # the two steps have computed all layers
    seconds *= plan.operations(config, planned, saving) / plan.operations(config, planned)
    if config.samples.mode == "auto":
        longest_answer = config.generation.max_new_tokens
        seconds *= 1 + samples.choose_schedule(config.samples, longest_answer, planned.steps, seconds, speed).share
    return TrialResult(int(max(peak)), step_seconds, seconds)


@contextmanager
def _peak(base_bytes: dict[int, float]) -> Iterator[list[float]]:
    """Yield a list that gets the bytes added since then, besides those of the base: on each card, or in the process."""
    import torch

    added = [0.0]
    if device() == "cuda":
        cards = range(torch.cuda.device_count())
        before = [torch.cuda.memory_allocated(card) - base_bytes.get(card, 0) for card in cards]
        for card in cards:
            torch.cuda.reset_peak_memory_stats(card)
        yield added
        added += [torch.cuda.max_memory_allocated(card) - before[card] for card in cards]
        return
    release_memory()
    process, over = psutil.Process(), threading.Event()
    start = process.memory_info().rss - sum(base_bytes.values())

    def poll() -> None:
        while not over.wait(POLL_SECONDS):
            added[0] = max(added[0], process.memory_info().rss - start)

    thread = threading.Thread(target=poll, name="memory", daemon=True)
    thread.start()
    try:
        yield added
    finally:
        over.set()
        thread.join()
