"""Several recipes in one making: passages shared out between them, and rows in one shape and order."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")
SEPARATOR = ", "
"""Stands between the keywords of a prompt."""


def share_out(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """Return `count` shares of the items: each item is in one, and the shares are alike all through the material."""
    return [items[number::count] for number in range(count)]


def interleave(streams: Iterable[Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield one row of each stream in turn, so that the first rows show every recipe."""
    waiting = list(streams)
    while waiting:
        for stream in list(waiting):
            row = next(stream, None)
            if row is None:
                waiting.remove(stream)
            else:
                yield row


def in_one_shape(rows: Iterable[dict[str, Any]], as_messages: bool) -> Iterator[dict[str, Any]]:
    """Yield rows of all recipes with the same columns: `messages`, or `prompt` and `completion`; and `source`."""
    for row in rows:
        if "messages" in row:
            yield row
            continue
        keys = [value for name, value in row.items() if name.startswith("key")]
        prompt, completion = row.get("prompt", SEPARATOR.join(keys)), row.get("completion", row.get("output"))
        if as_messages:
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
            yield {"messages": turns, "source": row["source"]}
        else:
            yield {"prompt": prompt, "completion": completion, "source": row["source"]}
