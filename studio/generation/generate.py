"""Generate with base and adapters in one batch, streamed together.

All columns of a prompt get the same noise when sampling, which depends on the seed, the prompt and the number of the
token alone: seeded Gumbel noise is added to the processed logits and the largest wins, which is exact sampling (the
Gumbel-max trick; Gumbel 1954, Maddison et al. 2014). So the columns differ by the model and not by luck.
"""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

from studio.config import GenerationConfig
from studio.errors import CompareError
from studio.model import limits, multi_adapter, probe
from studio.model.hardware import device

BASE_MODEL = "__base__"
"""PEFT's name of the base in a batch."""


@dataclass(frozen=True)
class ModelSet:
    """What answers: base and adapters in one model, on the device."""

    model: Any
    """A PEFT model, or the base alone where no adapter takes part."""
    tokenizer: Any
    stops: list[int]
    names: tuple[str, ...]
    """PEFT's name of each column's adapter; `BASE_MODEL` for the base."""
    mixes: bool

    def only(self, *names: str) -> "ModelSet":
        """Return some of the columns, by PEFT's names, to answer by themselves."""
        return ModelSet(self.model, self.tokenizer, self.stops, names, self.mixes and set(names) != {BASE_MODEL})

    def using(self, name: str | None) -> AbstractContextManager[None]:
        """Let one adapter (or the base) answer whole batches, where the columns cannot be mixed."""
        return nullcontext() if name is None else use_adapter(self.model, name)


@contextmanager
def use_adapter(model: Any, name: str) -> Iterator[None]:
    """Let one adapter of a PEFT model, or its base, answer whole batches."""
    before = multi_adapter.activate(model, None if name == BASE_MODEL else name)
    try:
        yield
    finally:
        multi_adapter.restore(before)


MAX_BATCH_ROWS = {"cpu": 8, "mps": 8, "cuda": 32}
"""Prompts in a batch: eight times two gave five times the token rate of one times two on two processor cores."""
MAX_BATCH_TOKENS = 16384
"""Tokens of a batch's prompts and answers, padding included."""

End = Literal["turn", "length", "stopped"]


@dataclass(frozen=True)
class ColumnAnswer:
    """One column's answer to one prompt, so far."""

    text: str = ""
    ids: tuple[int, ...] = ()
    """The tokens, the end of turn included."""
    seconds: float = 0.0
    """Time since the first forward pass began."""
    first_seconds: float | None = None
    end: End | None = None
    """Why the answer is over; None while it is being generated."""

    @property
    def tokens(self) -> int:
        """Number of tokens, the end of turn included."""
        return len(self.ids)

    @property
    def tokens_a_second(self) -> float | None:
        """Tokens a second after the first one; None for fewer than two."""
        if self.first_seconds is None or self.tokens < 2 or self.seconds <= self.first_seconds:
            return None
        return (self.tokens - 1) / (self.seconds - self.first_seconds)


Answers = tuple[tuple[ColumnAnswer, ...], ...]
"""One tuple for each prompt, with one answer for each column."""


@dataclass(frozen=True)
class PromptBatchItem:
    """One prompt as each column sees it."""

    ids: tuple[tuple[int, ...], ...]
    key: str
    """Seeds the sampling noise, together with the seed: the same for all columns (see `noise_key`)."""


def noise_key(prompt: str, earlier: Sequence[str] = ()) -> str:
    """Return the key of the noise for a prompt and the user's earlier turns."""
    return json.dumps([*earlier, prompt])


@dataclass(frozen=True)
class GenerationResult:
    """All answers, and the logits of their first tokens."""

    answers: Answers
    first_logits: Any
    """Unprocessed logits (prompts × columns × vocabulary), in float32; NaN for prompts that a stop has left out."""


