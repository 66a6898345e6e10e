"""Kill a training run, look at what it left behind, let it go on, and compare the end with an undisturbed run."""

import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from safetensors.numpy import load as load_weights

from studio import runs
from studio.config import RunConfig
from studio.events import from_line
from studio.files import write_json_lines
from studio.runs import Run, State, checkpoints
from tests.faults import children
from tests.faults.dying import PLACES, train_and_count, train_and_die, train_slowly

STEPS, SAVE_STEPS = 60, 5
SETTINGS = {
    "name": "killed",
    "data.max_length": 128,
    "data.validation": {"kind": "fraction", "fraction": 0.25},
    "model.precision": "float32",
    "lora.r": 4,
    "lora.dropout": 0.2,
    "train.max_steps": STEPS,
    "train.learning_rate": 1e-2,
    "train.gradient_accumulation": 2,
    "train.save": "steps",
    "train.save_steps": SAVE_STEPS,
    "train.eval_steps": 10,
    "train.keep": "best",
}


@dataclass
class Result:
    """What came of some kills."""

    tried: int = 0
    in_saves: int = 0
    lost: list[int] = field(default_factory=list)
    """Steps of each kill that had to be done again."""
    moments: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    """How many were killed right before or right after which call to the system."""
    problems: dict[int, list[str]] = field(default_factory=dict)
    """Number of a kill that was not survived, and why; those in saves are in `problems_in_saves` too."""
    problems_in_saves: set[int] = field(default_factory=set)
    finished: int = 0
    resumed: int = 0
    started: int = 0
    loss_difference: float = 0.0
    weight_difference: float = 0.0
    equal_bytes: int = 0
    seconds: float = 0.0


