"""Continuous batching: rows are answered together, and new ones join between two tokens."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from studio.config import GenerationConfig
from studio.data.conversation import Turn
from studio.errors import StudioError
from studio.generation import generate
from studio.serve.batch import Batch
from studio.serve.models import ServedModel

End = Literal["stop", "length"]


@dataclass(frozen=True)
class Progress:
    """An answer so far."""

    text: str
    """Without what may be the beginning of a stop string."""
    tokens: int
    end: End | None = None
    ids: tuple[int, ...] = field(default=(), repr=False)
    """The tokens, the end of turn included."""


@dataclass(eq=False)
class Call:
    """One answer that is wanted; `show` gets a `Progress` after each token, or the error that ended it."""

    model: ServedModel
    turns: tuple[Turn, ...]
    """A conversation that ends with a user's turn; a text to be continued as it is where `is_text`."""
    settings: GenerationConfig
    stop: tuple[str, ...]
    show: Callable[[Progress | StudioError], None]
    is_text: bool = False
    prompt_tokens: int = 0
    """Set before the first `show`."""
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Let it leave before the next token: nobody waits for the answer."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the answer."""
        return self._cancelled.is_set()


@dataclass(eq=False)
class Row:
    """The prompt of a call, and its answer."""

    call: Call
    prompt: tuple[int, ...]
    name: str
    """PEFT's name of its adapter; `generate.BASE_MODEL` for the base."""
    key: str
    """Seeds the noise, with the seed; see `generate.noise_key`."""
    most: int
    """Tokens that the answer may have."""
    alone: bool = False
    """Whether its adapter cannot be mixed with others in a batch."""
    ids: list[int] = field(default_factory=list)
    text: str = ""
    end: End | None = None
    _processors: list[Any] | None = None

    @property
    def length(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return len(self.prompt) + self.most

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is chosen, of the logits as they are."""
        return self.call.settings.temperature == 0 and self.call.settings.repetition_penalty == 1

    def choose(self, logits: Any) -> int:
        """Return the next token, given its logits (1 × vocabulary), as Compare chooses it for this row alone."""
        import torch

        if self._processors is None:
            mask = torch.ones(1, len(self.prompt), dtype=torch.long)
            self._processors = generate.logits_processors(self.call.settings, [self.key], mask)
        ids = torch.tensor([[*self.prompt, *self.ids]], device=logits.device)
        for process in self._processors:
            logits = process(ids, logits)
        return int(logits.argmax(-1))

    def add(self, token: int, tokenizer: Any, ends: frozenset[int]) -> None:
        """Append a token, and show the answer so far."""
        self.ids.append(token)
        is_turn = token in ends
        self.text = generate.visible_text(self.ids[:-1] if is_turn else self.ids, tokenizer)
        starts = [at for each in self.call.stop if (at := self.text.find(each)) >= 0]
        if starts:
            self.text = self.text[: min(starts)]
        self.end = "stop" if is_turn or starts else "length" if len(self.ids) >= self.most else None
        visible = self.text if self.end else self.text[: len(self.text) - _held_back(self.text, self.call.stop)]
        self.call.show(Progress(visible, len(self.ids), self.end, tuple(self.ids) if self.end else ()))


def _held_back(text: str, stops: Iterable[str]) -> int:
    """Return how many characters at the end of a text may be the beginning of a stop string."""
    return max(
        (size for stop in stops for size in range(1, min(len(stop), len(text) + 1)) if text.endswith(stop[:size])),
        default=0,
    )


class Decoder:
    """Rows that are answered together: in one batch, or each in its own where the model cannot join them."""

    def __init__(self, model: Callable[[], Any], tokenizer: Any, ends: Iterable[int], joins: bool, most_rows: int):
        self._model, self._tokenizer, self._ends = model, tokenizer, frozenset(ends)
        self._joins, self._most_rows = joins, most_rows
        self._batches: list[tuple[Batch, list[Row], Any]] = []
        """Each with its rows, and the logits of their next tokens."""

    @property
    def rows(self) -> list[Row]:
        """The rows whose answers are not over."""
        return [row for _, rows, _ in self._batches for row in rows]

    def has_room(self, row: Row, joining: Sequence[Row] = ()) -> bool:
        """Whether a row can join these and those that are answered already; one alone always can."""
        rows = [*self.rows, *joining, row]
        padded = len(rows) * max(each.length for each in rows)
        return len(rows) == 1 or (len(rows) <= self._most_rows and padded <= generate.MAX_BATCH_TOKENS)

    def join(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows; those of like length in one pass."""
        import torch

        alone = [row for row in rows if row.alone or not self._joins]
        for row in alone:
            batch = Batch(self._model, self._tokenizer.pad_token_id, shared=False)
            self._batches.append((batch, [row], batch.join([row.prompt], [row.name])))
        others = [row for row in rows if row not in alone]
        for numbers in generate.batches([len(row.prompt) for row in others], 0):
            group = [others[number] for number in numbers]
            shared = next((each for each in self._batches if each[0].shared), None)
            batch = shared[0] if shared else Batch(self._model, self._tokenizer.pad_token_id)
            logits = batch.join([row.prompt for row in group], [row.name for row in group])
            if shared:
                self._batches.remove(shared)
                group, logits = [*shared[1], *group], torch.cat([shared[2], logits])
            self._batches.append((batch, group, logits))

    def step(self) -> None:
        """Choose and show the next token of each row; rows whose answers are over or cancelled leave."""
        batches, self._batches = self._batches, []
        for batch, rows, logits in batches:
            likeliest = logits.argmax(-1).tolist() if any(row.is_greedy for row in rows) else []
            for number, row in enumerate(rows):
                if not row.call.is_cancelled:
                    token = likeliest[number] if row.is_greedy else row.choose(logits[number : number + 1])
                    row.add(token, self._tokenizer, self._ends)
            active = [number for number, row in enumerate(rows) if row.end is None and not row.call.is_cancelled]
            if len(active) < len(rows):
                batch.keep(active)
            if active:
                left = [rows[number] for number in active]
                self._batches.append((batch, left, batch.step([row.ids[-1] for row in left])))
