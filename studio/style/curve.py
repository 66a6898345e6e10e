"""The strength curve: the meter over strengths of an adapter, and the strength to use."""

from collections.abc import Sequence

from studio.i18n import Message, message
from studio.style.report import Curve, CurvePoint

FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Strengths that are answered besides 0, which is the base."""
PROMPTS = 24
CLOSE = 5.0
"""Points of style strength: among strengths that are as near to the author's style, the lowest is taken."""


def recommend(points: Sequence[CurvePoint], wanted_fit: float) -> Curve:
    """Return the curve with the strength whose style is nearest to 100 % among those that cost nothing else.

    A strength costs something where its answers are not fluent, or surely fit their questions less than `wanted_fit`
    (a share). Where all do, the lowest one with half of the style is taken.
    """
    points = sorted(points, key=lambda point: point.factor)
    adapted = [point for point in points if point.factor > 0]
    sound = [point for point in adapted if point.fluent and point.fit.high >= wanted_fit]
    if not sound:
        chosen = next((point for point in adapted if point.strength.value >= 50), adapted[-1])
        return Curve(tuple(points), chosen.factor, _reason("costs", chosen))
    nearest = min(abs(100 - point.strength.value) for point in sound)
    chosen = next(point for point in sound if abs(100 - point.strength.value) <= nearest + CLOSE)
    above = [point for point in adapted if point.factor > chosen.factor]
    key = "exaggerates" if above and above[0] in sound and above[0].strength.value > 100 else "best"
    key = "limit" if above and above[0] not in sound else key
    return Curve(tuple(points), chosen.factor, _reason(key, chosen))


def _reason(key: str, point: CurvePoint) -> Message:
    values = {"percent": f"{100 * point.factor:g}", "style": f"{point.strength.value:.0f}"}
    return message(f"style.curve.{key}", **values)
