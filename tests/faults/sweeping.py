"""Kill a sweep again and again, let it go on, and compare its end with an undisturbed one."""

import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from studio.runs import Run
from studio.sweep.directory import Sweep, SweepState
from studio.sweep.trial import Trial, winner
from tests.faults import children

OVER = "train.learning_rate=1e-3,1e-2,3e-2"
SETTINGS = {
    "name": "swept",
    "data.max_length": 128,
    "data.validation": {"kind": "fraction", "fraction": 0.25},
    "model.precision": "float32",
    "lora.dropout": 0.1,
    "train.eval_steps": 5,
    "train.save": "steps",
    "train.save_steps": 3,
    "samples.mode": "off",
}


@dataclass
class SweepResult:
    """What came of killing a sweep."""

    kills: int = 0
    resumed: int = 0
    problems: list[str] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)


def carry_out(settings: str, sweep_id: str | None = None) -> None:
    """Start a sweep, or let one go on, and wait for its end."""
    from studio.config import RunConfig
    from studio.sweep import axes, directory, drive, plan

    if sweep_id is None:
        base = RunConfig.from_yaml(settings)
        sweep = directory.create(plan.make(base, [axes.parse(OVER)], by="loss", prune="none"))
    else:
        sweep = directory.find(sweep_id)
    drive.drive(sweep)


def kill_sweep(folder: Path, settings: str, kills: int, seed: int) -> SweepResult:
    """Kill a sweep `kills` times, each time after some steps more, and compare its end with an undisturbed one."""
    result, chance, out = SweepResult(), random.Random(seed), folder / "out.txt"
    folder.mkdir(exist_ok=True)
    child = children.start(folder / "undisturbed", carry_out, settings, out=out)
    child.join()
    assert child.exitcode == 0, out.read_text()
    wanted = _sweep(folder / "undisturbed").trials()
    home = folder / "killed"
    while True:
        sweep = _sweep(home) if (home / "sweeps").is_dir() and any((home / "sweeps").glob("[0-9]*")) else None
        child = children.start(home, carry_out, settings, sweep and sweep.id, out=out)
        if result.kills == kills:
            child.join()
            break
        before, more = _steps(home), chance.randint(0, 9)
        while child.is_alive() and _steps(home) - before < more:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.05)
        child.kill()
        child.join()
        if child.exitcode == -signal.SIGKILL:
            result.kills += 1
            result.problems += _problems_after_a_kill(home)
        else:
            result.problems.append(f"it ended by itself: {out.read_text()[-500:]}")
            break
    if child.exitcode:
        result.problems.append(f"it did not go on: {out.read_text()[-500:]}")
    sweep = _sweep(home)
    result.trials = sweep.trials()
    result.problems += _differences(wanted, result.trials)
    if sweep.state() is not SweepState.FINISHED:
        result.problems.append(f"its state is {sweep.state()}")
    result.resumed = sum(
        event.type == "resumed" for path in (home / "runs").glob("[0-9]*") for event in Run(path).events()[0]
    )
    return result


def _sweep(home: Path) -> Sweep:
    """Return the one sweep of a home, which is this process's from now on."""
    import os

    os.environ["RESTYLE_HOME"] = str(home)
    [path] = (home / "sweeps").glob("[0-9]*")
    return Sweep(path)


def _steps(home: Path) -> int:
    """Return how many steps the runs of a home have logged."""
    return sum(path.read_bytes().count(b'"type":"step"') for path in home.glob("runs/[0-9]*/events.jsonl"))


def _problems_after_a_kill(home: Path) -> list[str]:
    if not (home / "sweeps").is_dir() or not any((home / "sweeps").glob("[0-9]*")):
        return []
    sweep = _sweep(home)
    state, trials = sweep.state(), sweep.trials()
    problems = [f"a dead sweep is {state}"] if state is SweepState.RUNNING else []
    if sum(trial.is_open for trial in trials) > 1:
        problems.append("two of its runs are open")
    return problems


def _differences(wanted: list[Trial], trials: list[Trial]) -> list[str]:
    """Return in what an interrupted sweep differs from an undisturbed one: each trial once, with the same score."""
    problems = []
    if [trial.settings for trial in trials] != [trial.settings for trial in wanted]:
        problems.append(f"it tried {[trial.settings for trial in trials]}")
    if [trial.score for trial in trials] != [trial.score for trial in wanted]:
        problems.append(f"scores {[trial.score for trial in trials]}, not {[trial.score for trial in wanted]}")
    best, best_wanted = winner(trials), winner(wanted)
    if best is None or best_wanted is None or best.number != best_wanted.number:
        problems.append("another run wins")
    return problems
