"""What a program does within limits ends at them, and what it does afterwards does not."""

import signal
import subprocess
import sys

import pytest

from studio import process_limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")


def ended(code: str) -> tuple[int, str]:
    """Return the exit code and the output of a program that has `limited`."""
    begin = f"import runpy; limited = runpy.run_path({process_limits.__file__!r})['limiter']()\n"
    done = subprocess.run([sys.executable, "-SE", "-c", begin + code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_memory_beyond_what_is_held_is_refused_inside_only():
    code = """
with limited(100_000_000):
    bytes(50_000_000)
    try:
        bytes(300_000_000)
    except MemoryError:
        print("refused")
print(len(bytes(300_000_000)))
"""
    assert ended(code) == (0, "refused\n300000000\n")


def test_too_much_time_ends_the_process_and_time_afterwards_does_not():
    busy = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
    code, _ = ended("with limited(10**9, 0.2):\n    " + busy.format(5).replace("\n", "\n    "))
    assert code == -signal.SIGPROF
    assert ended("with limited(10**9, 0.2): pass\n" + busy.format(0.4) + "print('done')") == (0, "done\n")


def test_nothing_of_the_studio_is_imported():
    assert ended("import sys; print([name for name in sys.modules if name.startswith('studio')])") == (0, "[]\n")
