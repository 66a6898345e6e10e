"""A stand-in for `python` whose processes are forked from one that has imported the libraries and never used torch.

It runs `python [options] FILE [arguments]`, `-m MODULE` or `-c CODE`, with the environment, folder and streams of its
caller, and gets the signals that its caller passes on. Nothing of the studio is imported in it.
Importing the libraries takes most of the time of such a process.
"""

import contextlib
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

CLIENT = """#!{python} -SE
import json, os, signal, socket, sys
options, arguments = [], sys.argv[1:]
while arguments[0].startswith("-") and arguments[0] not in ("-m", "-c"):
    options.append(arguments.pop(0))
    if options[-1] == "-W":
        options.append(arguments.pop(0))
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([options, arguments, os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    told = server.makefile()
    child = int(told.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    os._exit(int(told.readline() or 1))
"""


def program(folder: Path, owner: int, libraries: str) -> str:
    """Return the path of the stand-in, which all processes that name this folder share until `owner` has ended."""
    folder.mkdir(exist_ok=True)
    client = folder / "python"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not client.exists():
            address = str(folder / "socket")
            command = [sys.executable, "-P", __file__, address, str(owner), libraries]
            subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            client.write_text(CLIENT.format(python=sys.executable, address=address), encoding="utf-8")
            client.chmod(0o755)
    return str(client)


def import_training() -> None:
    """Import all that trains and compares."""
    import peft  # noqa: F401
    import transformers
    import trl

    for name in ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "PreTrainedTokenizerFast", "Trainer"):
        getattr(transformers, name)
    assert trl.SFTTrainer


def import_tables() -> None:
    """Import what reads Parquet files and renders templates; takes a tenth of what the others take."""
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # as the reader has it
    import jinja2.sandbox
    import pyarrow.compute
    import pyarrow.parquet

    assert jinja2.sandbox
    assert pyarrow.parquet


def serve(address: str, owner: int, libraries: str) -> None:
    """Import the libraries, and fork a process for each request, until `owner` has ended."""
    import_training() if libraries == "training" else import_tables()
    os.fsync = lambda descriptor: None  # as in the tests' own process
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        if os.fork():  # whoever waits for this one knows now that the other one answers
            os._exit(0)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(over := os.pidfd_open(owner), select.POLLIN)
        while over not in (number for number, _ in poll.poll()):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> None:
    """Run a program; it is killed when its caller is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as file:
        request = json.loads(file.read())
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _run(*request)
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLHUP)
    if ended not in (number for number, _ in poll.poll()):
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def _run(options: list[str], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    module, code_given = (arguments[1] if arguments[0] == option else "" for option in ("-m", "-c"))
    sys.argv = [arguments[0], *arguments[2:]] if code_given else arguments[bool(module) :]
    sys.dont_write_bytecode = "-B" in options or "PYTHONDONTWRITEBYTECODE" in environment
    if "-W" in options:
        warnings.simplefilter("error", SyntaxWarning)
    if "-P" not in options:
        sys.path.insert(0, folder if module or code_given else str(Path(arguments[0]).resolve().parent))
    code = 0
    try:
        if module:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        elif code_given:
            exec(compile(code_given, "<string>", "exec"), sys.modules["__main__"].__dict__)
        else:
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
