"""Open the studio: build the page and launch it for the host it is on."""

import argparse
import signal
import sys

from studio.model import hardware

hardware.prepare_process()  # before anything imports torch

from studio import gpu, presets, trash  # noqa: E402
from studio.errors import StudioError  # noqa: E402
from studio.ui import app, launch  # noqa: E402


def main() -> None:
    """Read the command line and run the page until it is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quickstart", action="store_true", help="start the quickstart run at once")
    parser.add_argument("--port", type=int, help="port to listen on (default: 7860, or the next that is free)")
    options = parser.parse_args()
    try:
        page = app.build()
        launch.launch(page, options.port, prevent_thread_lock=True)
    except StudioError as error:  # a home that cannot be written, say
        sys.exit(str(error))
    trash.empty(older_than=trash.KEPT_SECONDS)
    if options.quickstart:
        try:
            gpu.thread().start_run(presets.load(presets.QUICKSTART))
        except StudioError as error:  # a run is going on already: the page shows it
            print(error)
    for ending in (signal.SIGTERM, signal.SIGINT):  # both close the page, and pause a run; a shell's & has them ignored
        signal.signal(ending, signal.default_int_handler)
    page.block_thread()
    gpu.shutdown()


if __name__ == "__main__":
    main()
