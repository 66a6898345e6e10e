"""A comparison: what was asked, what every column answered, and what that rests on."""

from dataclasses import dataclass

from studio.compare.columns import CompareRequest
from studio.compare.proof import Proof
from studio.generation.generate import Answers
from studio.i18n import Message
from studio.journal import digest


@dataclass(frozen=True)
class Comparison:
    """A comparison as it goes on."""

    request: CompareRequest
    answers: Answers
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


def as_json(made: Comparison) -> dict[str, object]:
    """Return a comparison as what `--json` prints, in English."""
    proof = made.proof
    return {
        "run": made.request.run_id,
        "columns": [column.title() for column in made.request.columns],
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
            for prompt, sides in zip(made.request.prompts, made.answers, strict=True)
        ],
        "notes": [note.text() for note in made.notes],
        "proof": proof
        and {
            "verified": proof.verified,
            **{name: value for name, value in vars(proof).items() if name not in ("problems", "unproven")},
            "problems": [problem.text() for problem in proof.problems],
            "unproven": [left.text() for left in proof.unproven],
        },
    }


@dataclass(frozen=True)
class AnswerPair:
    """Both sides' answers to one prompt."""

    prompt: str
    before: str
    after: str

    @property
    def id(self) -> str:
        """A name made of the content: what is said about a pair never moves to another one."""
        return digest(self.prompt, self.before, self.after)[:16]
