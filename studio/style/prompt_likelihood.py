"""The likelihood of several prompts after one text, and of a part of that text, in one pass.

All candidates stand after the text in one row, as a tree: what two of them begin with is there once, and a mask lets
each token see the text and what comes before it in its own candidate (as in Miao et al. 2024, SpecInfer,
arXiv 2305.09781). What all texts begin with is read once, and its cache is shared by them.
"""

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from studio.data.tokens import common_prefix
from studio.generation import likelihood
from studio.generation.generate import ModelSet, PromptBatchItem
from studio.generation.likelihood import MAX_LOGITS
from studio.model import probe

Ids = Sequence[int]
MAX_TEXTS_TOGETHER = 8
"""Texts of one pass, each with all its candidates."""
MAX_DIFFERENCE = {True: 1e-4, False: 0.4}
"""Nats a token by which a tree may differ from its candidates read alone: in float32, and in 16 bit.

SmolLM2-135M differed by at most 0.07 in bfloat16, and by at least 1.4 where it saw the other candidates.
"""
_reads_trees: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Whether a model has read a tree right."""


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
    """Read each text and its candidates under the only column of `models`.

    `on_progress` gets the share done, and may raise to end the work.
    """
    trees = [_tree(each) for each in candidates]
    order = sorted(range(len(texts)), key=lambda row: len(texts[row].ids) + len(trees[row].ids))
    readings: dict[int, Reading] = {}
    together = _texts_together(models, texts, trees)
    if not together or not _takes_trees(models, texts[0]):
        for row in order:
            on_progress(len(readings) / len(order))
            [readings[row]] = one_by_one(models, [texts[row]], [candidates[row]])
    else:
        prefix = _read_prefix(models, texts)
        for start in range(0, len(order), together):
            on_progress(start / len(order))
            rows = order[start : start + together]
            batch = _read_trees(models, prefix, [texts[row] for row in rows], [trees[row] for row in rows])
            readings.update(zip(rows, batch, strict=True))
    return [readings[row] for row in range(len(texts))]


def _texts_together(models: ModelSet, texts: Sequence[Text], trees: Sequence["_Tree"]) -> int:
    """Return how many texts one pass takes; 0 where the logits of one are too many, or it cannot see all of it."""
    config = models.model.config.get_text_config()
    sizes = [(len(text.ids), len(tree.ids)) for text, tree in zip(texts, trees, strict=True)]
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    if max(map(sum, sizes), default=0) > min(window or sys.maxsize for window in windows):
        return 0
    tokens = max(
        (tree + len(text.ids) - text.start + 1 for text, (_, tree) in zip(texts, sizes, strict=True)), default=1
    )
    return min(MAX_TEXTS_TOGETHER, MAX_LOGITS // (tokens * config.vocab_size))


def _takes_trees(models: ModelSet, text: Text) -> bool:
    """Whether the model sees of a tree what the mask shows, tried once: one with a recurrent state does not."""
    if models.model not in _reads_trees:
        one = (*text.ids, *text.ids)[-8:]
        some = [one, one[::-1], (*one[:4], *one[3::-1])]
        alone = one_by_one(models, [text], [some])[0]
        try:
            [tree] = _read_trees(models, _read_prefix(models, [text] * 5), [text], [_tree(some)])
        except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise
            _reads_trees[models.model] = False
        else:
            most = MAX_DIFFERENCE[str(models.model.dtype) == "torch.float32"]
            pairs = zip(tree.candidates, alone.candidates, some, strict=True)
            is_right = all(abs(one - other) <= most * len(ids) for one, other, ids in pairs)
            _reads_trees[models.model] = is_right and probe.accepts(models.model, "position_ids")
    return _reads_trees[models.model]


def one_by_one(models: ModelSet, texts: Sequence[Text], candidates: Sequence[Sequence[Ids]]) -> list[Reading]:
    """Return what `read` does, reading each text again for each candidate."""
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


def _cache_name(models: ModelSet) -> str:
    return "cache" if probe.accepts(models.model, "cache") else "past_key_values"  # before transformers 5.24


@dataclass(frozen=True)
class _Tree:
    """The candidates of a text without their last tokens, each beginning once."""

    ids: list[int]
    parents: list[int]
    """The token before each one, as its number in `ids`; -1 for the last token of the text."""
    paths: list[list[tuple[int, int]]]
    """Of each token of each candidate what it comes after, as in `parents`, and its id."""


def _tree(candidates: Sequence[Ids]) -> _Tree:
    ids: list[int] = []
    parents: list[int] = []
    paths: list[list[tuple[int, int]]] = []
    numbers: dict[tuple[int, int], int] = {}
    for candidate in candidates:
        at, path = -1, []
        for place, token in enumerate(candidate):
            path.append((at, token))
            if place + 1 < len(candidate):
                if (at, token) not in numbers:
                    numbers[at, token] = len(ids)
                    ids.append(token)
                    parents.append(at)
                at = numbers[at, token]
        paths.append(path)
    return _Tree(ids, parents, paths)


def _read_trees(models: ModelSet, prefix: _Prefix, texts: Sequence[Text], trees: Sequence[_Tree]) -> list[Reading]:
    """Read the texts after their prefix, each with its tree behind it: texts end, and trees begin, at one column."""
    import torch

    device, model = models.model.device, models.model
    own = [text.ids[prefix.length :] for text in texts]
    size, width = max(map(len, own)), max(len(tree.ids) for tree in trees)
    ids = torch.full((len(texts), size + width), models.tokenizer.pad_token_id)
    positions = torch.zeros_like(ids)
    visible = torch.eye(size + width, dtype=torch.bool).repeat(len(texts), 1, 1)  # padding sees itself
    for row, (text, tree) in enumerate(zip(own, trees, strict=True)):
        start, end = size - len(text), size + len(tree.ids)
        ids[row, start:end] = torch.tensor([*text, *tree.ids])
        positions[row, start:size] = torch.arange(len(text)) + prefix.length
        visible[row, start:size, start:size] = torch.ones(len(text), len(text), dtype=torch.bool).tril()
        for column, parent in enumerate(tree.parents, size):
            visible[row, column] |= visible[row, size + parent]
            positions[row, column] = positions[row, size + parent] + 1
    visible = torch.cat([visible.new_ones(len(texts), size + width, prefix.length), visible], dim=-1)
    hidden = torch.finfo(model.dtype).min
    mask = torch.zeros(visible.shape, dtype=model.dtype).masked_fill(~visible, hidden)[:, None]
    cached = {}
    if prefix.cache is not None:
        cached = {_cache_name(models): copy.deepcopy(prefix.cache)}
        cached[_cache_name(models)].batch_repeat_interleave(len(texts))
    first = size - max(len(text.ids) - text.start + 1 for text in texts)
    with models.using(models.names[0]):
        logits = model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            use_cache=prefix.cache is not None,
            logits_to_keep=torch.arange(first, size + width, device=device),  # as in `probe.forward`
            **cached,
        ).logits
    parts = zip(texts, trees, logits, strict=True)
    return [_reading(text, tree, each.float().log_softmax(-1), size - first) for text, tree, each in parts]


def _reading(text: Text, tree: _Tree, scores: Any, size: int) -> Reading:
    """Return what the log-probabilities of a row say: the text ends at row `size` of them, and the tree begins."""
    part = [(size - len(text.ids) + at - 1, text.ids[at]) for at in range(text.start, text.stop)]
    places = part + [(size + at, token) for path in tree.paths for at, token in path]
    chosen = iter(scores[[at for at, _ in places], [token for _, token in places]].tolist())
    loss = -sum(next(chosen) for _ in part) / len(part)
    return Reading([sum(next(chosen) for _ in path) for path in tree.paths], loss)
