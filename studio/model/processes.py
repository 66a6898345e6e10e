"""The processes that carry out one run together, one for each GPU, as `accelerate launch` or `torchrun` starts them.

All take the same way through the run, and what only one of them knows (a request, a plan, a file that was read) it
tells the others here. The first one writes, all others look on. A process by itself is the first and the only one, so
that nothing above has to ask how many there are. The talk has a channel of its own, on the processors, where it does
not mix with the gradients, and where one may be waited for as long as loading a model takes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from studio.errors import DeviceError

PATIENCE = timedelta(days=7)
"""How long one process waits for another that lives: a run may wait for its turn. One that dies is noticed at once."""

GONE = "device.process_gone"
"""Key of the error of a run that has lost one of its processes."""

_channel: Any = None


def launched() -> bool:
    """Whether this process was started as one of several, by what the launcher has set for it."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and {"RANK", "MASTER_ADDR"} <= os.environ.keys()


def join() -> None:
    """Meet the other processes; from here on this one has its number, and a card of its own.

    The numbers are computed in the precision of the run's settings, whatever the launch file says.
    """
    global _channel
    import torch
    from accelerate import PartialState

    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    PartialState(cpu=not torch.cuda.is_available())
    _channel = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)


def leave() -> None:
    """Part from the others, when all have come to their end."""
    global _channel
    if _channel is None:
        return
    import torch

    _channel = None
    with suppress(RuntimeError):
        torch.distributed.destroy_process_group()


def count() -> int:
    """Return how many processes carry out a run together; 1 before they have met."""
    return int(os.environ["WORLD_SIZE"]) if _channel else 1


def on_this_machine() -> int:
    """Return how many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _channel else 1


def number() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ["RANK"]) if _channel else 0


def is_first() -> bool:
    """Whether this is the process that writes."""
    return number() == 0


def sharded() -> bool:
    """Whether each process holds a part of the weights only (FSDP), so that they compute and save together."""
    return count() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def tell(value: Any = None) -> Any:
    """Return the `value` of the first process, in all of them; each waits until the first has come here."""
    if _channel is None:
        return value
    import torch

    told = [value]
    with noticing():
        torch.distributed.broadcast_object_list(told, src=0, group=_channel)
    return told[0]


def agree(code: int) -> int:
    """Return the largest code that any process has, in all of them; each waits until all have come here."""
    if _channel is None:
        return code
    import torch

    codes = torch.tensor([code])
    with noticing():
        torch.distributed.all_reduce(codes, op=torch.distributed.ReduceOp.MAX, group=_channel)
    return int(codes)


@contextmanager
def noticing() -> Iterator[None]:
    """Raise DeviceError when another process is gone, in place of what the library says then."""
    try:
        yield
    except RuntimeError as error:
        if count() == 1 or not _tells_of_the_others(error):
            raise
        raise DeviceError(GONE, count=count()) from error


def _tells_of_the_others(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()
