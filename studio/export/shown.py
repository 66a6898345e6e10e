"""What an export shows of its run: answers before and after, with the very adapter that is exported."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from studio.compare import card, saved, standing
from studio.compare.columns import ADAPTED, BASE
from studio.compare.journal import Pair
from studio.compare.report import Card
from studio.export.subject import Subject
from studio.files import sha256
from studio.model.saved import WEIGHTS
from studio.runs.curve import Curve, read_curve
from studio.train import samples

MOST = 6
"""Pairs that are shown."""

Where = Literal["compared", "strip"]


@dataclass(frozen=True)
class Shown:
    """The pairs of a run, where they come from, and its card; nothing where nobody has asked it anything."""

    subject: Subject

    @cached_property
    def curve(self) -> Curve:
        """The curves of the run."""
        return read_curve(self.subject.run)

    @cached_property
    def adapter_sha256(self) -> str:
        """The hash of the adapter's file."""
        return sha256(self.subject.run.adapter / WEIGHTS)

    @cached_property
    def compared(self) -> tuple[Pair, ...]:
        """Saved comparisons of base and this adapter, asked as in the training; the newest of each prompt."""
        found: dict[str, Pair] = {}
        for one in saved.all_of(self.subject.run):
            asked, proof = one.comparison.request, one.comparison.proof
            plain = asked.columns == (BASE, ADAPTED) and not asked.earlier
            if plain and proof and not proof.problems and proof.adapter_sha256[-1] == self.adapter_sha256:
                before, after = one.comparison.texts()
                found.setdefault(asked.prompts[0], Pair(asked.prompts[0], before, after))
        return tuple(found.values())[:MOST]

    @cached_property
    def strip(self) -> tuple[Pair, ...]:
        """The film strip's answers of the base and of this adapter."""
        strip = samples.read(self.subject.run)
        frames = {frame.step: frame for frame in strip.frames}
        before, after = frames.get(0), frames.get(self.curve.best_step or self.subject.run.status().step)
        if before is None or after is None or before is after:
            return ()
        answers = zip(strip.prompts, before.answers, after.answers, strict=True)
        return tuple(Pair(prompt, one.text, other.text) for prompt, one, other in answers)[:MOST]

    @property
    def where(self) -> Where:
        """Where the pairs come from."""
        return "compared" if self.compared else "strip"

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The answers before and after that are shown."""
        return self.compared or self.strip

    @cached_property
    def card(self) -> Card | None:
        """The before/after card, with the scoreboard of this adapter if it has one; None without a pair."""
        if not self.pairs:
            return None
        made = card.of_run(self.subject.run, self.pairs, self.subject.language)
        return replace(made, scoreboard=standing.board_of(self.subject.run, ADAPTED, self.adapter_sha256))
