"""Which settings come next, and which runs are ended early: pure functions of the trials so far."""

import math

import pytest

from studio.config import RunConfig
from studio.events import Interval, StyleMeasured
from studio.sweep import axes, plan, sampling
from studio.sweep.picture import draw
from studio.sweep.trial import Trial, style_score, winner

BASE = RunConfig().with_settings({"data.validation.kind": "fraction"})


def make_plan(*over, **settings):
    return plan.make(BASE, [axes.parse(each) for each in over], **settings)


def ended(number, settings, curve=(), state="finished", score=None):
    points = tuple((round(1000 * (at + 1) / len(curve)), value) for at, value in enumerate(curve))
    score = points[-1][1] if points and score is None else score
    return Trial(number=number, settings=settings, run=f"run-{number}", state=state, points=points, score=score)


def test_a_grid_is_tried_in_order_and_once():
    grid = make_plan("lora.r=2,4", "train.schedule=linear,cosine")
    trials = []
    while len(trials) < 9 and (settings := sampling.next_settings(grid, trials)) is not None:
        trials.append(ended(len(trials), settings, state="failed"))

    assert [tuple(trial.settings.values()) for trial in trials] == [
        (2, "linear"), (2, "cosine"), (4, "linear"), (4, "cosine"),
    ]  # fmt: skip


def test_the_same_trials_give_the_same_next_settings_and_never_one_of_theirs():
    search = make_plan("lora.r=2..5", "train.schedule=linear,cosine", trials=20)
    trials = []
    while (settings := sampling.next_settings(search, trials)) is not None:
        assert settings == sampling.next_settings(search, trials)
        trials.append(ended(len(trials), settings, [settings["lora.r"]]))

    tried = {sampling.identity(trial.settings) for trial in trials}
    assert len(tried) == len(trials) == 8  # all there are, though twenty were wanted


def test_a_search_goes_where_the_scores_are_low():
    search = make_plan("train.learning_rate=1e-6..1:log", trials=30)
    trials = []
    for number in range(30):
        settings = sampling.next_settings(search, trials)
        distance = abs(math.log10(settings["train.learning_rate"]) + 3)
        trials.append(ended(number, settings, [distance]))

    first, last = (sum(trial.score for trial in part) / 10 for part in (trials[:10], trials[-10:]))
    assert last < first / 2
    assert winner(trials).score < 0.3


def test_a_combination_that_cannot_be_is_not_drawn_from_a_range():
    # its ends are even, so the plan may be; an odd rank in between may not
    search = make_plan("lora.r=2..8", "lora.init=orthogonal,gaussian", trials=9)
    trials = []
    while (settings := sampling.next_settings(search, trials)) is not None:
        trials.append(ended(len(trials), settings, [1.0]))
    assert len(trials) == 9
    assert not [t for t in trials if t.settings["lora.init"] == "orthogonal" and t.settings["lora.r"] % 2]


GOOD = [3.0, 2.0, 1.5, 1.2]


def test_the_median_rule_ends_a_run_below_the_others_and_lets_a_good_one_go_on():
    median = make_plan("lora.r=2,4,8,16", prune="median")
    trials = [ended(number, {"lora.r": 2}, [each + number / 10 for each in GOOD]) for number in range(3)]

    assert not sampling.should_prune(median, trials, [(250, 3.0), (500, 2.0)])
    assert sampling.should_prune(median, trials, [(250, 3.5), (500, 3.4)])
    assert not sampling.should_prune(median, trials[:2], [(250, 9.0), (500, 9.0)])  # too few to compare with
    early = [ended(number, {"lora.r": 2}, [3.0] * 10) for number in range(3)]
    assert not sampling.should_prune(median, early, [(100, 9.0), (200, 9.0)])  # too early
    assert sampling.should_prune(median, early, [(100, 9.0), (300, 9.0)])
    assert not sampling.should_prune(median, trials, [(1000, 9.0)])  # it has ended anyway
    assert not sampling.should_prune(make_plan("lora.r=2,4", prune="none"), trials, [(500, 9.0)])


