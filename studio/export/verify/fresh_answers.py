"""Let a fresh process (`fresh.py`) answer, and hear what it says."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from studio.export.verify.agreement import Answer
from studio.export.verify.case import Case

Heard = dict[str, list[dict[str, Any]]]
"""What it has said, by kind: see `fresh.py`."""


def heard(case: Case, request: dict[str, Any], count: int) -> Heard:
    """Return what it says to a request to which it has to give `count` answers; raises ExportError when it cannot."""
    program = Path(__file__).with_name("fresh.py")
    told: Heard = {}
    command = [sys.executable, "-B", "-P", str(program)]
    with contextlib.closing(case.lines(command, json.dumps(request))) as lines:
        for line in lines:
            done = len(told.get("answer", ()))
            case.going(done / count if done else None)
            if line and line.startswith('{"kind"'):
                said = json.loads(line)
                told.setdefault(said.pop("kind"), []).append(said)
    if len(told.get("answer", ())) != count:
        raise case.does_not_load(f"{len(told.get('answer', ()))} / {count}")
    return told


def answers(told: Heard) -> tuple[Answer, ...]:
    """Return the answers."""
    return tuple(Answer(*(tuple(one[name]) for name in ("ids", "second", "gap"))) for one in told["answer"])
