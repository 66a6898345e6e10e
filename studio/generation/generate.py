"""Generate with base and adapters in one batch, streamed together.

All columns of a prompt get the same noise when sampling: seeded Gumbel noise is added to the processed logits and the
largest wins, which is exact sampling (the Gumbel-max trick; Gumbel 1954, Maddison et al. 2014). So what differs between
the columns is the model and not luck. The noise depends on the seed, the prompt and the number of the token alone, so
that a prompt gets the same answer by itself and among others.
"""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from studio.config import GenerationConfig
from studio.errors import CompareError
from studio.generation.model_set import ModelSet
from studio.model import limits, probe
from studio.model.hardware import device

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
    """Time to the first token."""
    end: End | None = None
    """Why the answer is over; None while it goes on."""

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
"""Answers: one tuple for each prompt, with one side for each column."""


@dataclass(frozen=True)
class PromptBatchItem:
    """One prompt as each column sees it."""

    ids: tuple[tuple[int, ...], ...]
    """The tokens of the prompt, for each column."""
    key: str
    """What the noise of the prompt is made of, besides the seed: the same for all columns (see `noise_key`)."""


def noise_key(prompt: str, earlier: Sequence[str] = ()) -> str:
    """Return the noise's name for a prompt and what was asked before it."""
    return json.dumps([*earlier, prompt])


@dataclass(frozen=True)
class GenerationResult:
    """All answers, and what the columns thought of their first tokens."""

    sides: Answers
    first: Any
    """Logits of the first token before anything was done to them (prompts × columns × vocabulary), in float32.

    Not a number for prompts that a stop has left out.
    """


def answer(
    placed: ModelSet,
    asked: Sequence[PromptBatchItem],
    settings: GenerationConfig,
    stop: threading.Event,
    show: Callable[[Answers], None] | None = None,
) -> GenerationResult:
    """Answer all prompts with all columns; `show` is called with all answers after every token.

    Prompts of like length are one batch, with all columns where PEFT can mix their adapters; else these answer one
    after the other. The model is in evaluation mode. An answer ends where the model
    has no more positions; raises CompareError for a prompt that leaves none.
    """
    import torch

    count = len(placed.names)
    rows = [row for one in asked for row in one.ids]
    keys = [one.key for one in asked for _ in one.ids]
    room = _answer_limits(placed, asked)
    stream = _Stream(placed, count, len(rows), show)
    first: dict[int, Any] = {}
    for numbers, name, most in _batches(placed, asked, settings.max_new_tokens, room):
        if first and stop.is_set():
            break
        chosen = [rows[number] for number in numbers]
        ids, mask = probe.padded(chosen, placed.tokenizer.pad_token_id)
        steps = [_FirstLogits(), *logits_processors(settings, [keys[number] for number in numbers], mask)]
        with placed.using(name):
            mixed = {"adapter_names": [placed.names[number % count] for number in numbers]} if placed.mixes else {}
            _generate(placed, ids, mask, most, steps, stream.of(numbers), stop, mixed)
        first.update(zip(numbers, steps[0].logits, strict=True))
    sides = stream.finished(stopped=stop.is_set())
    if show:
        show(sides)
    unknown = torch.full_like(next(iter(first.values())), torch.nan)
    logits = torch.stack([first.get(number, unknown) for number in range(len(rows))])
    return GenerationResult(sides, logits.reshape(len(asked), count, -1))


def batches(lengths: Sequence[int], answer: int) -> Iterator[list[int]]:
    """Yield the rows in batches of like length (numbers from 0), given the lengths of prompts and longest answer."""
    most = MAX_BATCH_ROWS[device()]
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: (lengths[number], number)):
        if batch and (len(batch) == most or (len(batch) + 1) * (lengths[number] + answer) * 2 > MAX_BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _batches(
    placed: ModelSet, asked: Sequence[PromptBatchItem], answer: int, room: Sequence[int]
) -> Iterator[tuple[list[int], str | None, int]]:
    """Yield the rows that are generated together, the adapter to use, and the tokens that they may have at most.

    Rows are all columns of some prompts, or one column where they are not mixed (else the adapter is None). A prompt
    that leaves less room than an answer may have is alone, so that no other answer is shorter for it.
    """
    count = len(placed.names)
    wide = [number for number, left in enumerate(room) if left >= answer]
    lengths = [max(map(len, asked[number].ids)) for number in wide]
    groups = [([wide[place] for place in group], answer) for group in batches(lengths, answer)]
    groups += [([number], left) for number, left in enumerate(room) if left < answer]
    for prompts, most in groups:
        if placed.mixes:
            yield [prompt * count + column for prompt in prompts for column in range(count)], None, most
        else:
            for column, name in enumerate(placed.names):
                yield [prompt * count + column for prompt in prompts], name, most


def _answer_limits(placed: ModelSet, asked: Sequence[PromptBatchItem]) -> list[int]:
    """Return how many tokens the answer to each prompt may have; raises CompareError where there is room for none."""
    most = getattr(placed.model.config.get_text_config(), "max_position_embeddings", None) or 0
    settings = placed.model.config.to_dict()
    most = limits.positions(settings) or (most if most > 0 else sys.maxsize)  # XLNet says -1: there is no limit
    longest = [max(map(len, one.ids)) for one in asked]
    if max(longest) >= most:
        raise CompareError("compare.too_long", tokens=max(longest), most=most)
    return [most - length for length in longest]


def _generate(
    placed: ModelSet,
    ids: Any,
    mask: Any,
    most: int,
    steps: list[Any],
    streamer: Any,
    stop: threading.Event,
    mixed: dict[str, Any],
) -> None:
    from transformers import LogitsProcessorList, StoppingCriteriaList

    model = placed.model
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
        eos_token_id=placed.stops,
        pad_token_id=placed.tokenizer.pad_token_id,
        logits_processor=LogitsProcessorList(steps),
        stopping_criteria=StoppingCriteriaList([_stopping_criterion(stop)]),
        streamer=streamer,
        **mixed,
    )


