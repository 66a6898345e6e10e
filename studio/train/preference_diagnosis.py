"""What the curves of a run on preferences say: whether better answers are preferred by now, and whether it overshot.

The loss itself says little: it begins at ln 2 for pairs, and the reward margin, from 0, is what it is made of.
"""

import numpy

from studio.runs.curve import Curve
from studio.train.diagnosis_rules import Finding, finding

UNMOVED_MARGIN = 0.05
"""Mean reward margin below which nothing has been learned."""
OVERSHOT_LOSS = 0.02
"""Mean loss below which better and worse answers are farther apart than any judgement was sure."""
RISE = 0.02
"""Rise of the validation loss that is more than rounding."""


def is_of_preferences(curve: Curve) -> bool:
    """Whether a curve is of a run on preferences, which alone have margins."""
    return bool(numpy.isfinite(curve.margins).any())


def findings(curve: Curve, *, over: bool) -> list[Finding]:
    """Return what the last third of the curves says, the gravest first."""
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
