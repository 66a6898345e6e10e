"""The likelihood of several prompts after one text, and of a part of that text: it is read once for both.

The cache of the text is shared by the prompts, and the cache of what all texts begin with by the texts.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.generation import likelihood
from studio.generation.generate import ModelSet, PromptBatchItem
from studio.generation.likelihood import MAX_LOGITS
from studio.model import probe

Ids = Sequence[int]
MAX_TEXTS_TOGETHER = 8
"""Texts of one pass; each is repeated for all its candidates."""
TAIL_PASSES = 3
"""Passes over the candidates of some texts, the short ones first: with one, a third of the tokens was padding."""


@dataclass(frozen=True)
class Text:
    """A text to read."""

    ids: Ids
    start: int
    """The first token of the part whose likelihood is wanted; at least 1, since something has to stand before it."""
    stop: int
    """The token after that part; at most the last token of the text."""


@dataclass(frozen=True)
class Reading:
    """What a model makes of a text."""

    candidates: list[float]
    """log p of each candidate after the text, in nats."""
    loss: float
    """Mean negative log-likelihood of the part, in nats a token."""


def read(
    models: ModelSet,
    texts: Sequence[Text],
    candidates: Sequence[Sequence[Ids]],
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[Reading]:
    """Read each text and its candidates under the only column of `models`; all have the same number of candidates.

    `on_progress` gets the share done, and may raise to end the work.
    """
    order = sorted(range(len(texts)), key=lambda row: len(texts[row].ids))
    readings: dict[int, Reading] = {}
    together = _texts_together(models, texts, candidates)
    prefix: _Prefix | None = None
    for start in range(0, len(order), max(1, together)):
        on_progress(start / len(order))
        rows = order[start : start + max(1, together)]
        batch = [texts[row] for row in rows], [candidates[row] for row in rows]
        if together:
            try:
                prefix = prefix or _read_prefix(models, texts)
                readings.update(zip(rows, _with_shared_cache(models, prefix, *batch), strict=True))
                continue
            except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
                if type(error).__name__ == "OutOfMemoryError":
                    raise
                together = 0  # a recurrent state, say, which cannot be repeated
        for row, text, own in zip(rows, *batch, strict=True):
            [readings[row]] = one_by_one(models, [text], [own])
    return [readings[row] for row in range(len(texts))]


def _texts_together(models: ModelSet, texts: Sequence[Text], candidates: Sequence[Sequence[Ids]]) -> int:
    """Return how many texts one pass takes; 0 where the logits of one are too many."""
    longest = max((len(ids) for each in candidates for ids in each), default=0) + 1
    tokens = max(max(map(len, candidates), default=1) * longest, *(len(text.ids) - text.start for text in texts), 1)
    return min(MAX_TEXTS_TOGETHER, MAX_LOGITS // (tokens * models.model.config.get_text_config().vocab_size))


def one_by_one(models: ModelSet, texts: Sequence[Text], candidates: Sequence[Sequence[Ids]]) -> list[Reading]:
    """Return what `read` does, reading each text anew for each candidate."""
    pairs = [(text.ids, ids) for text, each in zip(texts, candidates, strict=True) for ids in each]
    sums = iter([float(scores.sum()) for scores in _scored(models, pairs)])
    parts = losses(models, texts)
    return [Reading([next(sums) for _ in each], loss) for each, loss in zip(candidates, parts, strict=True)]


def losses(models: ModelSet, texts: Sequence[Text]) -> list[float]:
    """Return the mean negative log-likelihood of the part of each text, in nats a token."""
    parts = _scored(models, [(text.ids[: text.start], text.ids[text.start : text.stop]) for text in texts])
    return [float(-part.mean()) for part in parts]


def _scored(models: ModelSet, pairs: Sequence[tuple[Ids, Ids]]) -> list[Any]:
    """Return the log-probabilities of the tokens of each second part after its first one."""
    items = [PromptBatchItem((tuple(before),), "") for before, _ in pairs]
    return [columns[0] for columns in likelihood.log_probabilities(models, items, [after for _, after in pairs])]


@dataclass(frozen=True)
class _Prefix:
    """What all texts begin with, as a cache; without one where they begin with too little."""

    length: int
    cache: Any


def _read_prefix(models: ModelSet, texts: Sequence[Text]) -> _Prefix:
    """Read what all texts begin with, up to two tokens before the part that is scored and before their last token."""
    import torch

    common = min(common_prefix(texts[0].ids, text.ids) for text in texts)
    length = min(common, *(min(text.start - 1, len(text.ids) - 2) for text in texts))
    if length < 1 or len(texts) <= 4:
        return _Prefix(0, None)
    ids = torch.tensor([list(texts[0].ids[:length])]).to(models.model.device)
    with models.using(models.names[0]):
        output = models.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, logits_to_keep=1)
    return _Prefix(length, getattr(output, _cache_name(models)))


def common_prefix(one: Ids, other: Ids) -> int:
    """Return how many tokens two rows begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (first, second) in pairs if first != second), min(len(one), len(other)))


