"""The likelihood of a given answer, token by token: one forward pass, nothing is generated."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from studio.generation.generate import ModelSet, PromptBatchItem
from studio.model import probe

MAX_LOGITS = 1 << 26
"""Logits of one pass: 268 MB in float32."""

Ids = Sequence[int]


@dataclass(frozen=True)
class TokenScores:
    """A token of an answer (or several that make one character), with its likelihood under each column."""

    text: str
    log_probabilities: tuple[float, ...]
    """One for each column, in nats."""

    @property
    def gain(self) -> float:
        """Log-probability of the last column minus that of the first, in nats."""
        return self.log_probabilities[-1] - self.log_probabilities[0]


def log_probabilities(
    models: ModelSet, items: Sequence[PromptBatchItem], answers: Sequence[Ids]
) -> list[tuple[Any, ...]]:
    """Return for each prompt, and each column, the log-probability of each token of the answer (float32 arrays)."""
    scores: list[tuple[Any, ...]] = []
    for start, stop in split_by_logits(models, list(map(len, answers)), len(models.names)):
        scores += _score_slice(models, items[start:stop], answers[start:stop])
    return scores


def split_by_logits(
    models: ModelSet, lengths: Sequence[int], columns: int = 1, most: int = sys.maxsize
) -> Iterator[tuple[int, int]]:
    """Yield start and end of the answers that one pass scores: at most `most`, with at most `MAX_LOGITS` logits."""
    vocabulary = models.model.config.get_text_config().vocab_size
    start = longest = 0
    for place, length in enumerate(lengths):
        longest = max(longest, length + 1)
        count = place + 1 - start
        if count > 1 and (count > most or count * columns * longest * vocabulary > MAX_LOGITS):
            yield start, place
            start, longest = place, length + 1
    if lengths:
        yield start, len(lengths)


def _score_slice(models: ModelSet, items: Sequence[PromptBatchItem], answers: Sequence[Ids]) -> list[tuple[Any, ...]]:
    """Score some prompts in one pass, or in one for each column where they cannot be mixed."""
    import torch

    count = len(models.names)
    scores: list[Any] = [None] * (len(items) * count)
    rows = [(*ids, *answer) for item, answer in zip(items, answers, strict=True) for ids in item.ids]
    passes = [list(range(len(rows)))] if models.mixes else [list(range(c, len(rows), count)) for c in range(count)]
    for numbers in passes:
        ids, mask = probe.padded([rows[number] for number in numbers], models.tokenizer.pad_token_id)
        names = [models.names[number % count] for number in numbers]
        logits_to_keep = max(len(answers[number // count]) for number in numbers) + 1
        adapters = {"adapter_names": names} if models.mixes else {}
        with models.using(None if models.mixes else names[0]):
            logits = probe.forward(models.model, ids, mask, logits_to_keep=logits_to_keep, **adapters)
        for row, number in enumerate(numbers):
            targets = torch.tensor(list(answers[number // count]), dtype=torch.long, device=logits.device)
            own = logits[row][-len(targets) - 1 : -1].float().log_softmax(-1)
            scores[number] = own.gather(-1, targets[:, None])[:, 0].cpu().numpy()
    return [tuple(scores[at : at + count]) for at in range(0, len(scores), count)]


def score_answer(models: ModelSet, item: PromptBatchItem, answer: Ids) -> tuple[TokenScores, ...]:
    """Return each token of an answer with its likelihood under each column; parts of one character are joined."""
    columns = log_probabilities(models, [item], [answer])[0]
    scores: list[TokenScores] = []
    pending: list[int] = []
    sums = [0.0] * len(columns)
    for place, token in enumerate(answer):
        pending.append(token)
        sums = [total + float(column[place]) for total, column in zip(sums, columns, strict=True)]
        text = models.tokenizer.decode(pending)
        if not text.endswith("\ufffd") or place + 1 == len(answer):
            scores.append(TokenScores(text, tuple(sums)))
            pending, sums = [], [0.0] * len(columns)
    return tuple(scores)
