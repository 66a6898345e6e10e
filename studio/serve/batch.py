"""A batch of rows that join and leave between two tokens, with the keys and values of all of them in one cache."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from studio.compare.column_loading import LOGIT_TOLERANCE
from studio.errors import ServeError, one_line
from studio.generation.generate import BASE_MODEL, use_adapter
from studio.model import probe, quantization


class Batch:
    """Rows that one forward pass advances by one token each.

    A row that joins is passed through the model without the others. Then its keys and values are filled up on the left
    to the length of the batch, or those of the batch to its length; the mask keeps what was filled up out of attention.
    """

    def __init__(self, model: Callable[[], Any], pad: int, shared: bool = True):
        """`model` returns the base or PEFT's model around it; one that is not `shared` has one row."""
        self._model, self._pad, self.shared = model, pad, shared
        self._names: list[str] = []
        self._cache: Any = None
        self._mask: Any = None

    def join(self, prompts: Sequence[Sequence[int]], names: Sequence[str]) -> Any:
        """Add rows (token ids, their adapters' names); returns their next logits (rows × vocabulary, in float32)."""
        import torch

        ids, mask = probe.padded(prompts, self._pad)
        mask = mask.to(self._model().device)
        cache = self._new_cache()
        logits = self._forward(ids, mask, cache, list(names))
        if self._cache is None:
            self._cache, self._mask = cache, mask
        else:
            length = max(self._mask.shape[1], mask.shape[1])
            for own, other in zip(self._cache.layers, cache.layers, strict=True):
                if own.is_initialized:  # a layer may use the keys and values of another one
                    own.keys = torch.cat([_fill(own.keys, length, -2), _fill(other.keys, length, -2)])
                    own.values = torch.cat([_fill(own.values, length, -2), _fill(other.values, length, -2)])
            self._mask = torch.cat([_fill(self._mask, length, -1), _fill(mask, length, -1)])
        self._names += names
        return logits

    def step(self, chosen: Sequence[int]) -> Any:
        """Append a token to each row; returns the logits of the next ones (rows × vocabulary), in float32."""
        import torch

        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        return self._forward(torch.tensor(chosen)[:, None], self._mask, self._cache, self._names)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows (numbers from 0) in this order, and no more filling on the left than they need."""
        import torch

        if not rows:
            self._names, self._cache, self._mask = [], None, None
            return
        self._names = [self._names[row] for row in rows]
        chosen = torch.tensor(rows, device=self._mask.device)
        mask = self._mask[chosen]
        start = int((mask.cumsum(1) == 0).all(0).sum())
        self._mask = mask[:, start:]
        if not self.shared:
            return
        for layer in self._cache.layers:
            if layer.is_initialized:
                layer.keys, layer.values = layer.keys[chosen, :, start:], layer.values[chosen, :, start:]

    def _new_cache(self) -> Any:
        from transformers import DynamicCache

        # without the model's settings all layers keep all keys, so that rows of different lengths can be joined;
        # attention that slides is limited by its mask
        return DynamicCache() if self.shared else DynamicCache(config=self._model().config.get_text_config())

    def _forward(self, ids: Any, mask: Any, cache: Any, names: list[str]) -> Any:
        import torch

        model, settings = self._model(), {}
        if probe.accepts(model, "position_ids"):
            settings["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if probe.accepts(model, "logits_to_keep"):
            settings["logits_to_keep"] = 1
        with_adapter: AbstractContextManager[None] = nullcontext()
        if hasattr(model, "peft_config"):
            if len(set(names)) > 1:
                settings["adapter_names"] = names
            else:  # takes less time than a mixed batch does
                with_adapter = use_adapter(model, names[0])
        with with_adapter:
            ids = ids.to(model.device)
            output = model(input_ids=ids, attention_mask=mask, cache=cache, use_cache=True, **settings)
        return output.logits[:, -1].to(torch.float32)


def _fill(values: Any, length: int, dim: int) -> Any:
    """Fill a tensor up on the left of a dimension, which is counted from the last one, -1."""
    from torch.nn.functional import pad

    return pad(values, (0, 0) * (-1 - dim) + (length - values.shape[dim], 0))


def can_join(model: Callable[[], Any], pad: int) -> bool:
    """Whether rows of the base that join and leave a batch have the logits that they have alone.

    Not so for models that keep a state in place of keys and values (Mamba), or whose rows are coupled (LLM.int8).
    Raises ServeError for a model whose tokens with a cache are not those without.
    """
    import torch

    first, second, token = (3, 4, 5, 6, 7), (5, 4, 3), 8
    try:
        alone = []
        for prompt in (first, second):
            single = Batch(model, pad, shared=False)
            single.join([prompt], [BASE_MODEL])
            alone.append(single.step([token])[0])
    except (TypeError, ValueError, AttributeError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ServeError("serve.model", detail=one_line(error)) from error
    with use_adapter(model(), BASE_MODEL):
        whole = torch.tensor([[*first, token]])
        without_cache = probe.logits(model(), whole, torch.ones_like(whole))[0, -1]
    if not _alike(alone[0], without_cache, model().dtype):
        raise ServeError("serve.model", detail="Δ logits")
    if quantization.couples_rows(model()):
        return False
    try:
        batch = Batch(model, pad)
        batch.join([second], [BASE_MODEL])
        batch.join([first, second], [BASE_MODEL] * 2)
        batch.keep([1, 2])
        together = batch.step([token, token])
    except (TypeError, ValueError, AttributeError, RuntimeError, IndexError, NotImplementedError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    return all(_alike(row, each, model().dtype) for row, each in zip(together, alone, strict=True))


def _alike(logits: Any, expected: Any, dtype: Any) -> bool:
    logits, expected = logits.cpu(), expected.cpu()
    difference = (logits - expected).abs().max().item()
    return difference <= LOGIT_TOLERANCE[dtype.itemsize] * expected.abs().max().item()
