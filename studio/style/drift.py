"""Drift: how far an adapter's answers to ordinary questions have moved from the base's (forgetting).

Per token of a reference answer, KL(base ‖ adapter) = Σ p(base) · (log p(base) − log p(adapter)) over the vocabulary
(Kullback and Leibler 1951), and the log-perplexity of the references under both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.events import Interval
from studio.generation.generate import ModelSet
from studio.generation.held_out import HeldOutRow
from studio.generation.likelihood import split_by_logits
from studio.model import probe
from studio.style import bootstrap
from studio.style.bootstrap import Array

MAX_ROWS_TOGETHER = 8
UNCHANGED = 0.05
"""Mean KL in nats a token up to which ordinary answers count as unchanged."""


@dataclass(frozen=True)
class Drift:
    """What an adapter does to ordinary answers."""

    divergence: Interval
    """Mean KL(base ‖ column) in nats a token."""
    log_perplexity: float
    """Of the references under this column, in nats a token."""
    difference: Interval
    """Log-perplexity under this column minus that under the base."""

    @property
    def level(self) -> str:
        """`unchanged`, `changed`, or `worse` where the references have become clearly less likely."""
        if self.divergence.value <= UNCHANGED:
            return "unchanged"
        return "worse" if self.difference.low > 0 else "changed"


@dataclass(frozen=True)
class OrdinaryScores:
    """Of each ordinary question the mean over the tokens of its reference answer."""

    divergence: tuple[float, ...]
    losses: tuple[float, ...]


def drift(column: OrdinaryScores, base: OrdinaryScores, weights: Array) -> Drift:
    """Return the drift of a column against the base; `weights` are draws of the ordinary questions."""
    return Drift(
        divergence=bootstrap.mean(column.divergence, weights),
        log_perplexity=float(sum(column.losses) / len(column.losses)),
        difference=bootstrap.difference(column.losses, base.losses, weights),
    )


def score_ordinary(
    models: ModelSet,
    base: str,
    rows: Sequence[HeldOutRow],
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[OrdinaryScores]:
    """Score the reference answers of some rows with each column of `models`; `base` is PEFT's name of the base.

    `on_progress` is called between two batches, and may raise to end the work.
    """
    results: list[list[tuple[float, float]]] = [[] for _ in models.names]
    rows = sorted(rows, key=lambda row: len(row.ids) + len(row.answer))
    for start, stop in split_by_logits(models, [len(row.answer) for row in rows], most=MAX_ROWS_TOGETHER):
        batch = rows[start:stop]
        on_progress(len(results[0]) / len(rows))
        before = _log_probabilities(models, base, batch)
        for column, name in enumerate(models.names):
            after = before if name == base else _log_probabilities(models, name, batch)
            for row, first, second in zip(batch, before, after, strict=True):
                divergence = (first.exp() * (first - second)).sum(-1).mean().item()
                loss = -second[range(len(row.answer)), list(row.answer)].mean().item()
                results[column].append((max(0.0, divergence), loss))
    return [OrdinaryScores(*map(tuple, zip(*column, strict=True))) for column in results]


def _log_probabilities(models: ModelSet, name: str, rows: Sequence[HeldOutRow]) -> list[Any]:
    """Return for each row the log-probabilities at each token of its answer (tokens × vocabulary), in float32."""
    ids, mask = probe.padded([(*row.ids, *row.answer) for row in rows], models.tokenizer.pad_token_id)
    with models.using(name):
        logits = probe.forward(models.model, ids, mask, logits_to_keep=max(len(row.answer) for row in rows) + 1)
    return [own[-len(row.answer) - 1 : -1].float().log_softmax(-1) for row, own in zip(rows, logits, strict=True)]
