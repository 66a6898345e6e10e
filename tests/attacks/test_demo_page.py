"""The demo that a Space gets, and the guests' page, show hostile names as text in a real browser."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace

import httpx
import pytest
from playwright.sync_api import expect
from test_guest_page import HOSTILE
from visitors import log_in

from studio import gpu
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest
from studio.export.request import ExportRequest
from studio.runs import metadata

pytestmark = pytest.mark.timeout(300)


def compared(run, prompt):
    """Keep a comparison of a run whose answers hold markup; returns it."""
    made = gpu.thread().compare(CompareRequest(run.id, (prompt,), run.config().generation, (BASE, ADAPTED))).result()
    sides = tuple(tuple(replace(side, text=f"{HOSTILE} **x**") for side in row) for row in made.answers)
    changed = replace(made, answers=sides)
    comparison_history.save(run, changed)
    return changed


@pytest.mark.long
def test_no_name_prompt_or_answer_runs_in_the_demo_of_a_space(finished_run, browser, tmp_path, tiny_model, warm_python):
    metadata.rename(finished_run, HOSTILE[:60])
    compared(finished_run, HOSTILE)
    ids = tuple(one.id for one in comparison_history.load_all(finished_run))
    request = ExportRequest(finished_run.id, "space", tmp_path / "space", comparisons=ids)
    folder = gpu.thread().export(request).result().folder
    demo = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    assert HOSTILE in demo["recorded"][0]["prompt"]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    variables = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "LIVE": "on"}
    variables |= {"BASE": str(tiny_model), "HF_HUB_OFFLINE": "1"}
    page = browser.new_page()
    with subprocess.Popen([sys.executable, "-P", "app.py"], cwd=folder, env=os.environ | variables) as app:
        try:
            wait_for(f"http://127.0.0.1:{port}", app)
            page.goto(f"http://127.0.0.1:{port}")
            expect(page.locator("h1").first).to_contain_text("<img src=x")
            expect(page.get_by_role("radio").first).to_be_visible()
            page.get_by_role("checkbox").check()
            page.get_by_role("button", name=demo["words"]["ask"], exact=True).click()
            expect(page.get_by_text(demo["words"]["live"])).to_be_visible()
            assert page.evaluate("window.taken") is None
            assert page.locator("img[src=x]").count() == 0
        finally:
            page.close()
            app.kill()


def wait_for(url, app):
    until = time.monotonic() + 120
    while app.poll() is None and time.monotonic() < until:
        try:
            httpx.get(url, timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    pytest.fail("the demo did not start")


@pytest.mark.long
def test_no_name_of_an_adapter_from_outside_runs_on_the_guests_page(shared, two_runs, browser):
    run = two_runs.published
    made = compared(run, "What is 3?")
    columns = (BASE, Column("adapter", f"upload:{HOSTILE}"))
    comparison_history.save(run, replace(made, request=replace(made.request, columns=columns)))
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
    log_in(page, shared.url, "guest")

    expect(page.locator("#answer-before")).to_contain_text("<img src=x")
    expect(page.locator("#answer-after")).to_contain_text("<img src=x")
    assert page.get_by_text("<script>").count() > 0
    assert page.evaluate("window.taken") is None
    assert page.locator("img[src=x]").count() == 0
    page.context.close()
