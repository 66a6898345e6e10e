"""The likelihood of several prompts after one text: the text is read once, and its cache is shared by the prompts."""

from collections.abc import Callable, Sequence
from typing import Any

from studio.generation import likelihood
from studio.generation.generate import ModelSet, PromptBatchItem
from studio.generation.likelihood import MAX_LOGITS
from studio.model import probe

Ids = Sequence[int]
MAX_TEXTS_TOGETHER = 4
"""Texts of one pass; each is repeated for all its candidates."""


def log_likelihoods(
    models: ModelSet,
    texts: Sequence[Ids],
    candidates: Sequence[Sequence[Ids]],
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[list[float]]:
    """Return log p of each candidate after its text, in nats (texts × candidates), under the only column of `models`.

    All texts have the same number of candidates. `on_progress` gets the share done, and may raise to end the work.
    """
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    scores: dict[int, list[float]] = {}
    together = _texts_together(models, candidates)
    for start in range(0, len(order), max(1, together)):
        on_progress(start / len(order))
        rows = order[start : start + max(1, together)]
        batch = [texts[row] for row in rows], [candidates[row] for row in rows]
        if together:
            try:
                scores.update(zip(rows, _with_shared_cache(models, *batch), strict=True))
                continue
            except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
                if type(error).__name__ == "OutOfMemoryError":
                    raise
                together = 0  # a recurrent state, say, which cannot be repeated
        for row, text, own in zip(rows, *batch, strict=True):
            [scores[row]] = one_by_one(models, [text], [own])
    return [scores[row] for row in range(len(texts))]


def _texts_together(models: ModelSet, candidates: Sequence[Sequence[Ids]]) -> int:
    """Return how many texts one pass takes; 0 where the logits of one are too many."""
    longest = max((len(ids) for each in candidates for ids in each), default=0) + 1
    logits = max(map(len, candidates), default=1) * longest * models.model.config.get_text_config().vocab_size
    return min(MAX_TEXTS_TOGETHER, MAX_LOGITS // logits)


def one_by_one(models: ModelSet, texts: Sequence[Ids], candidates: Sequence[Sequence[Ids]]) -> list[list[float]]:
    """Return what `log_likelihoods` does, reading each text anew for each candidate."""
    pairs = [(text, ids) for text, each in zip(texts, candidates, strict=True) for ids in each]
    items = [PromptBatchItem((tuple(text),), "") for text, _ in pairs]
    scored = likelihood.log_probabilities(models, items, [ids for _, ids in pairs])
    sums = iter([float(column[0].sum()) for column in scored])
    return [[next(sums) for _ in each] for each in candidates]


def _with_shared_cache(
    models: ModelSet, texts: Sequence[Ids], candidates: Sequence[Sequence[Ids]]
) -> list[list[float]]:
    """Read all texts but their last token once; then the last tokens with all candidates, from copies of the cache."""
    import torch

    count, device = len(candidates[0]), models.model.device
    cache_name = "cache" if probe.accepts(models.model, "cache") else "past_key_values"  # before transformers 5.24
    ids, mask = probe.padded([text[:-1] for text in texts], models.tokenizer.pad_token_id)
    rows = [[text[-1], *each] for text, own in zip(texts, candidates, strict=True) for each in own]
    longest = max(map(len, rows))
    tails = torch.tensor([row + [models.tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    tail_mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with models.using(models.names[0]):
        first = models.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0).to(device),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = getattr(first, cache_name)
        cache.batch_repeat_interleave(count)
        whole = torch.cat([mask.repeat_interleave(count, 0), tail_mask], dim=1)
        logits = models.model(
            input_ids=tails.to(device),
            attention_mask=whole.to(device),
            position_ids=(whole.cumsum(-1) - 1)[:, -longest:].to(device),
            use_cache=True,
            **{cache_name: cache},
        ).logits
    targets = tails[:, 1:, None].to(device)
    chosen = logits[:, :-1].float().log_softmax(-1).gather(-1, targets)[..., 0]
    sums: Any = (chosen * tail_mask[:, 1:].to(device)).sum(-1).cpu().reshape(len(texts), count)
    return sums.tolist()