def logits_processors(settings: GenerationConfig, keys: Sequence[str], mask: Any) -> list[Any]:
    """Return the steps from logits to the choice of a token, in the order that transformers uses.

    `keys` name the noise of each row, `mask` (rows × length) says which tokens of the prompts are real.
    """
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    steps: list[Any] = []
    if settings.repetition_penalty != 1.0:
        steps.append(_RepetitionPenalty(settings.repetition_penalty, mask))
    if settings.temperature > 0:
        steps.append(TemperatureLogitsWarper(settings.temperature))
        if settings.top_k:
            steps.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1:
            steps.append(TopPLogitsWarper(settings.top_p))
        steps.append(_SharedNoise(settings.seed, keys))
    return steps


class _FirstLogits:
    """Remembers the logits of the first token."""

    def __init__(self) -> None:
        self.logits: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if self.logits is None:
            self.logits = scores.float().cpu()
        return scores


class _RepetitionPenalty:
    """Makes tokens less likely that were there before (Keskar et al. 2019, CTRL).

    transformers' own takes the padding for text, so that a short prompt in a batch would get another answer than alone.
    """

    def __init__(self, penalty: float, mask: Any) -> None:
        self._penalty, self._mask = penalty, mask

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        real = torch.ones_like(input_ids, dtype=torch.float32)
        real[:, : self._mask.shape[1]] = self._mask.to(real)
        seen = torch.zeros(scores.shape, device=scores.device).scatter_add_(1, input_ids, real) > 0
        changed = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        return torch.where(seen, changed, scores)


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

        drawn = {
            key: torch.rand(scores.shape[-1], generator=generator, dtype=torch.float64)
            for key, generator in self._generators.items()
        }
        uniform = torch.stack([drawn[key] for key in self._keys])
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
        return scores.float() + gumbel.to(scores.device, torch.float32)


def _stopping_criterion(stop: threading.Event) -> Any:
    import torch
    from transformers import StoppingCriteria

    class Stopper(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            return torch.full((input_ids.shape[0],), stop.is_set(), dtype=torch.bool, device=input_ids.device)

    return Stopper()


class _Stream:
    """Collects the tokens of all rows; transformers' own streamers take one row only."""

    def __init__(self, placed: ModelSet, columns: int, rows: int, show: Callable[[Answers], None] | None):
        self._tokenizer = placed.tokenizer
        self._stops = frozenset(placed.stops)
        self._columns = columns
        self._show = show
        self._sides = [ColumnAnswer() for _ in range(rows)]
        self._ids: list[list[int]] = [[] for _ in range(rows)]

    def of(self, rows: Sequence[int]) -> "_Streamer":
        """Return what transformers puts the tokens of some rows into."""
        return _Streamer(self, rows)

    def take(self, row: int, token: int, seconds: float) -> None:
        """Take the next token of a row; those after its end are padding."""
        side = self._sides[row]
        if side.end is not None:
            return
        self._ids[row].append(token)
        first = seconds if side.first_seconds is None else side.first_seconds
        end: End | None = "turn" if token in self._stops else None
        self._sides[row] = replace(side, seconds=seconds, first_seconds=first, end=end)

    def show(self) -> None:
        """Show all rows as they are, if somebody looks."""
        if self._show:
            self._show(self._now())

    def finished(self, stopped: bool) -> Answers:
        """Return all answers with the reason for their end."""
        reason: End = "stopped" if stopped else "length"
        self._sides = [side if side.end else replace(side, end=reason) for side in self._sides]
        return self._now()

    def _now(self) -> Answers:
        sides = [self._in_words(row) for row in range(len(self._sides))]
        return tuple(tuple(sides[at : at + self._columns]) for at in range(0, len(sides), self._columns))

    def _in_words(self, row: int) -> ColumnAnswer:
        side, ids = self._sides[row], self._ids[row]
        if len(side.ids) != len(ids):
            shown = ids[:-1] if side.end == "turn" else ids
            text = self._tokenizer.decode(shown, skip_special_tokens=True)
            text = text.rstrip("\ufffd").lstrip()  # the first bytes of a character whose others are to come
            self._sides[row] = side = replace(side, text=text, ids=tuple(ids))
        return side


class _Streamer:
    """What transformers calls with the tokens of a batch."""

    def __init__(self, stream: _Stream, rows: Sequence[int]):
        self._stream, self._rows = stream, rows
        self._started: float | None = None

    def put(self, value: Any) -> None:
        """Take the prompts first, then one token for each row."""
        if self._started is None:
            self._started = time.perf_counter()
            return
        seconds = time.perf_counter() - self._started
        for row, token in zip(self._rows, value.reshape(-1).tolist(), strict=True):
            self._stream.take(row, token, seconds)
        self._stream.show()

    def end(self) -> None:
        """Nothing is held back, so there is nothing to flush."""
