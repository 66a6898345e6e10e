"""Answers of the base and of the exported adapter, for the model card and the demo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, Column
from studio.compare.comparison import AnswerPair
from studio.compare.comparison_history import SavedComparison
from studio.data import prepare
from studio.errors import StudioError
from studio.evaluate import evaluation_store
from studio.export.export_context import ExportContext
from studio.files import sha256
from studio.model.adapter_files import WEIGHTS
from studio.reports import run_card
from studio.reports.comparison_card import Card
from studio.runs import Run
from studio.runs.curve import Curve, read_curve
from studio.style.headline import headline_of
from studio.train import samples

MAX_PAIRS = 6


def usable_comparisons(run: Run, adapter_sha256: str) -> list[SavedComparison]:
    """Return the saved comparisons of one turn and no problem, with this adapter behind the first column."""
    return [
        one
        for one in comparison_history.load_all(run)
        if (proof := one.comparison.proof)
        and not proof.problems
        and not one.comparison.request.earlier
        and adapter_sha256 in proof.adapter_sha256[1:]
    ]


def default_comparisons(run: Run, saved: Sequence[SavedComparison], column: Column = ADAPTED) -> tuple[str, ...]:
    """Return the ids of the comparisons of base and `column` for pinned and held-out prompts, the newest of each."""
    held_out = run.config().evaluation.prompts
    try:
        known = {*samples.read(run).prompts, *(prepare.held_out(held_out) if held_out else ())}
    except StudioError:  # the dataset of an old run is gone
        known = set(samples.read(run).prompts)
    newest: dict[str, str] = {}
    for one in saved:
        request = one.comparison.request
        if request.columns == (BASE, column) and request.prompts[0] in known:
            newest.setdefault(request.prompts[0], one.id)
    return tuple(newest.values())[:MAX_PAIRS]


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
        """The chosen ones of the saved comparisons, with their columns as they were compared."""
        run, ids = self.context.run, self.context.comparisons
        saved = usable_comparisons(run, self.adapter_sha256)
        ids = default_comparisons(run, saved, self.context.column) if ids is None else ids
        names = run_card.base_name(self.context.config.model), self.context.name
        return tuple(
            run_card.answer_pairs(one.comparison, names, self.context.language)[0] for one in saved if one.id in ids
        )[:MAX_PAIRS]

    @cached_property
    def from_timeline(self) -> tuple[AnswerPair, ...]:
        """The sample timeline's answers of the base and of this adapter."""
        if self.context.strength != 1:  # the timeline's answers are those of the adapter as trained
            return ()
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
        scoreboard = evaluation_store.find_scoreboard(self.context.run, self.context.column, self.adapter_sha256)
        style = headline_of(self.context.run, self.context.column, self.adapter_sha256)
        return replace(before_after, scoreboard=scoreboard, style=style)
