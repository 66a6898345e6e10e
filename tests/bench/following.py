"""Measure what it costs to follow a run: two pages on a run of 50,000 events that goes on.

    python -m tests.bench.following [SECONDS] [--training]

The page's ticks, and what it asks when they have found news, are recorded once from a browser, which is closed then;
two clients replay them over HTTP every two seconds, as the page does, while another process writes 10 steps a second
into the run. Printed are the payload and the time of a tick's answers, the processor time of the server with and
without clients, and what a tick without news sends.
With `--training`, a run of the built-in model in the server's process is timed in windows, in turn with and without the
two clients. Not a test.
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from studio import runs
from studio.config import RunConfig
from studio.events import Evaluated, Step
from studio.runs import RunWriter, State
from tests.bench.page_start import ROOT, free_port

EVENTS, CLIENTS, EVERY, RATE = 50_000, 2, 2.0, 10
TOTAL = 60_000
PAIRS = 6
TRAINING = """
import sys
from studio.model import hardware
hardware.prepare_process()
from studio import gpu, presets
from studio.ui import app, launch
page = app.build()
launch.launch(page, int(sys.argv[-1]), prevent_thread_lock=True)
settings = {"train.max_steps": 100000, "train.batch_size": 1, "train.save": "no", "train.eval_steps": 100000}
gpu.thread().start_run(presets.load(presets.QUICKSTART).with_settings(settings))
page.block_thread()
"""
"""The studio's server, with a long run of short steps of the built-in model in its process."""


def step(number: int) -> Step:
    """Return the event of one step."""
    return Step(
        step=number,
        total=TOTAL,
        epoch=number / TOTAL,
        loss=3.0 / (1 + number / 9_000) + secrets.randbelow(1000) / 4_000,
        learning_rate=2e-4 * (1 - number / TOTAL),
        grad_norm=0.5 + secrets.randbelow(1000) / 1_000,
        tokens=480 * number,
    )


def make_run() -> RunWriter:
    """Make a run that has 50,000 events behind it."""
    from studio.events import to_line

    run = runs.create(RunConfig())
    run.enter(State.TRAINING, phase="training", total=TOTAL, started=time.time())
    with open(run.path / "events.jsonl", "a", encoding="utf-8") as file:
        for number in range(1, EVENTS + 1):
            file.write(to_line(step(number)))
            if number % 100 == 0:
                file.write(to_line(Evaluated(step=number, loss=2.0)))
    run.update(step=EVENTS)
    return run


def write_on(run: RunWriter, over: threading.Event) -> None:
    """Go on with the run, and with its signs of life."""
    from studio.train import heartbeat

    number = run.status().step
    with heartbeat.writing(run):
        while not over.wait(1 / RATE):
            number += 1
            run.emit(step(number))
            if number % 100 == 0:
                run.emit(Evaluated(step=number, loss=2.0))
            run.update(step=number)


