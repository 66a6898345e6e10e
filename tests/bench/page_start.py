"""How long until the page answers, against an empty Gradio app: the two in turn, the ratio pair by pair.

    python -m tests.bench.page_start [PAIRS]

And until it can be used in a browser that is open already: Start can be pressed.
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
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent.parent
EMPTY = "import gradio as gr\nwith gr.Blocks(analytics_enabled=False) as page: pass\npage.launch(server_port={port})\n"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def seconds_to_answer(command: list[str], port: int, home: str) -> float:
    """Start a server and return the seconds until its page answers."""
    environment = os.environ | {"RESTYLE_HOME": home, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                    assert page.status == 200
                    return time.perf_counter() - began
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, "the server ended before it answered"
                time.sleep(0.02)
    finally:
        server.terminate()
        server.wait()


def seconds_to_use(browser: Any, home: str) -> float:
    """Start the studio and return the seconds until its page can be used in the browser."""
    port = free_port()
    environment = os.environ | {"RESTYLE_HOME": home, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "app.py", "--port", str(port)]
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    page = browser.new_page(locale="en-US")
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.02)
        page.goto(f"http://127.0.0.1:{port}/", timeout=120_000)
        page.get_by_role("tab", name="Train").click(timeout=120_000)
        page.get_by_role("button", name="Start", exact=True).click(trial=True, timeout=120_000)
        return time.perf_counter() - began
    finally:
        page.close()
        server.terminate()
        server.wait()


def main() -> None:
    """Measure, and print a table."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    studio, empty = [], []
    with tempfile.TemporaryDirectory() as home:
        for _ in range(pairs + 1):  # the first pair warms the disk's cache
            port = free_port()
            studio.append(seconds_to_answer([sys.executable, "app.py", "--port", str(port)], port, home))
            port = free_port()
            empty.append(seconds_to_answer([sys.executable, "-c", EMPTY.format(port=port)], port, home))
        with sync_playwright() as playwright:
            program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            usable = [seconds_to_use(browser, home) for _ in range(pairs)]
            browser.close()
    ratios = [ours / theirs for ours, theirs in zip(studio[1:], empty[1:], strict=True)]
    print("              min  median    max")
    found = {"studio, s": studio[1:], "empty app, s": empty[1:], "ratio": ratios, "usable, s": usable}
    for name, values in found.items():
        print(f"{name:12} {min(values):5.2f} {statistics.median(values):7.2f} {max(values):6.2f}")


if __name__ == "__main__":
    main()
