"""The result of verifying an export: how far answers and losses agree, in figures and sentences, and its file."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.export.request import QUANTIZED, Kind
from studio.files import read_as, replace_file
from studio.i18n import Message, message
from studio.model.adapter_files import BASE_RECORD

LOGPROB_TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.2}
"""The largest difference of log-probability (nats) between two tokens that rounding alone can reverse.

bfloat16 keeps 8 bits: a logit of 16 to 32 is precise to 0.06 to 0.13.
"""
LOSS_TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-2}
"""The largest relative difference of two losses that rounding alone explains; zero on the run's own machine."""

QUANTIZED_PERPLEXITY = 1.5
"""The largest factor by which quantizing may raise the perplexity; 8 and 5 bits raise it by a few percent."""

RowSource = Literal["held_out", "trained"]


@dataclass(frozen=True)
class EvalPrompt:
    """The token ids of a prompt, and of a reference answer (with its end token) if there is one."""

    ids: tuple[int, ...]
    reference: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    """The prompt as text, one for each prompt column; empty for a row of a dataset."""


@dataclass(frozen=True)
class Answer:
    """A greedy answer: its token ids, and at each position the second-best token and its log-probability gap (nats)."""

    ids: tuple[int, ...]
    second: tuple[int, ...] = ()
    gap: tuple[float, ...] = ()


