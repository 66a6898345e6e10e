"""The libraries of a training are imported once, whichever thread asks first."""

import subprocess
import sys
import threading
from pathlib import Path

from studio.config import ModelConfig
from studio.model import libraries, load

ROOT = Path(__file__).parent.parent.parent


def test_a_page_that_has_shown_its_rows_begins_the_imports_of_a_training():
    program = (
        "import sys, threading; from studio.model import libraries;"
        "from studio.model.hardware import prepare_process; prepare_process();"
        "assert 'torch' not in sys.modules; libraries.begin(); libraries.begin();"
        "[thread] = [each for each in threading.enumerate() if each.name == 'libraries'];"
        "import gc; before = gc.get_stats()[2]['collections'];"
        "libraries.require(); thread.join(); assert gc.isenabled() and libraries.are_imported();"
        "assert gc.get_stats()[2]['collections'] == before;"
        "before = set(sys.modules); import studio.train.trainer;"
        "print(gc.get_freeze_count() > 100_000, sorted(name for name in set(sys.modules) - before"
        " if name.partition('.')[0] in ('torch', 'transformers', 'peft', 'trl', 'accelerate', 'datasets')))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("True [")
    assert done.stdout.count(",") < 10, done.stdout  # little is left to import


def test_a_model_is_hashed_and_its_tokenizer_tried_while_libraries_are_imported(tiny_model, monkeypatch):
    threads = []

    def note(name, result=None):
        def called(*_):
            threads.append((name, threading.current_thread().name))
            return result

        return called

    monkeypatch.setattr(load, "check_tokenizer", note("tokenizer"))
    monkeypatch.setattr(load, "_hash_files", note("hash", "0"))
    with load.examined_meanwhile(ModelConfig(id=str(tiny_model))):
        pass
    assert not threads  # nothing is imported any more, so nothing would be gained
    monkeypatch.setattr(libraries, "are_imported", lambda: False)
    with load.examined_meanwhile(ModelConfig(id=str(tiny_model))):
        pass
    assert threads == [("tokenizer", "examine-model"), ("hash", "examine-model")]
    with load.examined_meanwhile(ModelConfig(id=str(tiny_model / "gone"))):  # an error of where it is needed
        pass
