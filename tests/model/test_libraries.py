"""The libraries of a training are imported once, whichever thread asks first."""

import importlib.metadata
import subprocess
import sys
import threading
from pathlib import Path

from studio.config import ModelConfig
from studio.model import libraries, load

ROOT = Path(__file__).parent.parent.parent


def test_a_page_that_has_shown_its_rows_begins_the_imports_of_a_training():
    program = (
        "import importlib.metadata as metadata; real, calls = metadata.packages_distributions, [];"
        "metadata.packages_distributions = lambda: calls.append(1) or real();"
        "import sys, threading; from studio.model import libraries;"
        "from studio.model.hardware import prepare_process; prepare_process();"
        "assert 'torch' not in sys.modules; libraries.begin(); libraries.begin();"
        "[thread] = [each for each in threading.enumerate() if each.name == 'libraries'];"
        "import gc; before = gc.get_stats()[2]['collections'];"
        "libraries.require(); thread.join(); assert gc.isenabled() and libraries.are_imported();"
        "assert gc.get_stats()[2]['collections'] == before;"
        "assert 'scipy.optimize' not in sys.modules and not calls, 'see libraries._import_losses, _Distributions';"
        "import transformers.utils; assert transformers.utils.is_scipy_available();"
        "assert sys.modules['trl.import_utils'].PACKAGE_DISTRIBUTION_MAPPING['trl'] == ['trl'] and not calls;"
        "before = set(sys.modules); import studio.train.trainer;"
        "print(gc.get_freeze_count() > 100_000, sorted(name for name in set(sys.modules) - before"
        " if name.partition('.')[0] in ('torch', 'transformers', 'peft', 'trl', 'accelerate', 'datasets')))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("True [")
    assert done.stdout.count(",") < 10, done.stdout  # little is left to import


def test_a_package_has_the_distribution_of_its_name_and_else_all_that_bring_it():
    known = importlib.metadata.packages_distributions()
    names = libraries._Distributions()
    assert all(name in known[name] and names[name] == [name] for name in ("torch", "trl", "numpy"))
    assert names["PIL"] == known["PIL"] != ["PIL"]
    assert names.get("no_such_package") is None
    assert set(names) == set(known)


def test_a_model_is_hashed_and_its_tokenizer_tried_while_libraries_are_imported(tiny_model, monkeypatch):
    threads = []

    def note(name, result=None):
        def called(*_):
            threads.append((name, threading.current_thread().name))
            return result

        return called

    monkeypatch.setattr(load, "check_tokenizer", note("tokenizer"))
    monkeypatch.setattr(load.template, "check", note("template"))
    monkeypatch.setattr(load, "_hash_files", note("hash", "0"))
    with load.examined_meanwhile(ModelConfig(id=str(tiny_model))):
        pass
    assert not threads  # nothing is imported any more, so nothing would be gained
    monkeypatch.setattr(libraries, "are_imported", lambda: False)
    with load.examined_meanwhile(ModelConfig(id=str(tiny_model))):
        pass
    assert threads == [(name, "examine-model") for name in ("tokenizer", "template", "hash")]
    with load.examined_meanwhile(ModelConfig(id=str(tiny_model / "gone"))):  # an error of where it is needed
        pass
