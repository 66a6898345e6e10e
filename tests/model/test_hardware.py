"""What is set for the whole process."""

import gc
import os
import platform
import subprocess
import sys
import threading
import time
import weakref

import pytest

from studio.model import hardware

PASSES = """
import resource, sys
from studio.model import hardware
if sys.argv[1] == "prepared":
    hardware.prepare_process()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(2**26)
before = faults()
for _ in range(20):
    bytearray(2**25)
passed = faults() - before
hardware.release_memory()
before = faults()
bytearray(2**25)
print(passed, faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_kept_for_the_next_pass_until_it_is_given_back():
    def faults(how):
        environment = {name: held for name, held in os.environ.items() if not name.startswith("MALLOC_")}
        told = subprocess.run([sys.executable, "-c", PASSES, how], capture_output=True, text=True, env=environment)
        return [int(number) for number in told.stdout.split()]

    (kept, given_back), (anew, _) = faults("prepared"), faults("plain")
    assert kept < anew / 4
    assert given_back > 8  # huge pages of 2 MB would be sixteen


def test_garbage_is_freed_although_another_thread_is_collecting():
    begun = threading.Event()

    class Garbage:
        def __init__(self):
            self.itself = self

    class Slow(Garbage):
        def __del__(self):
            begun.set()
            time.sleep(0.5)

    Slow()
    other = threading.Thread(target=gc.collect)
    other.start()
    assert begun.wait(10)
    left = weakref.ref(Garbage())
    hardware.release_memory()
    assert left() is None
    other.join()