class Killing:
    """Runs, kills and resumes in `folder`, until enough kills were tried."""

    def __init__(self, folder: Path, seed: int, tell=print, *, preferences: bool = False):
        """With `preferences`, the runs continue an adapter on pairs of answers."""
        folder.mkdir(exist_ok=True)
        self.result = Result()
        self._folder = folder
        self._chance = random.Random(seed)
        self._tell = tell
        self._out = folder / "out.txt"
        self._deaths = folder / "deaths.txt"
        self._settings = make_preference_settings(folder) if preferences else make_settings(folder)
        self._run: Run | None = None
        self._resumes = 0
        self._last_in_save = False

    def carry_out(self, kills: int) -> Result:
        """Try at least `kills` kills, at least half of them inside a save; the last run is let to its end."""
        result, began = self.result, time.monotonic()
        self._undisturbed()
        while (missing := kills - result.tried) > 0 or result.in_saves < kills / 2:
            in_saves_missing = kills / 2 - result.in_saves
            self._attempt(self._chance.random() * missing < in_saves_missing)
        self._last()
        self._read_deaths()
        result.seconds = time.monotonic() - began
        return result

    def _undisturbed(self) -> None:
        record = self._folder / "calls.json"
        began = time.monotonic()
        child = self._child("undisturbed", train_and_count, self._settings, str(record))
        child.join()
        assert child.exitcode == 0, self._out.read_text()
        self._takes = time.monotonic() - began
        self._calls = json.loads(record.read_text())
        [path] = (self._folder / "undisturbed" / "runs").iterdir()
        self._reference = Run(path)
        self._tell(f"undisturbed: {STEPS} steps in {self._takes:.1f} s; calls that a save can die at: {self._calls}")

    def _child(self, home: str, work, *args):
        return children.start(self._folder / home, work, *args, out=self._out)

    def _attempt(self, in_save: bool) -> None:
        """Start or resume, and kill; when the run ends first, compare it."""
        run_id, step = self._run and self._run.id, self._step()
        known = self._known()
        outside = self._chance.random() < 0.5
        if not in_save:
            child = self._child("killed", children.train, self._settings, run_id)
            left = 1 - step / STEPS
            child.join(self._chance.uniform(0, self._takes * (0.3 + 0.7 * left)))
            child.kill()
        elif outside:
            child = self._child("killed", train_slowly, self._settings, run_id, 0.004)
            self._kill_inside(child)
        else:
            place, calls = self._chance.choices(list(self._calls.items()), weights=(3, 1, 1))[0]
            at = self._chance.randint(1, max(1, calls // 4 if place == "checkpoints" else calls))
            before = self._chance.random() < 0.5
            child = self._child("killed", train_and_die, self._settings, run_id, place, at, before, str(self._deaths))
        child.join()
        self._look_at_resume(run_id, step)
        if self._run is None:
            self._run = next((run for run in self._all() if run.id not in known), None)
        over = self._run is not None and self._run.status().state is State.FINISHED  # and its process killed after that
        if child.exitcode == -signal.SIGKILL and not over:
            self._killed(in_save)
        else:
            self._ended(0 if over else child.exitcode)

    def _kill_inside(self, child) -> None:
        """Kill a process at a random moment of one of its next saves."""
        saves = self._chance.randint(1, 4)
        length = self._chance.uniform(0, 0.12)  # a save takes about that
        saving = False
        while child.is_alive():
            was, saving = saving, self._phase() == "saving"
            saves -= saving and not was
            if saving and saves <= 0:
                child.join(length)
                child.kill()
                return
            time.sleep(0.001)

    def _phase(self) -> str:
        run = self._run or next(iter(self._all()[:1]), None)
        status = run and runs.try_status(run)
        return status.phase if status and status.state is not State.INTERRUPTED else ""

    def _killed(self, wanted_in_save: bool) -> None:
        result, run = self.result, self._run
        moment = _moment(run)
        if wanted_in_save and moment not in PLACES.values():
            wanted_in_save = False  # it came too late, and counts as one at any moment
        result.tried += 1
        result.in_saves += wanted_in_save
        result.moments[moment] += 1
        self._last_in_save = wanted_in_save
        if run is None:  # before it had a directory
            result.lost.append(0)
        else:
            problems, lost = _examine(run, self._reference)
            result.lost.append(lost)
            for problem in problems:
                self._problem(problem)
        self._tell(
            f"{result.tried:4} killed in {moment:22} lost {result.lost[-1]} of {SAVE_STEPS} steps"
            f"{'' if result.tried not in result.problems else ': ' + '; '.join(result.problems[result.tried])}"
        )

    def _ended(self, code: int) -> None:
        run = self._run
        self._leave()
        if code == children.NOTHING_SAVED and run and not checkpoints.all_of(run.path):
            return  # it ended before the first save, and the next one starts anew
        if code != 0 or run is None:
            self._problem(f"the run did not go on: {self._out.read_text()[-3000:]}")
            return
        self._compare(run)

    def _leave(self) -> None:
        self._run, self._resumes = None, 0

    def _compare(self, run: Run) -> None:
        result = self.result
        result.finished += 1
        ours, wanted = curve(run), curve(self._reference)
        if ours.keys() != wanted.keys():
            self._problem(f"other steps than the undisturbed run: {sorted(ours.keys() ^ wanted.keys())}")
            return
        result.loss_difference = max(result.loss_difference, *(abs(ours[at] - wanted[at]) for at in wanted))
        mine, theirs = (r.adapter / "adapter_model.safetensors" for r in (run, self._reference))
        result.equal_bytes += mine.read_bytes() == theirs.read_bytes()
        mine, theirs = load_weights(mine.read_bytes()), load_weights(theirs.read_bytes())
        difference = max(float(numpy.abs(mine[name] - theirs[name]).max()) for name in theirs)
        result.weight_difference = max(result.weight_difference, difference)
        if ours != wanted or difference:
            self._problem(f"other numbers than the undisturbed run, weights by {difference}")

    def _last(self) -> None:
        if self._run is not None:
            run_id, step = self._run.id, self._step()
            child = self._child("killed", children.train, self._settings, run_id)
            child.join()
            self._look_at_resume(run_id, step)
            self._ended(child.exitcode)

    def _look_at_resume(self, run_id: str | None, step: int) -> None:
        """Check that a run went on at the newest checkpoint, if it came so far."""
        if run_id is None:
            self.result.started += 1
            return
        self.result.resumed += 1
        went_on = [event.step for event in self._run.events()[0] if event.type == "resumed"][self._resumes :]
        self._resumes += len(went_on)
        if went_on not in ([], [step]):
            self._problem(f"it went on at step {went_on}, though step {step} was saved")

    def _read_deaths(self) -> None:
        if self._deaths.exists():
            self.result.calls.update(self._deaths.read_text().splitlines())

    def _problem(self, words: str) -> None:
        self.result.problems.setdefault(self.result.tried, []).append(words)
        if self._last_in_save:
            self.result.problems_in_saves.add(self.result.tried)

    def _step(self) -> int:
        """Return the step of the newest whole checkpoint, 0 while there is none."""
        found = checkpoints.all_of(self._run.path) if self._run else []
        return max((checkpoints.step_of(folder) for folder in found if checkpoints.is_complete(folder)), default=0)

    def _all(self) -> list[Run]:
        folder = self._folder / "killed" / "runs"
        return [Run(path) for path in sorted(folder.glob("2*"), reverse=True)] if folder.exists() else []

    def _known(self) -> set[str]:
        return {run.id for run in self._all()}


def make_settings(folder: Path) -> str:
    """Make the tiny model and its data in `folder`, and return the settings of a run on them."""
    data = folder / "style.jsonl"
    from tests.tiny import make_style, make_tiny_model

    make_style(data)
    maker = children.start(folder / "undisturbed", make_tiny_model, folder / "model", 0, out=folder / "out.txt")
    maker.join()
    source = {"kind": "file", "name": str(data)}
    config = RunConfig().with_settings(SETTINGS | {"data.source": source, "model.id": str(folder / "model")})
    return config.to_yaml()


def make_preference_settings(folder: Path) -> str:
    """Train an adapter in `folder`, and return the settings of a run that continues it on pairs of answers."""
    before = RunConfig.from_yaml(make_settings(folder)).with_settings({"train.max_steps": SAVE_STEPS})
    child = children.start(folder / "before", children.train, before.to_yaml(), None, out=folder / "out.txt")
    child.join()
    assert child.exitcode == 0, (folder / "out.txt").read_text()
    [path] = (folder / "before" / "runs").glob("2*")
    rows = [{"prompt": f"What is {n}?", "chosen": f"Aye, {n} it be.", "rejected": f"It is {n}."} for n in range(24)]
    pairs = folder / "pairs.jsonl"
    write_json_lines(pairs, rows)
    changes = {"data.source.name": str(pairs), "train.method": "dpo", "model.adapter": str(path / "adapter")}
    return before.with_settings(changes | {"train.max_steps": STEPS}).to_yaml()


def curve(run: Run) -> dict[tuple[str, int], float]:
    """Return the training and validation losses by step, as they stand after all resumes."""
    found: dict[tuple[str, int], float] = {}
    for event in run.events()[0]:
        if event.type == "resumed":
            found = {(kind, step): loss for (kind, step), loss in found.items() if step <= event.step}
        elif event.type in ("step", "evaluated"):
            found[event.type, event.step] = event.loss
    return found


def _moment(run: Run | None) -> str:
    """Say in words what the run was doing when it was killed."""
    if run is None:
        return "creating the run"
    status = run.status()
    last_call = _last_place(run)
    if status.phase == "saving":
        return PLACES["adapter"] if last_call == "adapter" else PLACES["checkpoints"]
    if last_call == "best":
        return PLACES["best"]
    return status.phase or "waiting"


def _last_place(run: Run) -> str:
    """Name the place whose draft, or whose folder on its way out, is still there."""
    for place in ("best", "checkpoints"):
        if any((run.path / place).glob(".*")):
            return place
    done = {checkpoints.step_of(folder) for folder in checkpoints.all_of(run.path)}
    return "adapter" if STEPS in done or any(run.path.glob(".adapter.*")) else ""


def _examine(run: Run, reference: Run) -> tuple[list[str], int]:
    """Return what is wrong with a killed run's directory, and the steps that have to be done again."""
    problems = []
    status = run.status()
    if status.state is not State.INTERRUPTED:
        problems.append(f"it reads as {status.state.value}")
    whole = [checkpoints.step_of(folder) for folder in checkpoints.all_of(run.path) if checkpoints.is_complete(folder)]
    if len(whole) < len(checkpoints.all_of(run.path)):
        problems.append("a half checkpoint has a real name")
    events = run.path / "events.jsonl"
    lines = events.read_bytes().split(b"\n")[:-1] if events.exists() else []
    if any(from_line(line) is None for line in lines):
        problems.append("a line of events.jsonl cannot be read")
    logged = [event.step for event in run.events()[0] if event.type == "step"]
    newest = max(whole, default=0)
    if status.step < newest:
        problems.append(f"it reads as interrupted at step {status.step}, but step {newest} is saved")
    reached = max([status.step, *logged[-1:]])
    if reached - newest > SAVE_STEPS:
        problems.append(f"{reached - newest} steps are lost")
    for folder in (run.adapter, *(run.path / "best").glob("step-*")):
        if folder.exists() and not _is_whole_adapter(folder, reference):
            problems.append(f"{folder.name} has its name and is not whole")
    return problems, reached - newest


def _is_whole_adapter(folder: Path, reference: Run) -> bool:
    """Whether an adapter's folder has all files, and as long ones, as that of the undisturbed run."""
    sizes = [{path.name: path.stat().st_size for path in at.iterdir()} for at in (folder, reference.adapter)]
    return sizes[0] == sizes[1] and bool(load_weights((folder / "adapter_model.safetensors").read_bytes()))
