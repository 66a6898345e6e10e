"""What the tests of exports share."""

import os
import subprocess
import sys
from pathlib import Path

from tiny import make_tiny_model

from studio import gpu
from studio.compare.columns import ADAPTED, CompareRequest
from studio.config import GenerationConfig
from studio.files import write_json_lines

GREEDY = GenerationConfig(max_new_tokens=12, temperature=0.0)
TEMPLATE = "### q: {instruction}\n### a: {output}"


def without_chat_template(folder: Path) -> dict[str, str]:
    """Make a tiny model without a chat template; return the settings of a run on it."""
    make_tiny_model(folder, seed=3, chat_template=None)
    return {"model.id": str(folder), "data.prompt.template": TEMPLATE}


def two_columns(folder: Path) -> dict[str, object]:
    """Return the settings of a run whose prompt has two columns, on a base without a chat template."""
    path = folder / "songs.jsonl"
    rows = [{"title": f"t{n}", "genre": "folk", "lyrics": f"la {n}"} for n in range(12)]
    write_json_lines(path, rows)
    return {
        **without_chat_template(folder / "base"),
        "data.source.name": str(path),
        "data.prompt.template": "{genre}: {title}\n{lyrics}",
        "data.mapping": {"shape": "pair", "prompt": ["title", "genre"], "completion": "lyrics"},
    }


def answer(run, prompt, settings=GREEDY):
    """Return the adapter's answer as the studio gives it."""
    made = gpu.thread().compare(CompareRequest(run.id, (prompt,), settings, (ADAPTED,))).result()
    return made.answers[0][0]


def fresh(script: Path, *arguments: str) -> str:
    """Run an exported script in a process of its own that knows no studio, and return what it prints."""
    environment = {name: held for name, held in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-W", "error::SyntaxWarning", str(script), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=script.parent, env=environment, timeout=280, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
