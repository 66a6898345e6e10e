"""Answers of the base and of the exported adapter, for the model card and the demo."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE
from studio.compare.comparison import AnswerPair
from studio.evaluate import evaluation_store
from studio.export.export_context import ExportContext
from studio.files import sha256
from studio.model.adapter_files import WEIGHTS
from studio.reports import run_card
from studio.reports.comparison_card import Card
from studio.runs.curve import Curve, read_curve
from studio.style.headline import headline_of
from studio.train import samples

MAX_PAIRS = 6


@dataclass(frozen=True)
class SampleAnswers:
    """Pairs of answers from a run's comparisons, else from its sample timeline; empty if it has neither."""

    context: ExportContext

    @cached_property
    def curve(self) -> Curve:
        """The loss curves of the run."""
        return read_curve(self.context.run)

    @cached_property
    def adapter_sha256(self) -> str:
        """SHA-256 of the adapter's weights."""
        return sha256(self.context.run.adapter / WEIGHTS)

    @cached_property
    def from_comparisons(self) -> tuple[AnswerPair, ...]:
        """Saved single-turn comparisons of the base and this adapter, the newest of each prompt."""
        pairs: dict[str, AnswerPair] = {}
        for one in comparison_history.load_all(self.context.run):
            request, proof = one.comparison.request, one.comparison.proof
            is_plain = request.columns == (BASE, ADAPTED) and not request.earlier
            if is_plain and proof and not proof.problems and proof.adapter_sha256[-1] == self.adapter_sha256:
                before, after = one.comparison.texts()
                pairs.setdefault(request.prompts[0], AnswerPair(request.prompts[0], before, after))
        return tuple(pairs.values())[:MAX_PAIRS]

    @cached_property
    def from_timeline(self) -> tuple[AnswerPair, ...]:
        """The sample timeline's answers of the base and of this adapter."""
        timeline = samples.read(self.context.run)
        frames = {frame.step: frame for frame in timeline.frames}
        before, after = frames.get(0), frames.get(self.curve.best_step or self.context.run.status().step)
        if before is None or after is None or before is after:
            return ()
        answers = zip(timeline.prompts, before.answers, after.answers, strict=True)
        return tuple(AnswerPair(prompt, one.text, other.text) for prompt, one, other in answers)[:MAX_PAIRS]

    @property
    def source(self) -> Literal["compared", "strip"]:
        """Where the pairs come from."""
        return "compared" if self.from_comparisons else "strip"

    @property
    def pairs(self) -> tuple[AnswerPair, ...]:
        """The pairs of answers."""
        return self.from_comparisons or self.from_timeline

    @cached_property
    def card(self) -> Card | None:
        """The before/after card, with this adapter's scoreboard if there is one; None without a pair."""
        if not self.pairs:
            return None
        before_after = run_card.card_of_run(self.context.run, self.pairs, self.context.language)
        scoreboard = evaluation_store.find_scoreboard(self.context.run, ADAPTED, self.adapter_sha256)
        style = headline_of(self.context.run, ADAPTED, self.adapter_sha256)
        return replace(before_after, scoreboard=scoreboard, style=style)
