"""How likely a model finds an answer that is given, token by token: one forward pass, nothing is generated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from studio.generation.generate import PromptBatchItem
from studio.generation.model_set import ModelSet
from studio.model import probe

MAX_LOGITS = 1 << 26
"""Logits of one pass: 268 MB in float32."""

Ids = Sequence[int]


@dataclass(frozen=True)
class TokenScores:
    """A token of an answer (or several that make one character), and how likely each column finds it."""

    text: str
    log_probabilities: tuple[float, ...]
    """One for each column, in nats."""

    @property
    def gain(self) -> float:
        """By how much likelier the last column finds it than the first, in nats; the ratio is its exponential."""
        return self.log_probabilities[-1] - self.log_probabilities[0]


def log_probabilities(
    placed: ModelSet, asked: Sequence[PromptBatchItem], answers: Sequence[Ids]
) -> list[tuple[Any, ...]]:
    """Return for each prompt, and each column, the log-probability of every token of the answer (arrays of float32).

    The prompts should be of like length: those that are passed together are padded to the longest.
    """
    found: list[tuple[Any, ...]] = []
    for part in _slices(placed, answers):
        found += _score_slice(placed, asked[part], answers[part])
    return found


def _slices(placed: ModelSet, answers: Sequence[Ids]) -> Iterator[slice]:
    vocabulary = placed.model.config.get_text_config().vocab_size
    start = 0
    while start < len(answers):
        stop, longest = start, 0
        while stop < len(answers):
            longest = max(longest, len(answers[stop]) + 1)
            rows = (stop + 1 - start) * len(placed.names)
            if stop > start and rows * longest * vocabulary > MAX_LOGITS:
                break
            stop += 1
        yield slice(start, stop)
        start = stop


def _score_slice(placed: ModelSet, asked: Sequence[PromptBatchItem], answers: Sequence[Ids]) -> list[tuple[Any, ...]]:
    """Score some prompts in one pass, or in one for each column where they cannot be mixed."""
    count = len(placed.names)
    made: list[Any] = [None] * (len(asked) * count)
    rows = [(*ids, *answer) for one, answer in zip(asked, answers, strict=True) for ids in one.ids]
    whole = [list(range(len(rows)))] if placed.mixes else [list(range(c, len(rows), count)) for c in range(count)]
    for numbers in whole:
        ids, mask = probe.padded([rows[number] for number in numbers], placed.tokenizer.pad_token_id)
        names = [placed.names[number % count] for number in numbers]
        kept = max(len(answers[number // count]) for number in numbers) + 1
        mixed = {"adapter_names": names} if placed.mixes else {}
        with placed.using(None if placed.mixes else names[0]):
            logits = probe.forward(placed.model, ids, mask, logits_to_keep=kept, **mixed)
        for row, number in enumerate(numbers):
            made[number] = _answer_log_probabilities(logits[row], answers[number // count])
    return [tuple(made[at : at + count]) for at in range(0, len(made), count)]


def _answer_log_probabilities(logits: Any, answer: Ids) -> Any:
    """Return the log-probabilities of the last tokens of a row, which are the answer."""
    import torch

    wanted = torch.tensor(list(answer), dtype=torch.long, device=logits.device)
    said = logits[len(logits) - len(answer) - 1 : len(logits) - 1].float().log_softmax(-1)
    return said.gather(-1, wanted[:, None])[:, 0].cpu().numpy()


def score_answer(placed: ModelSet, asked: PromptBatchItem, answer: Ids) -> tuple[TokenScores, ...]:
    """Say for each token of an answer how likely each column finds it; parts of one character are joined."""
    columns = log_probabilities(placed, [asked], [answer])[0]
    found: list[TokenScores] = []
    held: list[int] = []
    sums = [0.0] * len(columns)
    for place, token in enumerate(answer):
        held.append(token)
        sums = [total + float(column[place]) for total, column in zip(sums, columns, strict=True)]
        text = placed.tokenizer.decode(held)
        if not text.endswith("\ufffd") or place + 1 == len(answer):
            found.append(TokenScores(text, tuple(sums)))
            held, sums = [], [0.0] * len(columns)
    return tuple(found)