@dataclass(frozen=True)
class ModelAnswers:
    """A model's answers to all prompts, and each reference's negative log-likelihood (nats, summed over tokens)."""

    answers: tuple[Answer, ...]
    nll: tuple[float, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """How far the greedy answers of two models agree."""

    questions: int
    equal: int
    """Answers that are identical, token for token."""
    near: int
    """Answers that differ from a token on that rounding alone can change."""
    tokens: float
    """Share of the tokens before the first difference."""
    gap: float | None
    """The largest known difference of log-probability (nats) where two answers diverge."""
    perplexity: tuple[float, float] | None
    """Of the first and the second model on the reference answers."""
    first_difference: int | None = None
    """The earliest position (from 1) at which an answer differs."""

    @property
    def holds(self) -> bool:
        """Whether the answers are the same except for rounding."""
        return self.equal + self.near == self.questions


def compare_answers(
    first: ModelAnswers, second: ModelAnswers, prompts: Sequence[EvalPrompt], tolerance: float
) -> Agreement:
    """Compare two models' answers; differences of log-probability up to `tolerance` count as rounding."""
    equal, near, agreeing, length = 0, 0, 0, 0
    gaps: list[float] = []
    differences: list[int] = []
    for one, other in zip(first.answers, second.answers, strict=True):
        pairs = enumerate(zip(one.ids, other.ids, strict=False))
        common = next((at for at, (a, b) in pairs if a != b), min(len(one.ids), len(other.ids)))
        agreeing += common
        length += max(len(one.ids), len(other.ids))
        if one.ids == other.ids:
            equal += 1
            continue
        differences.append(common + 1)
        if (gap := _gap(one, other, common)) is not None:
            near += gap <= tolerance
            gaps.append(gap)
    count = sum(len(prompt.reference) for prompt in prompts)
    perplexity = (math.exp(sum(first.nll) / count), math.exp(sum(second.nll) / count)) if count else None
    return Agreement(
        questions=len(first.answers),
        equal=equal,
        near=near,
        tokens=agreeing / max(length, 1),
        gap=max(gaps, default=None),
        perplexity=perplexity,
        first_difference=min(differences, default=None),
    )


def _gap(one: Answer, other: Answer, at: int) -> float | None:
    """Return how much less likely one model rates the other's token at a position; None where it is not known."""
    gaps = [
        own.gap[at]
        for own, peer in ((one, other), (other, one))
        if at < len(own.second) and at < len(peer.ids) and own.second[at] == peer.ids[at]
    ]
    return min(gaps, default=None)


@dataclass(frozen=True)
class Losses:
    """How far the losses of an exported script agree with those of the run."""

    last: int
    tried: int
    equal: int
    """Losses that are identical to the last bit."""
    near: int
    """Losses that differ by rounding alone."""
    apart: float
    tolerance: float
    """Relative difference that counts as rounding."""

    @property
    def holds(self) -> bool:
        """Whether the losses are the same except for rounding."""
        return self.equal + self.near == self.tried


def compare_losses(expected: Mapping[int, float], actual: Mapping[int, float], precision: str) -> Losses:
    """Compare the losses of a run with those of its script, by step; a missing one counts as different."""
    tolerance = LOSS_TOLERANCE[precision]
    equal = sum(actual.get(step) == loss for step, loss in expected.items())
    apart = [abs(actual[step] - loss) / max(abs(loss), 1e-12) for step, loss in expected.items() if step in actual]
    near = sum(share <= tolerance for share in apart) - equal
    return Losses(max(expected), len(expected), equal, near, max(apart, default=0.0), tolerance)


@dataclass(frozen=True)
class Verification:
    """The result of verifying an export."""

    kind: Kind
    precision: str
    agreement: Agreement | None = None
    """With the run's own answers; for a merged model with the adapter on the same base in the same dtype; for a GGUF
    file with the merged model. None for a script."""
    rows: RowSource | None = None
    """Where the prompts with reference answers come from."""
    prompts: tuple[int, int] | None = None
    """Prompts that the export's own template renders as the run does, of how many; None without such a template."""
    trained_as: str | None = None
    """Quantization of the base in training, where the merged model has none."""
    distance: Agreement | None = None
    """Of the run on its quantized base with the merged model."""
    base: Agreement | None = None
    """Of a Space's base with the run's base."""
    recorded: tuple[int, int] | None = None
    """Recorded answers that a Space's app shows, of how many."""
    losses: Losses | None = None
    tokenized: tuple[int, int] | None = None
    """Prompts that a GGUF file's tokenizer splits as the run's does, of how many."""
    made: float = field(default_factory=time.time)

    @property
    def is_quantized(self) -> bool:
        """Whether it is a GGUF file whose answers may differ, since its weights are rounded."""
        return self.precision in QUANTIZED

    @property
    def passed(self) -> bool:
        """Whether the export behaves as the run does; a quantized file by its perplexity, since its answers differ."""
        if self.is_quantized and self.agreement and self.agreement.perplexity:
            before, after = self.agreement.perplexity
            if not after <= QUANTIZED_PERPLEXITY * before:
                return False
        compared = (None if self.is_quantized else self.agreement, self.base, self.losses)
        counted = (self.prompts, self.recorded, self.tokenized)
        return all(each.holds for each in compared if each) and all(each[0] == each[1] for each in counted if each)

    def sentences(self) -> list[Message]:
        """Return the result in sentences."""
        sentences = []
        if losses := self.losses:
            sentences.append(
                message("export.verified.script", equal=losses.equal, tried=losses.tried, last=losses.last)
            )
            if losses.equal < losses.tried:
                shares = {"apart": f"{losses.apart:.2g}", "tolerance": f"{losses.tolerance:g}"}
                sentences.append(message("export.verified.losses_near", near=losses.near, **shares))
            sentences += _differing(losses, losses.tried)
        for key, agreement in ((self.kind, self.agreement), ("space_base", self.base)):
            if agreement:
                sentences.append(message(f"export.verified.{key}", **_counts(agreement)))
                if agreement.near and not self.is_quantized:
                    gap = f"{agreement.gap:.2g}"
                    sentences.append(message("export.verified.near", near=agreement.near, gap=gap))
                if not self.is_quantized:
                    sentences += _differing(agreement, agreement.questions)
                if self.kind == "gguf" and agreement.first_difference:
                    key = "quantized_difference" if self.is_quantized else "first_difference"
                    sentences.append(message(f"export.verified.{key}", position=agreement.first_difference))
        for name, pair in (("prompts", self.prompts), ("recorded", self.recorded), ("tokenized", self.tokenized)):
            if pair:
                sentences.append(message(f"export.verified.{name}", right=pair[0], tried=pair[1]))
        sentences += _perplexity(f"perplexity.{self.rows}", self.agreement)
        if self.distance:
            values = {"trained": self.trained_as, "precision": self.precision, **_counts(self.distance)}
            sentences.append(message("export.verified.distance", **values))
        return sentences + _perplexity("distance_perplexity", self.distance)

    def as_json(self) -> dict[str, Any]:
        """Return the result as it is stored, with its sentences in English."""
        return {"passed": self.passed, **asdict(self), "said": [sentence.text() for sentence in self.sentences()]}


def _differing(result: Agreement | Losses, count: int) -> list[Message]:
    if result.holds:
        return []
    return [message("export.verified.parted", parted=count - result.equal - result.near)]


def _counts(agreement: Agreement) -> dict[str, Any]:
    return {"equal": agreement.equal, "questions": agreement.questions, "share": f"{agreement.tokens:.0%}"}


def _perplexity(name: str, agreement: Agreement | None) -> list[Message]:
    if agreement is None or agreement.perplexity is None:
        return []
    before, after = (f"{value:.4g}" for value in agreement.perplexity)
    return [message(f"export.verified.{name}", before=before, after=after)]


def path_of(folder: Path) -> Path:
    """Return the file of an export's result: beside its folder, which stays unchanged."""
    return folder.with_name(f"{folder.name}.verified.json")


def save(verification: Verification, folder: Path) -> None:
    """Store the result for an export."""
    replace_file(path_of(folder), json.dumps(verification.as_json(), ensure_ascii=False, indent=1))


def read(folder: Path) -> Verification | None:
    """Return the stored result of an export; None if there is none that can be read, or the export is newer."""
    result = read_as(Verification, path_of(folder))
    is_current = result and path_of(folder).stat().st_mtime >= (folder / BASE_RECORD).stat().st_mtime
    return result if is_current else None
