"""A comparison: its request, the answers of every column, and the proof."""

from dataclasses import dataclass, replace
from typing import Any

from studio.compare.columns import CompareRequest
from studio.compare.proof import Proof
from studio.generation.generate import Answers
from studio.i18n import Message
from studio.journal import digest


@dataclass(frozen=True)
class Comparison:
    """A comparison, finished or so far."""

    request: CompareRequest
    answers: Answers
    """For each prompt one side for each column."""
    notes: tuple[Message, ...] = ()
    """What was done in another way than expected, and why."""
    proof: Proof | None = None
    """None until all answers are there."""

    def texts(self, prompt: int = 0) -> tuple[str, ...]:
        """Return the columns' answers to a prompt."""
        return tuple(side.text for side in self.answers[prompt])

    @property
    def has_tokens(self) -> bool:
        """Whether a column has answered a prompt with a token at least."""
        return any(side.ids for sides in self.answers for side in sides)

    @property
    def was_stopped(self) -> bool:
        """Whether an answer ends where somebody stopped it, or left the page."""
        return any(side.end == "stopped" for sides in self.answers for side in sides)

    def without(self, column: int) -> "Comparison":
        """Return the comparison without a column; what was proven of the others stays."""

        def rest(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return values[:column] + values[column + 1 :]

        per_column = ("prompt_sha256", "adapter_sha256", "made_for")
        proof = self.proof and replace(self.proof, **{name: rest(getattr(self.proof, name)) for name in per_column})
        request = replace(self.request, columns=rest(self.request.columns))
        return replace(self, request=request, answers=tuple(map(rest, self.answers)), proof=proof)

    def next_turn(self, prompt: str) -> CompareRequest:
        """Return the request for the next turn of this chat."""
        return self.request.next_turn(self.texts(), prompt)


def as_json(comparison: Comparison) -> dict[str, object]:
    """Return a comparison as what `--json` prints, which puts messages in English."""
    proof = comparison.proof
    return {
        "run": comparison.request.run_id,
        "columns": [column.title() for column in comparison.request.columns],
        "answers": [
            {
                "prompt": prompt,
                "sides": [
                    {
                        "text": side.text,
                        "tokens": side.tokens,
                        "seconds": round(side.seconds, 3),
                        "first_seconds": side.first_seconds and round(side.first_seconds, 3),
                        "tokens_a_second": side.tokens_a_second and round(side.tokens_a_second, 1),
                        "end": side.end,
                    }
                    for side in sides
                ],
            }
            for prompt, sides in zip(comparison.request.prompts, comparison.answers, strict=True)
        ],
        "notes": comparison.notes,
        "proof": proof and {"verified": proof.verified, **vars(proof)},
    }


@dataclass(frozen=True)
class AnswerPair:
    """The answers of base and adapter to one prompt, and of further columns."""

    prompt: str
    before: str
    after: str
    more: tuple[str, ...] = ()
    """The answers of a third and a fourth column, which have no part in the id."""
    names: tuple[str, ...] = ()
    """What the columns are called; empty where they are the base and the adapter."""

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers."""
        return (self.before, self.after, *self.more)

    @property
    def id(self) -> str:
        """A hash of the content, so that no vote or note moves to another pair."""
        return digest(self.prompt, self.before, self.after)[:16]
