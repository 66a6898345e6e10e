"""All that is measured for the README, one after the other, in under 40 minutes on two idle cores.

    python -m tests.bench [FILE]

The output goes to `results.md` beside this file, or to FILE; `training` writes its table and picture too.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PARTS = (
    ("training",),
    ("overhead", "24", "3"),
    ("following", "30"),
    ("following", "15", "--training"),
    ("growth",),
    ("page_start", "3"),
    ("page_waits",),
    ("many_runs",),
    ("decoding",),
)
"""Modules beside this file, with what they are given."""


def main() -> None:
    """Measure, and write what was said."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results.md"
    began, told = time.monotonic(), []
    for name, *given in PARTS:
        print(f"{name} …", flush=True)
        started = time.monotonic()
        command = [sys.executable, "-m", f"tests.bench.{name}", *given]
        made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.monotonic() - started
        told.append(f"## {' '.join([name, *given])}, {seconds:.0f} s\n\n```\n{made.stdout.strip()}\n```\n")
        target.write_text("\n".join(told), encoding="utf-8")
    print(f"{(time.monotonic() - began) / 60:.0f} minutes, in {target}")


if __name__ == "__main__":
    main()
