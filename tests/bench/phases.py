"""Where the seconds of a short run go that are no steps: `python -m tests.bench.phases`.

Trains the short rows of `training` for a few steps, from the start of the process to its end, and takes the seconds of
each phase from the run's events. Imports are timed one after the other in a process of their own; what one of them has
imported, the next has not to. Medians of three; written to standard output and to `phases.md` beside this file.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench.training import ROOT, machine, make_rows, settings

TIMES, ROWS = 3, 32
LIBRARIES = ("studio.cli", "torch", "transformers.AutoModelForCausalLM", "peft", "datasets", "trl.SFTTrainer")
IMPORTS = """
import importlib, sys, time
from studio.model.hardware import prepare_process
prepare_process()
for name in sys.argv[1:]:
    began = time.perf_counter()
    module, _, inner = name.partition(".")
    if inner[:1].isupper():
        getattr(importlib.import_module(module), inner)
    else:
        importlib.import_module(name)
    print(time.perf_counter() - began)
"""
PHASES = {
    "start": "start of the process and the command line",
    "queued": "waiting for the GPU thread: import of torch",
    "reading": "rows, tokens, imports for the tokenizer; settings and memory, imports for the model",
    "loading": "weights, adapter, trainer and its imports",
    "training": "steps",
    "saving": "adapter and record",
    "finished": "end of the process",
}


def imports() -> dict[str, float]:
    """Return the seconds that each library takes, after those before it."""
    command = [sys.executable, "-c", IMPORTS, *LIBRARIES]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return dict(zip(LIBRARIES, map(float, told), strict=True))


def phases(folder: Path) -> dict[str, float]:
    """Train once, and return the seconds of each phase."""
    os.environ["RESTYLE_HOME"] = str(folder / "home")
    from studio import runs

    before = {run.id for run in runs.all_runs()}
    command = [sys.executable, "-m", "studio", "train", str(folder / "run.yaml"), "--json"]
    times = [("start", time.time())]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    ended = time.time()
    (run,) = (run for run in runs.all_runs() if run.id not in before)
    for event in run.events()[0]:
        name = getattr(event, "phase", None) or getattr(event, "state", None)
        if name in PHASES:
            times.append((name, event.at))
    found: Counter[str] = Counter()
    for (name, began), (_, over) in zip(times, [*times[1:], ("", ended)], strict=True):
        found[name] += over - began
    return dict(found)


def table(lines: list[dict[str, float]], told: dict[str, str]) -> str:
    """Return the medians as Markdown."""
    rows = [f"| {words} | {statistics.median(line[name] for line in lines):.2f} |\n" for name, words in told.items()]
    return "| | Seconds |\n|---|---|\n" + "".join(rows)


def main() -> None:
    """Measure, and write the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = make_rows("short")[0][:ROWS]
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        (folder / "run.yaml").write_text(settings(folder / "train.jsonl"), encoding="utf-8")
        phases(folder)  # the files are in the system's memory then
        runs = [phases(folder) for _ in range(TIMES)]
    libraries = table([imports() for _ in range(TIMES)], {name: f"import of {name}" for name in LIBRARIES})
    told = f"{machine()}\n\n{table(runs, PHASES)}\n{libraries}"
    print(told)
    (Path(__file__).parent / "phases.md").write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
