"""What somebody waits for on the page, with the built-in model: the first point of a curve, and the first token.

    python -m tests.bench.page_waits [TIMES]

Measured in a browser of 1440 x 900, from the press of a button until the page shows it:

- from Start until the curve has its first point: of the first run of a process, and of the next ones
- from Compare, with another strength than before, until the first token of the adapter's answer
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.bench.page_start import PATIENCE, free_port, studio

POINT = "() => document.querySelector('#legend .key')?.offsetParent && document.querySelector('#loss svg')"
STEPS = "least => +document.querySelector('#status').textContent.match(/([0-9]+) \\/ [0-9]+/)?.[1] >= least"
STEPS_TO_COMPARE = 8
"""With the warmup of the quickstart, the first steps hardly change the base."""
NO_POINT = "() => !document.querySelector('#legend .key')"
TOKEN = """async () => {
  const frame = () => new Promise(requestAnimationFrame), begun = performance.now();
  [...document.querySelectorAll('button')].find(button => button.textContent.trim() === 'Compare').click();
  let cursor;
  do await frame(); while (!(cursor = document.querySelector('#answer-after .cursor'))
    || !cursor.parentElement.textContent.trim());
  return (performance.now() - begun) / 1000;
}"""
"""Presses Compare, and returns the seconds until a token of the new answer, which a cursor follows, is shown."""


def press(page: Page, name: str) -> None:
    """Press the button of this name once it can be pressed."""
    page.get_by_role("button", name=name, exact=True).click()


def seconds_to_point(page: Page) -> float:
    """Start the run of the form; return the seconds until its curve has a point. The run goes on."""
    start = page.get_by_role("button", name="Start", exact=True)
    start.click(trial=True)
    began = time.perf_counter()
    start.click()
    page.wait_for_function(NO_POINT)
    page.wait_for_function(POINT)
    return time.perf_counter() - began


def stop(page: Page) -> None:
    """Stop the run, and keep its adapter."""
    press(page, "Stop")
    press(page, "Stop and keep the adapter")
    page.locator('#status[data-alive="0"], #status [data-alive="0"]').first.wait_for()


def seconds_to_token(page: Page, strength: int) -> float:
    """Set another strength and compare; return the seconds from the press until the adapter's first token."""
    number = page.locator("#strength input[type=number]")
    number.fill(str(strength))
    number.press("Tab")
    page.locator("#stale").wait_for()
    seconds = page.evaluate(TOKEN)
    page.locator("#answer-after .cursor").wait_for(state="detached")
    page.locator("#proof .good").wait_for()
    return seconds


def main() -> None:
    """Measure, and print a table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found: dict[str, list[float]] = {"Start to the first point, first run of a process": []}
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        port = free_port()
        with studio(home, port):
            page = browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900}).new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"http://127.0.0.1:{port}/#train")
            page.locator("#before .parts").wait_for()  # what is imported meanwhile, a reader does not notice
            found["Start to the first point, first run of a process"].append(seconds_to_point(page))
            stop(page)
            later = found.setdefault("Start to the first point, later runs", [])
            for number in range(times):
                later.append(seconds_to_point(page))
                if number == times - 1:
                    page.wait_for_function(STEPS, arg=STEPS_TO_COMPARE)
                stop(page)
            press(page, "Compare before and after →")
            page.locator("#proof .good").wait_for()
            tokens = found.setdefault("changed strength to the first token", [])
            for strength in range(50, 50 + 10 * times, 10):
                tokens.append(seconds_to_token(page, strength))
        browser.close()
    print(f"load of the machine at the end: {Path('/proc/loadavg').read_text().split()[0]} on {os.cpu_count()} cores")
    print(f"{'seconds':58} {'min':>6} {'median':>7} {'max':>6}")
    for name, values in found.items():
        print(f"{name:58} {min(values):6.2f} {statistics.median(values):7.2f} {max(values):6.2f}")


if __name__ == "__main__":
    main()
