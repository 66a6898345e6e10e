"""Record real curves for the tests of the diagnosis: short runs of the built-in and of a tiny random model.

Run with `python -m tests.train.curves.record [NAME …]` from the repository's root. Each run is made by the command line
in a home of its own; what its events hold goes into a JSON file beside this one. The built-in model takes two to five
minutes a run on two cores.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from studio.events import Evaluated, Resumed, Step
from studio.runs import Run
from tests.tiny import make_tiny_model

HERE = Path(__file__).parent
VALIDATED = {"data.validation.kind": "fraction", "train.eval_steps": 10, "train.save": "no"}
TWELVE = {**VALIDATED, "data.limit": 24, "data.validation.fraction": 0.5, "train.batch_size": 4, "train.save": "no"}
TINY = {"model.precision": "float32", "lora.layers": "all", "train.save": "no"}

RECIPES = {
    # The quickstart as it is, with rows kept back; then with its rate multiplied and divided by 100.
    "good": VALIDATED,
    "rate-too-high": {**VALIDATED, "train.learning_rate": 0.18},
    "rate-too-low": {**VALIDATED, "train.learning_rate": 1.8e-5},
    # Twelve rows, forty times: learned by heart.
    "over-fitting": {**TWELVE, "train.epochs": 40},
    # The same rate, but a tenth of the steps, without the schedule that slows down at the end.
    "too-few-steps": {"train.max_steps": 16, "train.schedule": "constant_with_warmup", "train.save": "no"},
    "five-steps": {"train.max_steps": 5, "train.save": "no"},
    # The tiny model: random weights, one token a byte. An adapter learns which bytes are frequent, and no more.
    "tiny-plateau": {**TINY, "train.learning_rate": 1e-2, "train.epochs": 8},
    "tiny-broken": {**TINY, "train.learning_rate": 1.0, "train.epochs": 8},
    "tiny-batch-of-one": {**TINY, "train.learning_rate": 1e-2, "train.batch_size": 1, "train.epochs": 2},
    "tiny-logged-every-ten": {**TINY, "train.learning_rate": 1e-2, "train.logging_steps": 10, "train.epochs": 8},
}
TINY_NAMES = [name for name in RECIPES if name.startswith("tiny-")]


def record(name: str) -> None:
    """Make the run called `name` and write what its events hold."""
    with tempfile.TemporaryDirectory() as home:
        settings = dict(RECIPES[name])
        if name in TINY_NAMES:
            settings["model.id"] = str(make_tiny_model(Path(home) / "tiny", seed=0))
        sets = [part for path, value in settings.items() for part in ("--set", f"{path}={json.dumps(value)}")]
        command = [sys.executable, "-m", "studio", "train", "quickstart", *sets]
        subprocess.run(command, env={**os.environ, "RESTYLE_HOME": home}, check=False)
        run = Run(next((Path(home) / "runs").glob("2*")))
        (HERE / f"{name}.json").write_text(as_json(run, name), encoding="utf-8")


def as_json(run: Run, name: str) -> str:
    """Return a run's curve: settings on top of the quickstart's, and one short row for each logged step."""
    events = run.events()[0]
    head = {
        "made": f"python -m tests.train.curves.record {name}",
        "settings": RECIPES[name],
        "state": run.status().state.value,
        "total": run.status().total,
        "broke": error.values["step"] if (error := run.status().error) else None,
        "columns": ["step", "epoch", "loss", "learning_rate", "grad_norm"],
    }
    steps = [
        [
            e.step,
            round(e.epoch, 4),
            round(e.loss, 5),
            float(f"{e.learning_rate:.5g}"),
            e.grad_norm and round(e.grad_norm, 4),
        ]
        for e in events
        if isinstance(e, Step)
    ]
    assert not any(isinstance(e, Resumed) for e in events)
    checks = [[e.step, round(e.loss, 5)] for e in events if isinstance(e, Evaluated)]
    rows = ",\n".join(json.dumps(row) for row in steps)
    text = json.dumps(head, indent=1)[:-2]
    return f'{text},\n "steps": [\n{rows}\n ],\n "validation": {json.dumps(checks)}\n}}\n'


if __name__ == "__main__":
    for asked in sys.argv[1:] or RECIPES:
        record(asked)
