"""What a run imports, imported once: the processes of these tests are forked after it, and start at once."""

import logging
import os
from multiprocessing import resource_tracker

resource_tracker.register = lambda *_: None  # a killed process gives nothing back, which is no news here
os.fsync = lambda descriptor: None  # what is killed has written all that it wrote
logging.disable(logging.WARNING)  # libraries that miss an optional part say so at import

import datasets  # noqa: E402, F401
import peft  # noqa: E402, F401
import trl  # noqa: E402, F401

logging.disable(logging.NOTSET)
