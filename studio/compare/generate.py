"""Generate with base and adapter in one batch, streamed together.

Both sides get the same prompt tokens and, when sampling, the same noise: seeded Gumbel noise is added to the processed
logits of every side and the largest wins, which is exact sampling (the Gumbel-max trick; Gumbel 1954, Maddison et al.
2014). So what differs between the sides is the model and not luck.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from studio.config import GenerationConfig
from studio.data import tokens
from studio.data.prompt import Segment
from studio.model.adapter import TUNED

BASE, ADAPTER = "__base__", TUNED
End = Literal["turn", "length", "stopped"]


@dataclass(frozen=True)
class CompareRequest:
    """What to ask both sides of a run."""

    run_id: str
    prompt: str
    generation: GenerationConfig


@dataclass(frozen=True)
class Side:
    """One side's answer so far."""

    name: Literal["before", "after"]
    text: str = ""
    tokens: int = 0
    """Number of tokens, the end of turn included."""
    seconds: float = 0.0
    """Time since the first forward pass began."""
    end: End | None = None
    """Why the answer is over; None while it goes on."""


def answer(
    model: Any,
    tokenizer: Any,
    segments: Sequence[Segment],
    settings: GenerationConfig,
    show: Callable[[list[Side]], None],
    stop: threading.Event,
) -> list[Side]:
    """Answer one prompt with base and adapter; `show` is called with both sides after every token.

    `model` is a PEFT model in evaluation mode. Returns the finished sides, before and after.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    ids = torch.tensor([tokens.prompt_ids(segments, tokenizer)] * 2, device=model.device)
    stops = sorted(tokens.stop_ids(tokenizer, model.generation_config))
    streamer = _SideStreamer(tokenizer, stops, show)
    with torch.no_grad():
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            adapter_names=[BASE, ADAPTER],
            max_new_tokens=settings.max_new_tokens,
            do_sample=False,  # sampling is done by the processors, so that both sides share the noise
            temperature=None,
            top_k=None,
            top_p=None,
            repetition_penalty=1.0,
            eos_token_id=stops,
            pad_token_id=tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList(processors(settings)),
            stopping_criteria=StoppingCriteriaList([_stopper(stop)]),
            streamer=streamer,
        )
    sides = streamer.finished(stopped=stop.is_set())
    show(sides)
    return sides


def processors(settings: GenerationConfig) -> list[Any]:
    """Return the steps from logits to the choice of a token, in the order that transformers uses."""
    from transformers import (
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    steps: list[Any] = []
    if settings.repetition_penalty != 1.0:
        steps.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    if settings.temperature > 0:
        steps.append(TemperatureLogitsWarper(settings.temperature))
        if settings.top_k:
            steps.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1:
            steps.append(TopPLogitsWarper(settings.top_p))
        steps.append(_shared_noise(settings.seed))
    return steps


def _shared_noise(seed: int) -> Any:
    """Make a logits processor that adds the same Gumbel noise to every row: draw n of `seed` for token n."""
    import torch
    from transformers import LogitsProcessor

    class SharedNoise(LogitsProcessor):
        def __init__(self) -> None:
            self._generator = torch.Generator().manual_seed(seed)

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            uniform = torch.rand(scores.shape[-1], generator=self._generator, dtype=torch.float64)
            gumbel = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
            return scores.float() + gumbel.to(scores.device, torch.float32)

    return SharedNoise()


def _stopper(stop: threading.Event) -> Any:
    import torch
    from transformers import StoppingCriteria

    class Stopper(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            return torch.full((input_ids.shape[0],), stop.is_set(), dtype=torch.bool, device=input_ids.device)

    return Stopper()


class _SideStreamer:
    """Collects the tokens of both rows of a batch; transformers' own streamers take one row only."""

    def __init__(self, tokenizer: Any, stops: Sequence[int], show: Callable[[list[Side]], None]):
        self._tokenizer = tokenizer
        self._stops = frozenset(stops)
        self._show = show
        self._ids: list[list[int]] = [[], []]
        self._sides = [Side("before"), Side("after")]
        self._prompt_seen = False
        self._started = 0.0

    def put(self, value: Any) -> None:
        """Take the prompt first, then one token for each row."""
        if not self._prompt_seen:
            self._prompt_seen, self._started = True, time.perf_counter()
            return
        seconds = time.perf_counter() - self._started
        for row, token in enumerate(value.reshape(-1).tolist()):
            if self._sides[row].end is None:
                self._ids[row].append(token)
                self._sides[row] = self._side(row, seconds, "turn" if token in self._stops else None)
        self._show(list(self._sides))

    def end(self) -> None:
        """Nothing is held back, so there is nothing to flush."""

    def finished(self, stopped: bool) -> list[Side]:
        """Return the sides with the reason for their end."""
        reason: End = "stopped" if stopped else "length"
        return [side if side.end else replace(side, end=reason) for side in self._sides]

    def _side(self, row: int, seconds: float, end: End | None) -> Side:
        ids = self._ids[row]
        text = self._tokenizer.decode(ids[:-1] if end else ids, skip_special_tokens=True)
        text = text.rstrip("\ufffd")  # the first bytes of a character whose others are to come
        return Side(self._sides[row].name, text.lstrip(), len(ids), seconds, end)