class Server:
    """The studio's server in a process of its own."""

    def __init__(self, home: str, program: Sequence[str] = ("app.py",)):
        self.port = free_port()
        environment = os.environ | {"RESTYLE_HOME": home, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, *program, "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                httpx.get(self.url, timeout=5)
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise SystemExit("the server did not answer")

    def cpu(self) -> float:
        """Return the processor seconds that the server has used."""
        used = psutil.Process(self.process.pid).cpu_times()
        return used.user + used.system

    def close(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Tick:
    """What a page asks at each tick, and what it asks then if a state (by its id) has changed."""

    opening: list[dict]
    """What it asked before, as it was opened."""
    looks: list[dict]
    shows: dict[int, dict]


def recorded(url: str, news: bool = True) -> Tick:
    """Open the page in a browser, wait until its clock has ticked a few times, and return the requests of a tick."""
    from playwright.sync_api import sync_playwright

    asked: dict[int, list[dict]] = {}
    states = {
        target
        for event in httpx.get(f"{url}/config").json()["dependencies"]
        for target, kind in event["targets"]
        if kind == "change"
    }

    def of_clock() -> tuple[list[list[dict]], dict[int, dict]]:
        """Return what the clock has asked, and the last request of each change of a state."""
        clocks = [found for found in asked.values() if found[-1]["trigger_id"] not in states and len(found) > 1]
        return clocks, {
            found[-1]["trigger_id"]: found[-1] for found in asked.values() if found[-1]["trigger_id"] in states
        }

    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()

        def note(request: Any) -> None:
            if "/queue/join" in request.url:
                asked.setdefault(request.post_data_json["fn_index"], []).append(request.post_data_json)

        page.on("request", note)
        page.goto(url, timeout=120_000)
        deadline = time.monotonic() + 180
        while True:
            looks, shows = of_clock()
            if looks and bool(shows) >= news and all(len(found) > 3 for found in looks):
                break
            assert time.monotonic() < deadline, {index: len(found) for index, found in asked.items()}
            page.wait_for_timeout(500)
        browser.close()
    ticking = [found[-1]["fn_index"] for found in [*looks, *([last] for last in shows.values())]]
    opening = [found[0] for index, found in asked.items() if index not in ticking]
    return Tick(opening, [found[-1] for found in looks], shows)


class Page:
    """A client that asks what a page asks; its session has what a page's has that was just opened."""

    def __init__(self, url: str, tick: Tick):
        self.client = httpx.Client(base_url=url + "/gradio_api", timeout=60)
        self.session = secrets.token_hex(6)
        self.times: list[float] = []
        self.sizes: list[int] = []
        self.news: list[bool] = []
        for request in tick.opening:
            self.ask(request)

    def ask(self, request: dict) -> tuple[int, list[int]]:
        """Ask once and wait for the answer; return its bytes, and the ids of the states that it has changed."""
        self.client.post("/queue/join", json=request | {"session_hash": self.session}).raise_for_status()
        size, changed = 0, []
        with self.client.stream("GET", "/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                size += len(line.encode())
                if "process_completed" in line:
                    told = json.loads(line.removeprefix("data: "))
                    assert told["success"], line[:500]
                    changed = told["output"].get("changed_state_ids") or []
                if "close_stream" in line:
                    break
        return size, changed

    def tick(self, tick: Tick) -> None:
        """Ask what a tick asks, and note what came until all of it was shown."""
        began, size, shown = time.perf_counter(), 0, 0
        due = list(tick.looks)
        while due:
            told, changed = self.ask(due.pop(0))
            size += told
            found = [tick.shows[state] for state in changed if state in tick.shows]
            shown += len(found)
            due = found + due
        self.times.append(time.perf_counter() - began)
        self.sizes.append(size)
        self.news.append(shown > 0)


def follow(pages: list[Page], tick: Tick, seconds: float) -> None:
    """Let all pages tick for some time."""

    def go(page: Page, shift: float) -> None:
        time.sleep(shift)
        due = time.monotonic()
        end = due + seconds
        while due < end:
            page.tick(tick)
            due += EVERY
            time.sleep(max(0.0, due - time.monotonic()))

    threads = [threading.Thread(target=go, args=(page, number * 0.7)) for number, page in enumerate(pages)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(seconds: float) -> None:
    """Measure ticks with and without news."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["RESTYLE_HOME"] = home
        run = make_run()
        over = threading.Event()
        writer = threading.Thread(target=write_on, args=(run, over))
        writer.start()
        server = Server(home)
        try:
            tick = recorded(server.url)
            pages = [Page(server.url, tick) for _ in range(CLIENTS)]
            follow(pages, tick, 6)  # warm
            for page in pages:
                page.times, page.sizes, page.news = [], [], []
            before, began = server.cpu(), time.monotonic()
            time.sleep(seconds / 2)
            alone = (server.cpu() - before) / (time.monotonic() - began) * 60
            before, began = server.cpu(), time.monotonic()
            follow(pages, tick, seconds)
            used = (server.cpu() - before) / (time.monotonic() - began) * 60
            times = sorted(1000 * took for page in pages for took in page.times)
            sizes = sorted(size for page in pages for size in page.sizes)
            print(f"run of {EVENTS:,} events, {RATE} steps/s written, {CLIENTS} clients, {len(times)} ticks")
            print(f"payload, KB      median {statistics.median(sizes) / 1e3:6.1f}   most {sizes[-1] / 1e3:6.1f}")
            print(
                f"answer, ms       median {statistics.median(times):6.0f}   p95  {times[int(0.95 * len(times))]:6.0f}"
            )
            print(f"server, CPU s/min  {used:5.2f}   without clients {alone:.2f}   beyond {used - alone:.2f}")
        finally:
            over.set()
            writer.join()
        run.enter(State.PAUSED)
        try:
            tick = recorded(server.url, news=False)
            pages = [Page(server.url, tick) for _ in range(CLIENTS)]
            follow(pages, tick, 4)
            for page in pages:
                page.times, page.sizes, page.news = [], [], []
            before, began = server.cpu(), time.monotonic()
            follow(pages, tick, seconds / 2)
            used = (server.cpu() - before) / (time.monotonic() - began) * 60
            sizes = [size for page in pages for size in page.sizes]
            news = sum(sum(page.news) for page in pages)
            print(
                f"without news: {news} of {len(sizes)} ticks showed something; {max(sizes)} bytes; CPU s/min {used:.2f}"
            )
        finally:
            server.close()


def measure_training(seconds: float) -> None:
    """Compare the speed of a training in turn with and without two pages on it, in windows of `seconds`."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["RESTYLE_HOME"] = home
        server = Server(home, ["-c", TRAINING])
        try:
            tick = recorded(server.url)
            run = runs.find("last")
            while run.status().step < 20:
                assert run.status().state.alive, run.status()
                time.sleep(1)
            speeds: dict[bool, list[float]] = {False: [], True: []}
            for number in range(2 * PAIRS):
                followed = number % 4 in (1, 2)  # without, with, with, without: what drifts is on both sides
                pages = [Page(server.url, tick) for _ in range(CLIENTS)] if followed else []
                offset, began = run.events()[1], time.time()
                follow(pages, tick, seconds)
                time.sleep(max(0.0, began + seconds - time.time()))
                steps = [event for event in run.events(offset)[0] if event.type == "step"]
                speeds[followed].append((len(steps) - 1) / (steps[-1].at - steps[0].at))
                assert run.status().state.alive, "the run was too short"
            pairs = [1 - to / without for without, to in zip(speeds[False], speeds[True], strict=True)]
            print(f"steps/s without {_listed(speeds[False])}   with {_listed(speeds[True])}")
            print(f"slower by, %  median {100 * statistics.median(pairs):.1f}   of {_listed(100 * p for p in pairs)}")
        finally:
            server.close()


def _listed(values: Iterable[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def main() -> None:
    """Measure, and print."""
    seconds = next((float(given) for given in sys.argv[1:] if given.isdigit()), 60.0)
    if "--training" in sys.argv:
        measure_training(seconds)
    else:
        measure(seconds)


if __name__ == "__main__":
    main()
