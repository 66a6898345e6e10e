"""How far the losses of a repeated training agree with those of the run, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass

from studio.i18n import Message, message

NEAR = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-2}
"""How far a loss may be from the run's, as a share of it, for that to be rounding alone.

On the run's own machine nothing is rounded otherwise; another one adds up in another order.
"""


@dataclass(frozen=True)
class Losses:
    """How far they agree."""

    last: int
    """The step of the last one that was compared."""
    tried: int
    equal: int
    """Those that are the same to the last bit."""
    near: int
    """Those that differ by rounding alone."""
    apart: float
    """The most by which one that is known differs, as a share of the run's."""
    tolerance: float
    """Up to what share that counts as rounding."""

    @property
    def holds(self) -> bool:
        """Whether the losses are the same but for rounding."""
        return self.equal + self.near == self.tried

    def sentences(self) -> list[Message]:
        """Return it in words."""
        told = [message("export.verified.script", equal=self.equal, tried=self.tried, last=self.last)]
        if self.equal < self.tried:
            shares = {"apart": f"{self.apart:.2g}", "tolerance": f"{self.tolerance:g}"}
            told.append(message("export.verified.losses_near", near=self.near, **shares))
        if not self.holds:
            told.append(message("export.verified.parted", parted=self.tried - self.equal - self.near))
        return told


def compare(wanted: Mapping[int, float], found: Mapping[int, float], precision: str) -> Losses:
    """Compare the losses of a run (`wanted`) with repeated ones, by step; one that is missing differs."""
    tolerance = NEAR[precision]
    equal = sum(found.get(step) == loss for step, loss in wanted.items())
    apart = [abs(found[step] - loss) / max(abs(loss), 1e-12) for step, loss in wanted.items() if step in found]
    near = sum(share <= tolerance for share in apart) - equal
    return Losses(max(wanted), len(wanted), equal, near, max(apart, default=0.0), tolerance)
