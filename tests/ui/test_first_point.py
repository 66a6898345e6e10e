"""The page looks for the first point of a run's curve more often than its clock ticks, and for no more than that."""

from playwright.sync_api import expect

from studio import runs
from studio.events import Step
from studio.runs import State

COUNT = """() => {
  window.looks = 0;
  document.querySelector('#look-again').addEventListener('click', () => { window.looks++; });
}"""


def test_a_run_without_a_point_is_looked_at_twice_a_second(page_url, preset, browser):
    run = runs.create(preset)
    run.enter(State.TRAINING)
    page = browser.new_context(locale="en-US").new_page()
    page.goto(f"{page_url}#train")
    expect(page.locator('#status [data-alive="1"]')).to_be_visible()
    page.evaluate(COUNT)
    page.wait_for_function("window.looks >= 3")

    run.emit(Step(step=1, total=20, epoch=0.1, loss=2.0, learning_rate=1e-4, tokens=100))
    expect(page.locator("#legend .key").first).to_be_visible()
    page.evaluate("window.looks = 0")
    page.wait_for_timeout(1500)
    assert page.evaluate("window.looks") == 0
    run.enter(State.STOPPED)


def test_a_run_that_has_no_point_for_long_is_looked_at_when_the_clock_ticks(page_url, preset, browser):
    run = runs.create(preset)
    run.enter(State.TRAINING)
    page = browser.new_context(locale="en-US").new_page()
    page.clock.install()
    page.goto(f"{page_url}#train")
    expect(page.locator('#status [data-alive="1"]')).to_be_visible()
    page.evaluate(COUNT)
    page.clock.run_for(60_000)
    assert 0 < page.evaluate("window.looks") <= 60
    run.enter(State.STOPPED)
