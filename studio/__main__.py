"""Run the command line: `python -m studio`."""

import atexit
import contextlib
import os
import sys

code = 1


@atexit.register  # before all others, so it runs after them, and after all threads
def _end() -> None:
    """Leave the process as it is: Python would take torch's modules apart for another second."""
    with contextlib.suppress(OSError, ValueError):  # whoever reads it has gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


from studio.cli import main  # noqa: E402

try:
    main()
    code = 0
except SystemExit as ended:
    code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    raise