def _cache_name(models: ModelSet) -> str:
    return "cache" if probe.accepts(models.model, "cache") else "past_key_values"  # before transformers 5.24


def _with_shared_cache(
    models: ModelSet, prefix: _Prefix, texts: Sequence[Text], candidates: Sequence[Sequence[Ids]]
) -> list[Reading]:
    """Read the texts after their prefix, but for their last token; then that with all candidates, from copies."""
    import torch

    count, device, cache_name = len(candidates[0]), models.model.device, _cache_name(models)
    own, mask = probe.padded([text.ids[prefix.length : -1] for text in texts], models.tokenizer.pad_token_id)
    size = own.shape[1]
    mask = torch.cat([mask.new_ones(len(texts), prefix.length), mask], dim=1)
    before = {}
    if prefix.cache is not None:
        before = {cache_name: copy.deepcopy(prefix.cache)}
        before[cache_name].batch_repeat_interleave(len(texts))
    tails = [[text.ids[-1], *ids] for text, each in zip(texts, candidates, strict=True) for ids in each]
    kept = max(len(text.ids) - text.start for text in texts)
    sums: list[float] = [0.0] * len(tails)
    with models.using(models.names[0]):
        first = models.model(
            input_ids=own.to(device),
            attention_mask=mask.to(device),
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, -size:].to(device),
            use_cache=True,
            logits_to_keep=torch.arange(size - kept, size, device=device),  # as in `probe.forward`
            **before,
        )
        own_losses = [_loss(first.logits[row], text) for row, text in enumerate(texts)]
        shared = getattr(first, cache_name)
        for numbers in _by_length(tails):
            cache = copy.deepcopy(shared)
            texts_of = torch.tensor([number // count for number in numbers])
            cache.batch_select_indices(texts_of.to(device))
            some = [tails[number] for number in numbers]
            for number, each in zip(numbers, _tail_sums(models, cache, mask[texts_of], some), strict=True):
                sums[number] = each
    by_text = [sums[at : at + count] for at in range(0, len(sums), count)]
    return [Reading(own_sums, loss) for own_sums, loss in zip(by_text, own_losses, strict=True)]


def _by_length(tails: Sequence[Ids]) -> list[list[int]]:
    """Return the numbers of the tails in passes of similar length, since the short ones are padded to the longest."""
    order = sorted(range(len(tails)), key=lambda number: len(tails[number]))
    size = -(-len(order) // TAIL_PASSES)
    return [order[at : at + size] for at in range(0, len(order), size)]


def _tail_sums(models: ModelSet, cache: Any, mask: Any, tails: Sequence[Ids]) -> list[float]:
    """Return log p of the tokens of each tail but its first, after what is cached of its text; uses up the cache."""
    import torch

    longest, device = max(map(len, tails)), models.model.device
    pad = models.tokenizer.pad_token_id
    ids = torch.tensor([[*tail, *[pad] * (longest - len(tail))] for tail in tails])
    own_mask = torch.tensor([[1] * len(tail) + [0] * (longest - len(tail)) for tail in tails])
    whole = torch.cat([mask, own_mask], dim=1)
    logits = models.model(
        input_ids=ids.to(device),
        attention_mask=whole.to(device),
        position_ids=(whole.cumsum(-1) - 1)[:, -longest:].to(device),
        use_cache=True,
        **{_cache_name(models): cache},
    ).logits
    chosen = logits[:, :-1].float().log_softmax(-1).gather(-1, ids[:, 1:, None].to(device))[..., 0]
    return (chosen * own_mask[:, 1:].to(device)).sum(-1).tolist()


def _loss(logits: Any, text: Text) -> float:
    """Return the mean loss of a text's part; the last of the `logits` is that of the text's last token."""
    first = len(logits) - (len(text.ids) - text.start)
    own = logits[first : first + text.stop - text.start].float().log_softmax(-1)
    targets = own.new_tensor(list(text.ids[text.start : text.stop])).long()
    return float(-own.gather(-1, targets[:, None]).mean())
