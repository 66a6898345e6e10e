"""The libraries of a training are imported once, whichever thread asks first."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_a_page_that_has_shown_its_rows_begins_the_imports_of_a_training():
    program = (
        "import sys, threading; from studio.model import libraries;"
        "from studio.model.hardware import prepare_process; prepare_process();"
        "assert 'torch' not in sys.modules; libraries.begin(); libraries.begin();"
        "[thread] = [each for each in threading.enumerate() if each.name == 'libraries'];"
        "libraries.require(); thread.join();"
        "before = set(sys.modules); import studio.train.trainer, gc;"
        "print(gc.get_freeze_count() > 100_000, sorted(name for name in set(sys.modules) - before"
        " if name.partition('.')[0] in ('torch', 'transformers', 'peft', 'trl', 'accelerate', 'datasets')))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("True [")
    assert done.stdout.count(",") < 10, done.stdout  # little is left to import