def answer(
    models: ModelSet,
    items: Sequence[PromptBatchItem],
    settings: GenerationConfig,
    stop: threading.Event,
    show: Callable[[Answers], None] | None = None,
) -> GenerationResult:
    """Answer all prompts with all columns; `show` is called with all answers after every token.

    Prompts of like length are one batch, with all columns where PEFT can mix their adapters; else the columns answer
    in turn. The model is in evaluation mode. An answer ends at the model's last position; raises CompareError for a
    prompt that leaves none.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    def stopped(input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return torch.full((input_ids.shape[0],), stop.is_set(), dtype=torch.bool, device=input_ids.device)

    model, count = models.model, len(models.names)
    rows = [row for item in items for row in item.ids]
    keys = [item.key for item in items for _ in item.ids]
    answer_limits = _answer_limits(models, items)
    stream = _Stream(models, count, len(rows), show)
    first: dict[int, Any] = {}
    for row_numbers, name, most in _batches(models, items, settings.max_new_tokens, answer_limits):
        if first and stop.is_set():
            break
        prompts = [rows[number] for number in row_numbers]
        ids, mask = probe.padded(prompts, models.tokenizer.pad_token_id)
        processors = [_FirstLogits(), *logits_processors(settings, [keys[number] for number in row_numbers], mask)]
        with models.using(name):
            names = [models.names[number % count] for number in row_numbers]
            model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=most,
                do_sample=False,  # sampling is done by the processors, so that all columns share the noise
                temperature=None,
                top_k=None,
                top_p=None,
                repetition_penalty=1.0,
                use_cache=True,
                eos_token_id=models.stops,
                pad_token_id=models.tokenizer.pad_token_id,
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=StoppingCriteriaList([stopped]),
                streamer=stream.batch(row_numbers),
                **({"adapter_names": names} if models.mixes else {}),
            )
        first.update(zip(row_numbers, processors[0].logits, strict=True))
    sides = stream.finish(stopped=stop.is_set())
    if show:
        show(sides)
    unknown = torch.full_like(next(iter(first.values())), torch.nan)
    logits = torch.stack([first.get(number, unknown) for number in range(len(rows))])
    return GenerationResult(sides, logits.reshape(len(items), count, -1))


def batches(lengths: Sequence[int], answer_tokens: int) -> Iterator[list[int]]:
    """Yield the rows in batches of like length (numbers from 0), given the lengths of prompts and longest answer."""
    max_rows = MAX_BATCH_ROWS[device()]
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        padded_tokens = 2 * (len(batch) + 1) * (lengths[row] + answer_tokens)
        if batch and (len(batch) == max_rows or padded_tokens > MAX_BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _batches(
    models: ModelSet, items: Sequence[PromptBatchItem], answer_tokens: int, answer_limits: Sequence[int]
) -> Iterator[tuple[list[int], str | None, int]]:
    """Yield the rows that are generated together, the adapter to use, and the tokens that they may have at most.

    Rows are all columns of some prompts, or one column where they are not mixed (else the adapter is None). A prompt
    that leaves less room than an answer may have is alone, so that no other answer is shorter for it.
    """
    count = len(models.names)
    wide = [number for number, limit in enumerate(answer_limits) if limit >= answer_tokens]
    lengths = [max(map(len, items[number].ids)) for number in wide]
    groups = [([wide[place] for place in group], answer_tokens) for group in batches(lengths, answer_tokens)]
    groups += [([number], limit) for number, limit in enumerate(answer_limits) if limit < answer_tokens]
    for prompts, max_new_tokens in groups:
        if models.mixes:
            yield [prompt * count + column for prompt in prompts for column in range(count)], None, max_new_tokens
        else:
            for column, name in enumerate(models.names):
                yield [prompt * count + column for prompt in prompts], name, max_new_tokens


def _answer_limits(models: ModelSet, items: Sequence[PromptBatchItem]) -> list[int]:
    """Return the longest possible answer to each prompt, in tokens; raises CompareError where that is none."""
    most, longest = max_positions(models.model), [max(map(len, item.ids)) for item in items]
    if max(longest) >= most:
        raise CompareError("compare.too_long", tokens=max(longest), most=most)
    return [most - length for length in longest]


def max_positions(model: Any, unlimited: int = sys.maxsize) -> int:
    """Return the most tokens that prompt and answer may have together; `unlimited` where the model has no limit."""
    config = model.config
    embeddings = getattr(config.get_text_config(), "max_position_embeddings", None) or 0
    return limits.positions(config.to_dict()) or (embeddings if embeddings > 0 else unlimited)  # XLNet has -1


def logits_processors(settings: GenerationConfig, keys: Sequence[str], mask: Any) -> list[Any]:
    """Return the steps from logits to the choice of a token, in the order that transformers uses."""
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    processors: list[Any] = []
    if settings.repetition_penalty != 1.0:
        processors.append(_RepetitionPenalty(settings.repetition_penalty, mask))
    if settings.temperature > 0:
        processors.append(TemperatureLogitsWarper(settings.temperature))
        if settings.top_k:
            processors.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1:
            processors.append(TopPLogitsWarper(settings.top_p))
        processors.append(_SharedNoise(settings.seed, keys))
    return processors


def visible_text(ids: Sequence[int], tokenizer: Any) -> str:
    """Return the text of an answer so far, given its tokens without the end of turn."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return text.rstrip("\ufffd").lstrip()  # the first bytes of a character whose others are to come


