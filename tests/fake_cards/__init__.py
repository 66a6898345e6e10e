"""Graphics cards that are not there: tensors on them have a shape, a type and a card, and no numbers.

Everything on the processor is real. What is sent to a card becomes a fake tensor (torch's `FakeTensorMode`), which
refuses to meet one of another card, as a real one does, and has the types that casting gives on a card. What is read
from a card is ones. So the code that a run takes on cards runs on any machine, unchanged.

torch needs to be told of the cards before it is imported, so this is for a process of its own; see `start`.
"""

import ctypes
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "driver.cpp"


def compiler() -> str | None:
    """Return the C++ compiler that builds the driver, or None without one."""
    return shutil.which("g++") or shutil.which("clang++")


def start(memory: list[int], *, bfloat16: bool = True) -> "Any":
    """Give this process as many cards as there are numbers in `memory` (bytes of each); returns what watches them.

    To be called before torch is imported.
    """
    assert "torch" not in sys.modules
    ctypes.CDLL(str(_driver()), ctypes.RTLD_GLOBAL)
    from tests.fake_cards.cards import Cards

    return Cards(memory, bfloat16)


def _driver() -> Path:
    """Return the compiled driver, built once for each installed torch (which it links to by path) and each source."""
    folder = Path(importlib.util.find_spec("torch").origin).parent
    version = (folder / "version.py").read_bytes()
    known = hashlib.sha256(SOURCE.read_bytes() + version + bytes(folder)).hexdigest()[:16]
    built = Path(tempfile.gettempdir()) / f"restyle-fake-cards-{known}{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    if not built.exists():
        draft = built.with_name(f"{built.name}.{id(built)}")
        libraries = folder / "lib"
        build = [compiler(), "-O0", "-std=c++20", "-shared", "-fPIC", f"-I{folder / 'include'}", str(SOURCE)]
        build += [f"-L{libraries}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{libraries}", "-o", str(draft)]
        subprocess.run(build, check=True, capture_output=True, text=True)
        draft.replace(built)
    return built
