"""Which settings a sweep tries next, and whether a run is ended early: Optuna's samplers and pruners.

Nothing of Optuna's is stored. Its study is rebuilt in memory from the trials, which are read from the run
directories: a kill then leaves nothing that could contradict them, no torn journal and no lock of a dead process.
"""

import bisect
import itertools
import json
import math
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from studio.sweep import plan as plans
from studio.sweep.axes import Axis
from studio.sweep.plan import SweepPlan
from studio.sweep.trial import SHARES, Trial

MIN_TRIALS = 3
"""Runs that have to end before the median rule ends one."""
WARMUP = SHARES // 4
"""Share of a run, in thousandths, before which the median rule does not end it."""
REDUCTION = 3
"""Of so many runs, successive halving lets one go on to the next rung (Li et al. 2020, arXiv 1810.05934)."""
FIRST_RUNG = SHARES // REDUCTION**2
ATTEMPTS = 20
"""Suggestions that may repeat a trial or not fit together, before one of the combinations that are left is taken."""
MAX_LISTED = 10_000
"""Combinations at most among which one that is left is searched."""


def next_settings(plan: SweepPlan, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Return the settings of the next run, the same ones for the same trials; None when all are done."""
    tried = {identity(trial.settings) for trial in trials}
    if plan.is_grid:
        return next((settings for settings in plan.grid() if identity(settings) not in tried), None)
    if len(trials) >= plan.count:
        return None
    for attempt in range(ATTEMPTS):
        settings = _suggest(plan, trials, attempt)
        if identity(settings) not in tried and not plans.conflicts(plan, [settings]):
            return settings
    return _any_left(plan, tried)


def _any_left(plan: SweepPlan, tried: Collection[str]) -> dict[str, Any] | None:
    """Return a random one of the combinations that are left, where they can be counted; None without any."""
    listed = [axis.listed() for axis in plan.over]
    if not all(listed) or math.prod(map(len, listed)) > MAX_LISTED:
        return None
    paths = [axis.path for axis in plan.over]
    combinations = [dict(zip(paths, values, strict=True)) for values in itertools.product(*listed)]
    random.Random(plan.seed + len(tried)).shuffle(combinations)
    left = (each for each in combinations if identity(each) not in tried and not plans.conflicts(plan, [each]))
    return next(left, None)


def identity(settings: Mapping[str, Any]) -> str:
    """Return what tells one combination of settings from others."""
    return json.dumps(dict(settings), sort_keys=True)


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _suggest(plan: SweepPlan, trials: Sequence[Trial], attempt: int) -> dict[str, Any]:
    """Ask the tree-structured Parzen estimator (Bergstra et al. 2011) for settings, after all trials so far."""
    optuna = _optuna()
    random_first = min(10, max(MIN_TRIALS, plan.count // 3))
    seed = (plan.seed + 1_000_003 * len(trials) + 7_919 * attempt) % 2**32
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=random_first)
    study = optuna.create_study(sampler=sampler)
    distributions = {axis.path: _distribution(axis) for axis in plan.over}
    for trial in trials:
        if (past := _frozen(trial, plan.over, distributions)) is not None:
            study.add_trial(past)
    values = study.ask(distributions).params
    return {axis.path: axis.number(values[axis.path]) if axis.is_range else axis.values[values[axis.path]]
            for axis in plan.over}  # fmt: skip


def _distribution(axis: Axis) -> Any:
    """Return the values of an axis for Optuna; a list by its places, since its values may be lists themselves."""
    from optuna import distributions

    if not axis.is_range:
        return distributions.CategoricalDistribution(range(len(axis.values)))
    if axis.whole:
        return distributions.IntDistribution(round(axis.low), round(axis.high), axis.log, round(axis.step or 1))
    return distributions.FloatDistribution(axis.low, axis.high, axis.log, axis.step)


def _frozen(trial: Trial, over: Sequence[Axis], distributions: Mapping[str, Any]) -> Any:
    """Return a trial as Optuna's; None where it says nothing about its settings yet."""
    optuna = _optuna()
    if trial.score is None:
        return None
    values = {axis.path: trial.settings[axis.path] for axis in over}
    params = {axis.path: values[axis.path] if axis.is_range else _place(axis, values[axis.path]) for axis in over}
    pruned = trial.state == "pruned"
    return optuna.trial.create_trial(
        params=params,
        distributions=dict(distributions),
        intermediate_values=dict(trial.points),
        state=optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE,
        value=None if pruned else trial.score,
    )


def _place(axis: Axis, value: Any) -> int:
    return next(at for at, each in enumerate(axis.values) if identity({"": each}) == identity({"": value}))


def should_prune(plan: SweepPlan, trials: Sequence[Trial], current: Sequence[tuple[int, float]]) -> bool:
    """Whether a run with the points `current` is to be ended, after what `trials` had at the same share of theirs."""
    if plan.prune == "none" or not current or current[-1][0] >= SHARES:
        return False
    optuna = _optuna()
    if plan.prune == "median":
        pruner = optuna.pruners.MedianPruner(n_startup_trials=MIN_TRIALS, n_warmup_steps=WARMUP)
    else:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=REDUCTION)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(0))
    shares = [share for share, _ in current]
    for trial in trials:
        if trial.points and trial.score is not None:
            _replay(study, aligned(trial, shares), trial)
    now = study.ask()
    is_last = False
    for share, score in current:
        now.report(score, share)
        is_last = now.should_prune()  # each, since successive halving goes from rung to rung
    return is_last


def aligned(trial: Trial, shares: Sequence[int]) -> list[tuple[int, float]]:
    """Return a trial's scores at `shares` of its run: the last one known then; none beyond where it was ended."""
    own = [share for share, _ in trial.points]
    reached = SHARES if trial.state == "finished" else own[-1]
    places = [(share, bisect.bisect_right(own, share)) for share in shares if share <= reached]
    return [(share, trial.points[place - 1][1]) for share, place in places if place]


def _replay(study: Any, points: Sequence[tuple[int, float]], trial: Trial) -> None:
    past = study.ask()
    for share, score in points:
        past.report(score, share)
        past.should_prune()  # notes the rungs that it has reached
    states = _optuna().trial.TrialState
    if trial.state == "finished":
        study.tell(past, trial.score)
    else:
        study.tell(past, state=states.PRUNED if points else states.FAIL)
