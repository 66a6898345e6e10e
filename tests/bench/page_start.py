"""How long until the page can be used, against an empty Gradio app: the two in turn, the ratio pair by pair.

    python -m tests.bench.page_start [PAIRS]

Measured in a browser of 1440 x 900, each time in a new profile (nothing is kept from the time before):

- from the start of the server until its page answers, and until Start can be pressed
- from the address until the first button can be pressed, with both servers running; and the processor time that the
  page's thread takes until then
- the same on a link of 1.6 Mbit/s and 300 ms
- each change of tabs, until the tab is drawn
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent.parent
EMPTY = (
    "import gradio as gr\nwith gr.Blocks(analytics_enabled=False) as page: gr.Button('Start')\n"
    "page.launch(server_port={port})\n"
)
SLOW_LINK = {"offline": False, "latency": 300, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 1.6e6 / 8}
"""Milliseconds, and bytes a second."""
PATIENCE = 240_000
"""Milliseconds that a page has for anything."""

TAB = """async name => {
  const frame = () => new Promise(requestAnimationFrame);
  const shown = () => [...document.querySelectorAll('#tabs > [role=tabpanel]')].find(panel => panel.offsetHeight > 100);
  const tab = [...document.querySelectorAll('#tabs [role=tab]')].find(tab => tab.textContent.trim() === name);
  const before = shown(), began = performance.now();
  tab.click();
  do await frame(); while (tab.ariaSelected !== 'true' || !shown() || shown() === before);
  await frame();
  return (performance.now() - began) / 1000;
}"""
"""Opens a tab, and returns the seconds until its panel is drawn in the place of the one before."""

USABLE = """names => {
  const button = [...document.querySelectorAll('button')]
    .find(button => names.includes(button.textContent.trim()) && button.offsetParent && !button.disabled);
  const box = button?.getBoundingClientRect(), place = box && [box.x, box.y, box.width, box.height].join();
  const inFront = place && document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const stands = place === window.placeBefore;
  window.placeBefore = place;
  return stands && button?.contains(inFront);
}"""
"""Whether a button with one of these names is in front, can be pressed and stands where it stood a frame before."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(command: Sequence[str], port: int, home: str) -> Iterator[float]:
    """Start a server, yield the seconds until its page answers, and end it."""
    environment = os.environ | {"RESTYLE_HOME": home, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                    assert page.status == 200
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, "the server ended before it answered"
                time.sleep(0.02)
        yield time.perf_counter() - began
    finally:
        server.terminate()
        server.wait()


def studio(home: str, port: int) -> Any:
    """Serve the studio."""
    return served([sys.executable, "app.py", "--port", str(port)], port, home)


def empty(home: str, port: int) -> Any:
    """Serve an app of one button."""
    return served([sys.executable, "-c", EMPTY.format(port=port)], port, home)


@contextmanager
def opened(browser: Browser, port: int, slow: bool = False) -> Iterator[tuple[Page, float, float]]:
    """Open a page in a new profile; yield it, and until a button could be pressed the seconds and processor seconds."""
    context = browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    tools = context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    if slow:
        tools.send("Network.enable")
        tools.send("Network.emulateNetworkConditions", SLOW_LINK)
    began = time.perf_counter()
    page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
    page.wait_for_function(
        USABLE, arg=["Start", "Try it here, in minutes"]
    )  # at each frame; a click looks twice a second
    seconds = time.perf_counter() - began
    metrics = {metric["name"]: metric["value"] for metric in tools.send("Performance.getMetrics")["metrics"]}
    try:
        yield page, seconds, metrics["TaskDuration"]
    finally:
        context.close()


def seconds_to_start(browser: Browser, home: str) -> tuple[float, float]:
    """Start the studio; return the seconds until its page answers, and until Start can be pressed in the browser."""
    began, port = time.perf_counter(), free_port()
    with studio(home, port) as answered, opened(browser, port) as (page, *_):
        page.get_by_role("tab", name="Train").click()
        page.get_by_role("button", name="Start", exact=True).click(trial=True)
        return answered, time.perf_counter() - began


def seconds_of_tabs(page: Page) -> list[float]:
    """Return the seconds that each change of tabs takes: to tabs not opened before, then to all again."""
    names = page.locator("#tabs > * [role=tab]:visible").all_inner_texts()[:5]
    return [page.evaluate(TAB, name.strip()) for name in [*names[1:], *names]]


def main() -> None:
    """Measure, and print a table."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[str, list[float]] = {}

    def note(line: str, unit: str, *values: float) -> None:
        found.setdefault(f"{line}, {unit}", []).extend(values)

    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for number in range(pairs + 1):  # the first pair warms the disk's cache
            ours, usable = seconds_to_start(browser, home)
            with empty(home, free_port()) as theirs:
                pass
            if number:
                note("server answers", "times the empty app", ours / theirs)
                note("server answers", "s", ours)
                note("from its start until Start can be pressed", "s", usable)
        port, other = free_port(), free_port()
        with studio(home, port), empty(home, other):
            for number in range(pairs + 1):
                with opened(browser, port) as (page, ours, our_thread):
                    page.wait_for_timeout(1000)
                    tabs = seconds_of_tabs(page)
                with opened(browser, other) as (_, theirs, their_thread):
                    pass
                if number:
                    note("page's thread, processor", "s", our_thread)
                    note("empty app's thread, processor", "s", their_thread)
                    note("page can be used", "times the empty app", ours / theirs)
                    note("page can be used", "s", ours)
                    note("empty app can be used", "s", theirs)
                    note("tab is drawn", "s", *tabs)
            for _ in range(pairs):
                with opened(browser, port, slow=True) as (_, ours, _):
                    pass
                with opened(browser, other, slow=True) as (_, theirs, _):
                    pass
                note("page can be used on a slow link", "times the empty app", ours / theirs)
                note("page can be used on a slow link", "s", ours)
        browser.close()
    print(f"{'':58} {'min':>6} {'median':>7} {'max':>6}")
    for name, values in found.items():
        print(f"{name:58} {min(values):6.2f} {statistics.median(values):7.2f} {max(values):6.2f}")


if __name__ == "__main__":
    main()
