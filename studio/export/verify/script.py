"""Check a script: it repeats the first steps of the run."""

import contextlib
import re
import sys
import tempfile

from studio.export import script
from studio.export.verify import losses
from studio.export.verify.case import Case
from studio.export.verify.result import Verification

LOSSES = 3
"""Losses that are repeated."""
_SAID = re.compile(r"step (\d+) loss (\S+) run \S+")


def check(case: Case) -> Verification:
    """Compare the first losses of the script with those of the run; what it writes is thrown away."""
    case.host.release()
    case.going(None)
    wanted = dict(list(script.losses(case.subject.run).items())[:LOSSES])
    found: dict[int, float] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        command = [sys.executable, "-B", str(case.folder / script.NAME), "--base", str(case.subject.base.path)]
        command += ["--steps", str(max(wanted)), "--out", out]
        with contextlib.closing(case.lines(command, environment={"HF_HUB_OFFLINE": "1"})) as lines:
            for line in lines:
                case.going(len(found) / len(wanted) if found else None)
                if said := _SAID.fullmatch(line or ""):
                    found[int(said[1])] = float(said[2])
    precision = case.subject.precision
    return Verification("script", precision, losses=losses.compare(wanted, found, precision))
