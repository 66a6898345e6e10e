"""How time grows: to the first step with the rows, and of a step with the length of rows and the adapter's size.

    python -m tests.bench.growth [first] [lengths] [adapters]

All runs are of the built-in model, in one process, with its automatic settings; sample timeline and evaluation are off.
`first`: seconds from Start to the beginning and to the end of the first step with 1,000, 10,000 and 100,000 rows, in a
new process (its start counted) with nothing kept, in another one with the rows' tokens kept, and for the next run of
that process. `lengths`: rows of 128 to 2,048 tokens, 2,048 tokens a step. `adapters`: 0.1 to 100 million trained
parameters.
"""

import itertools
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
ROWS = (1_000, 10_000, 100_000)
LENGTHS = (128, 256, 512, 1024, 2048)
ADAPTERS = (
    {"lora.r": 2, "lora.target_modules": ["q_proj"]},
    {"lora.r": 4},
    {"lora.r": 16},
    {"lora.r": 64},
    {"lora.r": 320},
)
STEPS = 6
QUICK = {"train.save": "no", "samples.mode": "off", "data.validation": {"kind": "none"}, "train.batch_size": 8}


def write_rows(path: Path, count: int) -> None:
    """Write the sea captain's rows again and again, each with a number of its own; nothing is kept of them yet."""
    mark = secrets.token_hex(3)
    text = (ROOT / "presets" / "data" / "captain.jsonl").read_text(encoding="utf-8")
    known = [json.loads(line) for line in text.splitlines()]
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            row = known[number % len(known)]
            file.write(json.dumps({**row, "instruction": f"{row['instruction']} ({mark} {number})"}) + "\n")


def train(settings: dict[str, Any]) -> list[float]:
    """Carry out a run; return the seconds from its start to the beginning of each step, and to the first one's end."""
    from studio import gpu
    from studio.config import RunConfig
    from studio.train.packed_trainer import PackedTrainer

    times: list[float] = []
    step = PackedTrainer.training_step

    def noted(self: Any, *args: Any) -> Any:
        times.append(time.perf_counter() - began)
        return step(self, *args)

    PackedTrainer.training_step = noted
    began = time.perf_counter()
    try:
        run = gpu.thread().start_run(RunConfig().with_settings({**QUICK, **settings}))
        while run.status().state.alive:
            time.sleep(0.02)
        assert run.status().state == "finished", run.status()
        first = next(event for event in run.events()[0] if event.type == "step")
        started = next(event for event in run.events()[0] if event.type == "state")
    finally:
        PackedTrainer.training_step = step
    return [*times, first.at - started.at]


def in_process(data: str) -> None:
    """Train one step twice in this process; print the seconds to the first step's beginning and end, and the memory."""
    from studio.model.hardware import prepare_process

    prepare_process()
    import psutil

    source = {"data.source": {"kind": "file", "name": data}, "train.max_steps": 1}
    begun = psutil.Process().create_time()
    lead = time.time() - begun
    first, second = train(source), train(source)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"cold": [lead + seconds for seconds in first], "warm": second, "peak": peak}))
    from studio import gpu

    gpu.shutdown()


def first_steps() -> None:
    """Print the times to the first step."""
    print("seconds to the first step's beginning / end")
    print("rows      new process, nothing kept   new process, tokens kept   next run      peak memory")
    for count in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "rows.jsonl"
            write_rows(data, count)
            told = []
            environment = os.environ | {"RESTYLE_HOME": str(Path(folder) / "home"), "HF_HUB_OFFLINE": "1"}
            for _ in range(2):
                command = [sys.executable, "-m", "tests.bench.growth", "--in-process", str(data)]
                made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
                told.append(json.loads(made.stdout.splitlines()[-1]))
            cells = [
                f"{times[0]:5.1f} / {times[1]:5.1f}" for times in (told[0]["cold"], told[1]["cold"], told[1]["warm"])
            ]
            print(f"{count:7,}  " + "   ".join(f"{cell:>20}" for cell in cells) + f"   {told[0]['peak'] / 1e9:.2f} GB")


def of_a_step(settings: dict[str, Any]) -> float:
    """Return the median seconds of a step but the first."""
    times = train({**settings, "train.max_steps": STEPS})[:-1]
    return statistics.median(later - one for one, later in itertools.pairwise(times[1:]))


def lengths(folder: Path) -> None:
    """Print the time of a step of 2,048 tokens in rows of different lengths."""
    print("tokens a row   rows a step   s/step   us/token")
    for length in LENGTHS:
        data = folder / f"{length}.jsonl"
        words = " ".join(["sea"] * (length - 40))
        data.write_text((json.dumps({"instruction": "Say it.", "output": words}) + "\n") * 48, encoding="utf-8")
        rows = max(LENGTHS) // length
        source = {"data.source": {"kind": "file", "name": str(data)}, "data.max_length": length}
        seconds = of_a_step({**source, "train.batch_size": rows})
        print(f"{length:12,}   {rows:11}   {seconds:6.2f}   {1e6 * seconds / (rows * length):8.0f}")


def adapters(folder: Path) -> None:
    """Print the time of a step with adapters of different size."""
    from studio import runs

    data = folder / "rows.jsonl"
    write_rows(data, 48)
    print("trained parameters   s/step")
    for settings in ADAPTERS:
        seconds = of_a_step(
            {"data.source": {"kind": "file", "name": str(data)}, "train.length_grouping": False, **settings}
        )
        trained = runs.find("last").resolved()["trained_parameters"]
        print(f"{trained / 1e6:16.1f} M   {seconds:6.2f}")


def main() -> None:
    """Measure, and print."""
    if sys.argv[1:2] == ["--in-process"]:
        in_process(sys.argv[2])
        return
    asked = sys.argv[1:] or ["first", "lengths", "adapters"]
    if "first" in asked:
        first_steps()
    if {"lengths", "adapters"} & set(asked):
        from studio.model.hardware import prepare_process

        prepare_process()
        with tempfile.TemporaryDirectory() as folder:
            os.environ["RESTYLE_HOME"] = folder
            if "lengths" in asked:
                lengths(Path(folder))
            if "adapters" in asked:
                adapters(Path(folder))
            from studio import gpu

            gpu.shutdown()


if __name__ == "__main__":
    main()