class _FirstLogits:
    """Stores the logits of the first token."""

    def __init__(self) -> None:
        self.logits: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if self.logits is None:
            self.logits = scores.float().cpu()
        return scores


class _RepetitionPenalty:
    """The repetition penalty (Keskar et al. 2019, CTRL) without the padding, which transformers' own penalizes."""

    def __init__(self, penalty: float, mask: Any) -> None:
        self._penalty, self._mask = penalty, mask

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        is_real = torch.ones_like(input_ids, dtype=torch.float32)
        is_real[:, : self._mask.shape[1]] = self._mask.to(is_real)
        present = torch.zeros(scores.shape, device=scores.device).scatter_add_(1, input_ids, is_real) > 0
        penalized = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        return torch.where(present, penalized, scores)


class _SharedNoise:
    """Adds Gumbel noise: draw n of the seed and the row's key for token n."""

    def __init__(self, seed: int, keys: Sequence[str]) -> None:
        import torch

        self._keys = keys
        self._generators = {
            key: torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:7]))
            for key in keys
        }

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        draws = {
            key: torch.rand(scores.shape[-1], generator=generator, dtype=torch.float64)
            for key, generator in self._generators.items()
        }
        uniform = torch.stack([draws[key] for key in self._keys])
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
        return scores.float() + gumbel.to(scores.device, torch.float32)


class _Stream:
    """Collects the tokens of all rows; transformers' own streamers take one row only."""

    def __init__(self, models: ModelSet, columns: int, rows: int, show: Callable[[Answers], None] | None):
        self._tokenizer, self._stops = models.tokenizer, frozenset(models.stops)
        self._columns, self._show = columns, show
        self._sides = [ColumnAnswer() for _ in range(rows)]
        self._ids: list[list[int]] = [[] for _ in range(rows)]
        self._rows: Sequence[int] = ()
        self._started: float | None = None

    def batch(self, rows: Sequence[int]) -> "_Stream":
        """Begin a batch of rows; returns itself, as transformers' streamer."""
        self._rows, self._started = rows, None
        return self

    def put(self, value: Any) -> None:
        """Take the prompts first, then one token for each row, from transformers."""
        if self._started is None:
            self._started = time.perf_counter()
            return
        seconds = time.perf_counter() - self._started
        for row, token in zip(self._rows, value.reshape(-1).tolist(), strict=True):
            side = self._sides[row]
            if side.end is not None:  # padding
                continue
            self._ids[row].append(token)
            first = seconds if side.first_seconds is None else side.first_seconds
            end: End | None = "turn" if token in self._stops else None
            self._sides[row] = replace(side, seconds=seconds, first_seconds=first, end=end)
        if self._show:
            self._show(self._answers())

    def end(self) -> None:
        """Nothing is held back, so there is nothing to flush."""

    def finish(self, stopped: bool) -> Answers:
        """Return all answers with the reason for their end."""
        reason: End = "stopped" if stopped else "length"
        self._sides = [side if side.end else replace(side, end=reason) for side in self._sides]
        return self._answers()

    def _answers(self) -> Answers:
        for row, (side, ids) in enumerate(zip(self._sides, self._ids, strict=True)):
            if len(side.ids) != len(ids):
                text = visible_text(ids[:-1] if side.end == "turn" else ids, self._tokenizer)
                self._sides[row] = replace(side, text=text, ids=tuple(ids))
        return tuple(tuple(self._sides[at : at + self._columns]) for at in range(0, len(self._sides), self._columns))