def test_runs_are_compared_at_the_same_share_whatever_their_length_and_cadence():
    median = make_plan("train.max_steps=10,20,40,80", prune="median")
    trials = [ended(n, {}, [5.0 - 0.1 * at for at in range(10 + n)]) for n in range(3)]

    assert sampling.aligned(trials[0], [50, 250, 1000]) == [(250, 4.9), (1000, 4.1)]
    assert sampling.should_prune(median, trials, [(333, 6.0)])
    assert not sampling.should_prune(median, trials, [(333, 4.0)])


def test_successive_halving_lets_a_third_go_on_from_each_rung():
    halving = make_plan("lora.r=2,4,8,16", prune="halving")
    trials = [ended(number, {"lora.r": 2}, [each + number for each in GOOD]) for number in range(3)]

    assert sampling.should_prune(halving, trials, [(250, 9.0)])
    assert not sampling.should_prune(halving, trials, [(250, 2.9), (500, 1.9)])
    assert sampling.should_prune(halving, trials, [(250, 2.9), (500, 7.0)])


def style(strength, sound=True):
    interval = Interval(value=strength, low=strength, high=strength)
    rest = {"fit": interval, "perplexity_distance": interval, "fluent": sound, "sound": sound}
    return StyleMeasured(step=4, answers=4, strength=interval, **rest)


def test_a_style_is_the_better_the_nearer_it_is_to_the_authors_and_only_if_sound():
    assert style_score(style(90)) < style_score(style(115)) < style_score(style(20)) < style_score(style(100, False))
    unsound = ended(0, {}, [style_score(style(100, False))])
    assert winner([unsound]) is None
    assert winner([unsound, ended(1, {}, [style_score(style(40))])]).number == 1


def test_a_whole_run_wins_over_one_that_was_ended_early_and_the_first_of_equal_ones():
    trials = [
        ended(0, {}, [2.0, 1.0], state="pruned"),
        ended(1, {}, [3.0, 2.0]),
        ended(2, {}, [3.0, 2.0]),
        ended(3, {}, state="failed"),
    ]
    assert winner(trials).number == 1
    assert winner(trials[:1]).number == 0
    assert winner(trials[3:]) is None


def test_the_picture_has_a_line_for_each_run_and_marks_the_winner_last():
    shown = make_plan("train.learning_rate=1e-4,1e-3,1e-2", "train.schedule=linear,cosine")
    trials = [ended(n, settings, [2.0 - n / 10]) for n, settings in enumerate(shown.grid())]
    trials.append(ended(6, {}, state="failed"))
    svg = draw(shown, trials, title="A <sweep>", score="Loss", name_of=lambda path: path.upper())

    assert svg.count("<polyline") == 6
    assert svg.rfind('class="winner"') > svg.rfind('class="finished"')
    assert "★ 6" in svg
    assert "A &lt;sweep&gt;" in svg
    assert "<sweep>" not in svg
    assert ">TRAIN.SCHEDULE<" in svg
    assert ">cosine<" in svg
    assert ">0.001<" in svg
    assert draw(shown, trials[:1], title="", score="") == ""


def test_the_picture_puts_the_best_score_on_top_and_equal_ratios_at_equal_distances():
    shown = make_plan("train.learning_rate=1e-4,1e-3,1e-2")
    trials = [
        ended(n, settings, [score])
        for n, (settings, score) in enumerate(zip(shown.grid(), (3.0, 1.0, 2.0), strict=True))
    ]
    lines = [
        part.split('points="')[1].split('"')[0]
        for part in draw(shown, trials, title="", score="").split("<polyline")[1:]
    ]
    ends = [[float(point.split(",")[1]) for point in line.split()] for line in lines]

    rates = sorted(line[0] for line in ends)
    assert rates[1] - rates[0] == pytest.approx(rates[2] - rates[1])
    assert min(line[1] for line in ends) == ends[-1][1]  # the winner is drawn last
