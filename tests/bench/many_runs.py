"""How long a list of many runs takes: cold, in a new process that finds the kept summaries, warm, and after a change.

python -m tests.bench.many_runs [RUNS] [STEPS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

LIST = (
    "import time; from studio import summaries; began = time.perf_counter(); found = history.all_summaries();"
    " print(len(found), time.perf_counter() - began)"
)


def make(count: int, steps: int) -> None:
    """Make runs as they are left behind: settings, events, a checkpoint and a result."""
    from studio import presets, runs
    from studio.events import Step, to_line

    config = presets.load(presets.QUICKSTART)
    for number in range(count):
        run = runs.create(config.with_settings({"name": f"run {number}", "train.seed": number}))
        for folder in ("checkpoints/step-000100", "checkpoints/step-000200", "adapter"):
            (run.path / folder).mkdir(parents=True)
            for name in ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "complete.json"):
                (run.path / folder / name).write_bytes(b"x" * 1000)
        lines = [
            to_line(Step(step=s, total=steps, epoch=s / steps, loss=3 / s**0.3, learning_rate=1e-3, tokens=100 * s))
            for s in range(1, steps + 1)
        ]
        with open(run.path / "events.jsonl", "a", encoding="utf-8") as file:
            file.write("".join(lines))
        run.enter(runs.State.FINISHED, step=steps, total=steps, started=time.time() - 60)


def in_a_new_process() -> float:
    """Return the seconds of one list in a process of its own, imports not counted."""
    said = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True).stdout
    return float(said.split()[1])


def main() -> None:
    """Measure, and print a table."""
    count, steps = (
        int(given) if given else usual for given, usual in zip([*sys.argv[1:], "", ""], (1000, 300), strict=False)
    )
    with tempfile.TemporaryDirectory() as home:
        os.environ["RESTYLE_HOME"] = home
        make(count, steps)
        from studio import runs
        from studio.runs import history, metadata

        cold, kept = in_a_new_process(), in_a_new_process()
        history.all_summaries()
        warm, changed = [], []
        for number in range(10):
            began = time.perf_counter()
            assert len(history.all_summaries()) == count
            warm.append(time.perf_counter() - began)
            metadata.annotate(runs.all_runs()[number], "a note")
            began = time.perf_counter()
            history.all_summaries()
            changed.append(time.perf_counter() - began)
    print(f"{count} runs of {steps} steps")
    print(f"cold, nothing known      {cold:6.2f} s")
    print(f"a new process, all kept  {kept:6.2f} s")
    print(f"warm, nothing changed    {statistics.median(warm):6.3f} s (most {max(warm):.3f})")
    print(f"warm, one run changed    {statistics.median(changed):6.3f} s (most {max(changed):.3f})")


if __name__ == "__main__":
    main()
