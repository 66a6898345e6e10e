"""A base with the adapters in it: what answers the prompts of a batch."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from studio.model import multi_adapter

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

    def using(self, name: str | None) -> AbstractContextManager[None]:
        """Let one adapter (or the base) answer whole batches, where the columns cannot be mixed."""
        return nullcontext() if name is None else use_adapter(self.model, name)


@contextmanager
def use_adapter(model: Any, name: str) -> Iterator[None]:
    """Let one adapter of a PEFT model, or its base, answer whole batches."""
    before = multi_adapter.active_state(model)
    multi_adapter.activate(model, None if name == BASE_MODEL else name)
    try:
        yield
    finally:
        multi_adapter.restore(before)
