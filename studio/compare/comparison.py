"""A comparison: what was asked, what every column answered, and what that rests on."""

from dataclasses import dataclass

from studio.compare.columns import CompareRequest
from studio.compare.generate import Sides
from studio.compare.proof import Proof
from studio.i18n import Message


@dataclass(frozen=True)
class Comparison:
    """A comparison as it goes on."""

    request: CompareRequest
    answers: Sides
    """For each prompt one side for each column."""
    notes: tuple[Message, ...] = ()
    """What was done otherwise than one would think, and why."""
    proof: Proof | None = None
    """What it rests on; None until all answers are there."""

    def texts(self, prompt: int = 0) -> tuple[str, ...]:
        """Return the columns' answers to a prompt."""
        return tuple(side.text for side in self.answers[prompt])

    def followed(self, prompt: str) -> CompareRequest:
        """Return the request that goes on with this chat."""
        return self.request.followed(self.texts(), prompt)
