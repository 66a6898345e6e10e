"""What the tests share: a home of their own, a tiny model that is real, and a browser."""

import gc
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import make_config, make_style, make_tiny_model

from studio.model.hardware import prepare_process

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # tests share the cores with each other and with browsers
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a tiny model's operations are too short to be shared out
prepare_process()
os.environ["COLUMNS"] = "300"  # lines of the command line stay whole; a console reads it when it is made
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the Hub; those about its absence say so themselves
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Two servers that begin at once would find the same port free.
os.environ["GRADIO_SERVER_PORT"] = str(7900 + 100 * WORKER)  # not the value that a worker gets from the first process
os.fsync = lambda descriptor: None  # a tiny run waits 126 times for the disk, as long as it computes

WITH_BROWSER = pytest.StashKey[set[Path]]()
"""The files that have a test in a browser."""
SHARED_BROWSER = pytest.StashKey["SharedBrowser"]()

DEAR = ("ui", "remote", "faults", "tests", "export", "train", "compare", "evaluate", "style", "generation", "attacks")
"""Folders whose files take longest: begun first, so that no process is left with one when the others are done."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files with a browser first, then the dear ones; the order within a file stays."""
    folders = {name: place for place, name in enumerate(DEAR)}
    with_browser = {item.path for item in items if "browser" in getattr(item, "fixturenames", ())}
    config.stash[WITH_BROWSER] = with_browser
    items.sort(key=lambda item: (item.path not in with_browser, folders.get(item.path.parent.name, len(DEAR))))


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_reaches_children() -> Iterator[None]:
    """Let the processes that tests start take SIGINT, wherever the suite was started.

    A shell starts what stands before `&` with SIGINT ignored, and a process passes that on to all that it starts.
    What a process handles is not passed on.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Iterator[Path]:
    """A home that belongs to one test; a run that a failed test leaves alive does not keep the next one waiting."""
    from studio import runs

    folder = tmp_path / "home"
    monkeypatch.setenv("RESTYLE_HOME", str(folder))
    yield folder
    if (folder / "runs").is_dir():
        monkeypatch.undo()  # what the test has put in the way
        monkeypatch.setenv("RESTYLE_HOME", str(folder))
        for run in runs.alive_runs():
            run.request("cancel")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request) -> Path:
    """A cache that belongs to one test; slow tests keep the user's, where the built-in model is."""
    folder = tmp_path / "cache"
    if "slow" not in request.keywords:
        monkeypatch.setenv("RESTYLE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of a random Llama with two layers and a byte-level ChatML tokenizer; made in under a second.

    What is imported for a training stays for good: each run collects its garbage twice, and need not look through that.
    """
    import studio.train.trainer  # noqa: F401

    gc.collect()
    gc.freeze()
    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"), seed=0)


@pytest.fixture
def warm_python(tmp_path_factory, monkeypatch) -> None:
    """Let the programs that this process starts with `sys.executable` begin with the libraries imported.

    Its processes are forked from one that all workers share.
    """
    if sys.platform != "linux":  # elsewhere they import what they need
        return
    import warm_python

    in_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if in_worker else base) / "warm-python"
    program = warm_python.program(folder, os.getppid() if in_worker else os.getpid())
    monkeypatch.setattr(sys, "executable", program)


@pytest.fixture
def here(capsys, monkeypatch):
    """Run the command line in this process, where torch is imported already; as `subprocess.run` does in another."""

    def run(*arguments: str, input: str = "") -> subprocess.CompletedProcess:
        from studio import cli

        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        monkeypatch.setattr(sys, "argv", ["studio", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(input))
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def style_file(tmp_path) -> Path:
    """A data set of 24 short rows, instruction and output."""
    return make_style(tmp_path / "style.jsonl")


@pytest.fixture
def tiny_config(tiny_model, style_file):
    """The settings of a run that takes a second."""
    return make_config(tiny_model, style_file)


@pytest.fixture(scope="session")
def finished_home(tiny_model, tmp_path_factory) -> Path:
    """A home with one finished run, which kept six rows from its training and two checkpoints; to be copied."""
    from following import wait_until_over

    from studio import gpu

    folder = tmp_path_factory.mktemp("finished")
    settings = {
        "train.max_steps": 30,
        "train.save": "steps",
        "train.save_steps": 15,
        "data.validation": {"kind": "fraction", "fraction": 0.25},
    }
    config = make_config(tiny_model, make_style(folder / "style.jsonl")).with_settings(settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RESTYLE_HOME", str(folder / "home"))
        patched.setenv("RESTYLE_CACHE", str(folder / "cache"))
        wait_until_over(gpu.thread().start_run(config))
    return folder / "home"


@pytest.fixture
def finished_run(finished_home, home):
    """A finished run of this test's own: a copy of one that was trained once for all tests."""
    from studio import runs

    shutil.copytree(finished_home, home, dirs_exist_ok=True)
    return runs.find("last")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program: `CHROMIUM`, else the first that is installed."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found and Path(found).exists():
        return found
    reason = f"no Chromium: set CHROMIUM to its path, or install one of {', '.join(CHROMIUM)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    return pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_browser(chromium, pytestconfig):
    """This process's Chromium, which starts when it is first needed."""
    from browsing import SharedBrowser

    shared = pytestconfig.stash[SHARED_BROWSER] = SharedBrowser(chromium)
    yield shared
    shared.close()


@pytest.fixture(autouse=True, scope="module")
def no_event_loop_of_a_browser(request) -> None:
    """End the browser before a file that does not use it: while it runs, this thread has a running event loop.

    A test that calls `asyncio.run` would fail. The files with a browser come first, so it seldom starts again.
    """
    shared = request.config.stash.get(SHARED_BROWSER, None)
    if shared is not None and request.path not in request.config.stash[WITH_BROWSER]:
        shared.close()


@pytest.fixture
def browser(shared_browser):
    """A Chromium without a window; what the test leaves open in it is closed."""
    yield shared_browser.ready()
    shared_browser.close_contexts()


@pytest.fixture
def hub_stand_in(tmp_path, monkeypatch, tiny_model):
    """A stand-in for the Hub that holds the tiny model, with a cache of its own."""
    import hub_stand_in

    with hub_stand_in.serve() as hub:
        hub_stand_in.use(hub, tmp_path / "huggingface", monkeypatch)
        hub.add("someone/tiny", tiny_model)
        yield hub
