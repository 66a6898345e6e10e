"""Open the studio: build the page and launch it for the host it is on."""

import argparse
import signal
import sys

from studio.model import hardware

hardware.prepare_process()  # before anything imports torch

from studio import gpu, gpu_slices, presets  # noqa: E402
from studio.errors import StudioError  # noqa: E402
from studio.files import home  # noqa: E402
from studio.remote import follow  # noqa: E402
from studio.runs import trash  # noqa: E402
from studio.ui import app, guest, hosts, launch, logins  # noqa: E402
from studio.ui.access import Door, space  # noqa: E402

if hardware.is_lent():
    gpu_slices.borrow()  # `spaces` has to come before torch, and to know its functions before the page is launched


def main() -> None:
    """Read the command line and run the page until it is closed."""
    options = _options()
    try:
        hosts.settle()
        door, told = _door(options)
        launch.open_to(door)
        page, guests = app.build(), guest.build() if door.has_guests else None
        address = "0.0.0.0" if door.kind == "space" else options.host
        launch.launch(page, options.port, guests, address, options.share, prevent_thread_lock=True)
    except StudioError as error:  # a home that cannot be written, say
        sys.exit(str(error))
    for line in told:
        print(line, flush=True)
    trash.empty(older_than=trash.KEEP_SECONDS)
    follow.follow_again()
    if options.quickstart:
        try:
            gpu.thread().start_run(presets.load(presets.QUICKSTART))
        except StudioError as error:  # a run is going on already: the page shows it
            print(error)
    for ending in (signal.SIGTERM, signal.SIGINT):  # both close the page, and pause a run; a shell's & has them ignored
        signal.signal(ending, signal.default_int_handler)
    page.block_thread()
    gpu.shutdown()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quickstart", action="store_true", help="start the quickstart run at once")
    parser.add_argument("--port", type=int, help="port to listen on (default: 7860, or the next that is free)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others than this machine's log in")
    parser.add_argument("--share", action="store_true", help="make a public link through Gradio's server; all log in")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="what a proxy serves the page as: NAME, https://NAME:PORT",
    )
    for name in (logins.OWNER, logins.GUEST):
        parser.add_argument(
            f"--{name}-password", metavar="TEXT", help=f"default: RESTYLE_{name.upper()}_PASSWORD, else one is made"
        )
    return parser.parse_args()


def _door(options: argparse.Namespace) -> tuple[Door, list[str]]:
    """Return how the page is reached, and what to print about it once."""
    if hosts.on_space():
        return space(), []
    is_open = not hosts.is_loopback(options.host)
    names = hosts.Names.here(is_open, options.allow_host, [options.host])
    if not (is_open or options.share or options.allow_host):
        return Door(names=names), []
    passwords, told, generated = {}, [], []
    for name in (logins.OWNER, logins.GUEST):
        passwords[name], made = logins.password(name, getattr(options, f"{name}_password"))
        told.append(f"* Login: {name}, password: {passwords[name] if made else '(as given)'}")
        generated += [name] * made
    return Door("logins", names, logins.Logins(passwords, generated, logins.device_key(home()))), told


if __name__ == "__main__":
    main()
