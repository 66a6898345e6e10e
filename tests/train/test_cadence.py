"""How often prompts are answered, and how long the answers are."""

from dataclasses import replace

import pytest

from studio.config import RunConfig, SamplesConfig
from studio.generation.meter_cost import MeterCost, forecast
from studio.train.samples import MAX_TIME_SHARE, GenerationSpeed, choose_schedule

FAST, SLOW = GenerationSpeed(0.05, 0.03), GenerationSpeed(0.7, 0.12)


def reason(cadence) -> str:
    return cadence.choices[0].reason.key.rsplit(".", 1)[-1]


def test_a_long_run_gets_twelve_frames_after_the_first_and_whole_answers():
    found = choose_schedule(SamplesConfig(), 128, steps=600, seconds=3600, speed=FAST)
    assert (found.every, found.tokens, found.frames) == (50, 64, 13)
    assert found.share < MAX_TIME_SHARE
    assert reason(found) == "whole"


def test_the_less_time_the_fewer_tokens_and_frames_and_the_share_is_kept():
    made = [
        choose_schedule(SamplesConfig(), 128, steps=60, seconds=seconds, speed=SLOW)
        for seconds in (3000, 900, 600, 270)
    ]
    assert all(found.share <= MAX_TIME_SHARE for found in made)
    costs = [(found.frames, found.tokens) for found in made]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 4
    assert [reason(found) for found in made] == ["whole", "shortened", "shortened", "shortened"]
    assert "frames" in made[-1].choices[0].reason.text("en")


def test_the_shortest_run_still_gets_a_beginning_a_middle_and_an_end_and_says_what_they_cost():
    found = choose_schedule(SamplesConfig(), 128, steps=6, seconds=6, speed=SLOW)
    assert (found.frames, found.tokens) == (3, 16)
    assert found.share > MAX_TIME_SHARE
    assert reason(found) == "least"


def test_what_the_settings_say_is_done_whatever_it_costs():
    found = choose_schedule(SamplesConfig(every=1, max_new_tokens=100), 128, steps=60, seconds=60, speed=SLOW)
    assert (found.every, found.tokens, found.frames) == (1, 100, 61)
    assert [choice.reason.key for choice in found.choices] == ["choice.samples.asked"] * 2
    assert found.share > 1


def test_answers_are_no_longer_than_those_of_the_run_and_one_step_is_enough():
    found = choose_schedule(SamplesConfig(), 12, steps=1, seconds=3600, speed=FAST)
    assert (found.every, found.tokens, found.frames) == (1, 12, 2)


COST = MeterCost(frame=1.0, point=0.5, pinned=4, points=5)


@pytest.mark.parametrize(
    ("seconds", "settings", "key", "prompts"),
    [
        (10_000, {}, "log.style.on", 90),
        (150, {}, "log.style.on", 40),
        (20, {}, "log.style.off.cost", 24),
        (20, {"samples.meter": "on"}, "log.style.on", 24),
        (20, {"train.keep": "style"}, "log.style.on", 24),
    ],
)
def test_what_the_meter_will_take_is_foretold(seconds, settings, key, prompts):
    said, more = forecast(RunConfig().with_settings(settings), COST, rows=90, seconds=seconds)
    assert (said.key, said.values["prompts"]) == (key, prompts)
    assert more == (COST.total(prompts, prompts) if key == "log.style.on" else 0)


def test_a_meter_that_is_off_or_has_too_few_prompts_takes_nothing():
    for off in ("samples.meter", "samples.mode"):
        assert forecast(RunConfig().with_settings({off: "off"}), COST, 90, 10_000) == (None, 0)
    said, more = forecast(RunConfig(), replace(COST, pinned=2), 90, 10_000)
    assert (said.key, more) == ("log.style.off.pinned", 0)
    assert COST.total(40, 0) < COST.total(40, 40)
