"""Signs in a run's curves, one function each: overfitting, divergence, a learning rate too high or too low, and others.

A finding needs an effect that is large (a share of the loss) and sure (standard errors). The thresholds give well-
behaved curves no warning in at least 95 of 100 (`tests/train/test_diagnosis.py`).
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy

from studio.i18n import Message, message
from studio.runs.curve import Curve
from studio.train import phases
from studio.train.phases import Phase, noise_of, slope

Severity = Literal["good", "note", "warning", "error"]

_SURE = 8.0
"""Standard errors of a difference between two levels: the least of some levels is compared, and noise is not normal."""
_SURE_OF_PHASE = 4.0  # the same where the phases say so too
_USUAL_RATE = 1e-4
"""Learning rates for LoRA in use lie between this and a few thousandths (Biderman et al. 2024, "LoRA learns less and
forgets less", table of best rates); a flat curve under a smaller one points to the rate."""
_FAR = 5.0
"""Times the limit from which clipped gradients are reported: two or three times are usual in small models."""
_JUDGED = 20  # logged losses that a judgement about the rate needs


@dataclass(frozen=True)
class Finding:
    """Something that the curves say, with its figures and what to try."""

    kind: str
    severity: Severity
    what: Message
    advice: Message
    figures: dict[str, float]


def finding(kind: str, severity: Severity, figures: dict[str, float], *, now: bool = False, **words: Any) -> Finding:
    """Make a finding; its words take the figures, put as people read them, and further `words`."""
    values = {name: format_figure(value) for name, value in figures.items()} | words
    what = message(f"diagnosis.{kind}.what", **values)
    advice = message(f"diagnosis.{kind}.try{'_now' if now else ''}", **values)
    return Finding(kind, severity, what, advice, {name: float(value) for name, value in figures.items()})


def format_figure(value: float) -> str:
    """Return a figure as people read it: steps whole, losses with two decimals."""
    return f"{value:,}" if isinstance(value, int | numpy.integer) else f"{value:,.2f}"


def pace(per_100: float, steps: int) -> dict[str, str]:
    """Return a pace with the number of steps that it is for: ten in a run of `steps` that has no hundred."""
    unit = 100 if steps >= 100 else 10
    return {"pace": f"{abs(per_100) * unit / 100:.2g}", "unit": str(unit)}


class Measurements:
    """A curve with what is measured of it once and used by several signs."""

    def __init__(self, curve: Curve, over: bool, clip: float | None = None):
        self.curve, self.over, self.clip = curve, over, clip
        known = numpy.isfinite(curve.losses)
        self.not_finite = int(curve.steps[~known][0]) if not known.all() else None
        self.steps = curve.steps[known].astype(int)
        self.losses, self.rates, self.epochs = curve.losses[known], curve.rates[known], curve.epochs[known]
        self.norms = curve.norms[known][numpy.isfinite(curve.norms[known])]
        checked = numpy.isfinite(curve.validation_losses)
        self.evaluated_steps, self.checks = curve.evaluated_steps[checked].astype(int), curve.validation_losses[checked]
        self.count = len(self.losses)
        if not self.count:
            self.rate = 0.0
            return
        self.window = min(self.count, max(3, self.count // 10))  # losses that make a level
        self.start = float(numpy.median(self.losses[:3]))
        self.end = float(numpy.median(self.losses[-self.window :]))
        self.rate = float(self.rates.max())  # the highest learning rate so far
        self.noise = noise_of(self.losses[-max(12, self.count // 3) :])
        """Noise of a single loss in the last third, or in all of them where that is less known."""
        self.error = _level_error(self.noise, self.window)
        """Standard error of a level's difference from another."""

    @cached_property
    def phases(self) -> list[Phase]:
        """The phases of the training loss."""
        return phases.phases(phases.smooth(self.steps, self.losses))

    def levels(self, width: int) -> tuple[Any, Any]:
        """Return the steps in the middle of overlapping windows of a width, and the median loss of each."""
        places = numpy.arange(0, self.count - width + 1, max(1, width // 3))
        views = numpy.lib.stride_tricks.sliding_window_view(self.losses, width)[places]
        return self.steps[places + width // 2], numpy.median(views, axis=1)


def _level_error(noise: float, count: int) -> float:
    """Return the standard error of the difference of two medians of `count` losses each."""
    return math.sqrt(2) * 1.2533 * noise / math.sqrt(count)


def _rates(rate: float, times: float) -> dict[str, str]:
    """Return a learning rate and the one to try in its place, as they are typed."""
    return {"rate": f"{rate:.3g}", "other": f"{rate * times:.2g}"}


def broken(measured: Measurements, step: int | None) -> Finding | None:
    """Losses or gradients that are no numbers; `step` is what the run itself has recorded."""
    at = step if step is not None else measured.not_finite
    if at is None:
        return None
    return finding("broken", "error", {"step": at, "rate": measured.rate}, **_rates(measured.rate, 0.1))


def diverged(measured: Measurements) -> Finding | None:
    """The loss has risen for good: its level is far above the lowest one before, or above its start."""
    steps, levels = measured.levels(measured.window)
    place = int(levels.argmin())
    step, low, error = int(steps[place]), float(levels[place]), measured.error
    if measured.start < low:
        step, low, error = int(measured.steps[0]), measured.start, error * math.sqrt((measured.window / 3 + 1) / 2)
    rise, last = measured.end - low, measured.phases[-1]
    sure = rise > _SURE * error or (last.kind == "rise" and rise > _SURE_OF_PHASE * error)
    if not sure or rise < 0.1 * abs(low) or rise < 0.25 * (measured.start - low):
        return None
    figures = {"step": step, "low": low, "end": measured.end, "rise": rise, "start": measured.start}
    figures |= _gradients(measured)
    return finding("diverged", "error", figures, now=not measured.over, **_rates(measured.rate, 0.1))


def rate_too_high(measured: Measurements) -> Finding | None:
    """The loss rose far and came back (`rate_too_high`), or swings, or has started to jump about (`rate_swings`)."""
    if measured.count < _JUDGED:
        return None
    swings = sum(p.last - p.first for p in measured.phases if p.kind == "oscillation")
    share = swings / max(1, measured.steps[-1] - measured.steps[0])
    width = max(3, measured.count // 20)
    steps, levels = measured.levels(width)
    lowest = numpy.minimum.accumulate(levels)
    place = int((levels - lowest).argmax())
    hump = float(levels[place] - lowest[place])
    error = _level_error(noise_of(measured.losses, (1, 2)), width)
    rose = hump > _SURE * error and hump > 0.2 * abs(lowest[place]) and hump > 0.1 * abs(measured.start)
    if not rose and share < 0.3 and not phases.jagged(measured.losses, measured.losses[measured.count // 2 :]):
        return None
    figures = {"share": float(share), "hump": hump, "peak": float(levels[place]), "at": int(steps[place])}
    figures |= {"low": float(lowest[place])} | _gradients(measured)
    return finding("rate_swings" if not rose else "rate_too_high", "warning", figures, **_rates(measured.rate, 1 / 3))


def _gradients(measured: Measurements) -> dict[str, float]:
    """Return by how much the norm of the gradient has grown since the first third, and how often it was clipped."""
    if len(measured.norms) < 9:
        return {}
    first, _, last = numpy.array_split(measured.norms, 3)
    figures = {"gradient_growth": float(numpy.median(last) / max(float(numpy.median(first)), 1e-12))}
    return figures | ({"clipped": float((measured.norms > measured.clip).mean())} if measured.clip else {})


def clipped(measured: Measurements) -> Finding | None:
    """Nearly every gradient is clipped, and by far: the clipping sets the size of the steps, not the rate."""
    if not measured.clip or len(measured.norms) < _JUDGED:
        return None
    usual, share = float(numpy.median(measured.norms)), float((measured.norms > measured.clip).mean())
    if share < 0.9 or usual < _FAR * measured.clip:
        return None
    figures = {"share": share, "norm": usual, "clip": float(measured.clip)}
    return finding("clipped", "note", figures, percent=f"{share:.0%}", limit=f"{measured.clip:g}")


def rate_too_low(measured: Measurements) -> Finding | None:
    """The loss has hardly moved, and the rate is below the usual ones (`rate_too_low`), or not (`unmoved`)."""
    if measured.count < _JUDGED or (measured.curve.total and measured.steps[-1] < 0.25 * measured.curve.total):
        return None
    if measured.rates[-1] >= measured.rate > measured.rates[0]:  # still warming up
        return None
    first, last = numpy.median(measured.losses[: measured.window]), measured.end
    moved = float(first - last)
    if moved > 0.05 * abs(first) or any(phase.kind == "fast" for phase in measured.phases):
        return None
    low = measured.rate < _USUAL_RATE
    figures = {"start": float(first), "end": last, "moved": moved, "noise": measured.noise}
    words = _rates(measured.rate, 10 if low else 3)
    return finding("rate_too_low" if low else "unmoved", "warning" if low else "note", figures, **words)


def over_fitting(measured: Measurements) -> Finding | None:
    """Validation has turned up from its lowest loss, beyond its noise, while training goes on falling.

    The noise is taken from third differences of the validation losses, which a smooth curve hardly has (their variance
    is twenty times that of one loss, the sum of the squares of 1, 3, 3 and 1), and as half a per cent of the loss at
    least.
    """
    if len(measured.checks) < 3:
        return None
    place = int(measured.checks.argmin())
    later = measured.checks[place + 1 :]
    if not len(later):
        return None
    now, lowest = float(numpy.median(later[-3:])), float(measured.checks[place])
    bends = numpy.abs(numpy.diff(measured.checks, 3)[len(measured.checks) // 3 :])  # early on, the curve itself is bent
    noise = max(1.4826 * float(numpy.median(bends)) / math.sqrt(20) if len(bends) >= 3 else 0.0, 0.005 * abs(lowest))
    if now - lowest <= (4 * noise if len(later) > 1 else max(6 * noise, 0.1 * abs(lowest))):
        return None
    best, last = int(measured.evaluated_steps[place]), int(measured.evaluated_steps[-1])
    figures = {"best": best, "lowest": lowest, "now": now, "rise": now - lowest, "last": last}
    figures |= {"train": measured.end, "gap": now - measured.end}
    result = finding("over_fitting", "warning", figures, now=not measured.over)
    if measured.curve.best_step == best:
        return replace(result, advice=message("diagnosis.over_fitting.kept", best=format_figure(best)))
    return result


def by_heart(measured: Measurements) -> Finding | None:
    """Without validation: the loss is next to nothing after several epochs, so the rows are known word for word."""
    start, end, epochs = measured.start, measured.end, float(measured.epochs[-1])
    if len(measured.checks) or epochs < 2 or end >= min(0.1 * start, 0.3):
        return None
    place = int((measured.losses < 2 * max(end, 0.01)).argmax())
    figures = {"end": end, "start": start, "epochs": epochs, "step": int(measured.steps[place])}
    return finding("by_heart", "warning", figures)


def staircase(measured: Measurements) -> Finding | None:
    """The loss falls where rows are measured again, at the borders of epochs, more than within them.

    Howard and Whitaker (2023), "Can LLMs learn from a single example?", show such stairs: a model that remembers rows.
    """
    epoch = numpy.ceil(measured.epochs - 1e-6)
    parts = [numpy.flatnonzero(epoch == number) for number in numpy.unique(epoch)]
    parts = [part for part in parts if len(part) >= 8]
    if len(parts) < 2:
        return None
    fourth = min(len(part) for part in parts) // 4
    heads = [float(numpy.median(measured.losses[part[:fourth]])) for part in parts]
    tails = [float(numpy.median(measured.losses[part[-fourth:]])) for part in parts]
    drops = numpy.array([tail - head for tail, head in zip(tails[:-1], heads[1:], strict=True)])
    within = sum(max(0.0, head - tail) for head, tail in zip(heads[1:], tails[1:], strict=True))
    drop = float(drops.mean())
    error = _level_error(noise_of(measured.losses, (1, 2)), fourth * len(drops))
    share = drop * len(drops) / max(drop * len(drops) + within, 1e-9)
    if drop < 3 * error or drop < 0.08 * abs(tails[0]) or share < 0.55:
        return None
    figures = {"drop": drop, "share": share, "borders": len(drops), "step": int(measured.steps[parts[1][0]])}
    return finding("staircase", "note", figures)


def too_few_steps(measured: Measurements) -> Finding | None:
    """A finished run whose loss was still falling at a good pace: validation where there is one, else within an epoch.

    A good pace is a fifth of the whole fall, and a twenty-fifth of the loss, in the last third of the run: an
    exponential fall with a time constant of a third of the run has fallen by a tenth of its whole there.
    """
    if not measured.over:
        return None
    if len(measured.checks) >= 4:
        steps, losses = measured.evaluated_steps, measured.checks
        whole, falling = float(losses[0] - losses[-1]), losses.argmin() == len(losses) - 1
    else:
        latest = measured.epochs > math.ceil(measured.epochs[-1] - 1e-6) - 1 + 1e-6  # a border is a step of its own
        steps, losses = measured.steps[latest], measured.losses[latest]
        whole = measured.start - measured.end
        falling = len(losses) >= 8 and measured.phases[-1].kind in ("fast", "slow", "steady")
    if not falling:
        return None
    third = float(measured.steps[-1] - measured.steps[0]) / 3
    tail = max(int((steps >= steps[-1] - third).sum()), 3 if len(measured.checks) else min(12, len(steps)))
    change, error = slope(_medians(steps[-tail:]), _medians(losses[-tail:]))
    fall = -change * third
    if fall < 0.2 * whole or fall < 0.04 * abs(losses[-1]) or -change < 3 * error:
        return None
    steps_done = int(measured.steps[-1])
    figures = {"per_100": -100 * change, "end": float(losses[-1]), "steps": steps_done}
    words = pace(100 * change, steps_done) | {"more": format_figure(round(1.5 * steps_done))}
    return finding("too_few_steps", "warning", figures, **words)


def _medians(values: Any) -> Any:
    return numpy.array([numpy.median(part) for part in numpy.array_split(values, min(20, len(values)))])


def plateau(measured: Measurements) -> Finding | None:
    """After a fall, nothing more for a third of the run, while the rate was still at work."""
    if not measured.phases or measured.phases[-1].kind != "plateau" or len(measured.phases) < 2:
        return None
    last = measured.phases[-1]
    inside = (measured.steps >= last.first).sum()
    if inside < 10 or last.last - last.first < (measured.steps[-1] - measured.steps[0]) / 3:
        return None
    figures = {"step": last.first, "end": measured.end, "steps": int(last.last - last.first)}
    return finding("plateau", "note", figures, now=not measured.over)


def spikes(measured: Measurements) -> Finding | None:
    """Single losses far out of the noise, from which the curve came back.

    Far is ten times the distance below which 95 of 100 losses stay above their neighbours: it grows with the noise's
    own tail, so that a batch of one row, whose losses are skewed, has none.
    """
    if measured.count < _JUDGED:
        return None
    width = 5
    windows = numpy.lib.stride_tricks.sliding_window_view(measured.losses, width)
    medians = numpy.partition(windows, width // 2, axis=1)[:, width // 2]
    places = numpy.arange(width, measured.count - width)
    neighbours = numpy.maximum(medians[places - width], medians[places + 1])
    above = measured.losses[places] - neighbours
    usual = float(numpy.quantile(above, 0.95))
    far = above > numpy.maximum(max(10 * usual, 10 * measured.noise), 0.3 * numpy.abs(neighbours))
    if not far.any():
        return None
    worst = int(above.argmax())
    figures = {"count": int(far.sum()), "step": int(measured.steps[places[worst]]), "usual": float(neighbours[worst])}
    return finding("spikes", "note", figures | {"peak": float(measured.losses[places[worst]])})


UNMOVED_MARGIN = 0.05
"""Mean reward margin below which nothing has been learned."""
OVERSHOT_LOSS = 0.02
"""Mean loss below which better and worse answers are farther apart than any judgement was sure."""
RISE = 0.02
"""Rise of the validation loss that is more than rounding."""


def of_preferences(curve: Curve, *, over: bool) -> list[Finding]:
    """Return what the last third of the curves of a run on preferences says.

    The loss itself says little: it begins at ln 2 for pairs, and the reward margin, from 0, is what it is made of.
    """
    recent = slice(-max(4, len(curve.steps) // 3), None)
    margins, accuracies = (
        values[recent][numpy.isfinite(values[recent])] for values in (curve.margins, curve.accuracies)
    )
    margin = float(margins.mean()) if len(margins) else 0.0
    figures = {"margin": margin, "loss": float(curve.losses[recent].mean())}
    words = {"percent": f"{100 * accuracies.mean():.0f}"} if len(accuracies) else {}
    checks = curve.validation_losses
    if len(checks) > 1 and checks[-1] > checks.min() + RISE and margin > UNMOVED_MARGIN:
        best = int(curve.evaluated_steps[int(checks.argmin())])
        return [finding("preference_memorized", "warning", {**figures, "best": best, "lowest": float(checks.min())})]
    if figures["loss"] < OVERSHOT_LOSS:
        return [finding("preference_overshot", "warning", figures)]
    if margin < UNMOVED_MARGIN:
        return [finding("preference_unmoved" if over else "preference_early", "warning" if over else "note", figures)]
    kind = "preference_pairs" if words else "preference_verdicts"
    return [finding(kind, "good", figures, now=not over, **words)]
