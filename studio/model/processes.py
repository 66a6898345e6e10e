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

COLLECTIVE_TIMEOUT = timedelta(days=7)
"""How long one process waits for another that lives: a run may wait for its turn. One that dies is noticed at once."""

LOST_PEER = "device.process_gone"
"""Key of the error of a run that has lost one of its processes."""

_group: Any = None


def launched() -> bool:
    """Whether this process was started as one of several, by what the launcher has set for it."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and {"RANK", "MASTER_ADDR"} <= os.environ.keys()


def join() -> None:
    """Meet the other processes; from here on this one has its number, and a card of its own.

    The numbers are computed in the precision of the run's settings, whatever the launch file says.
    """
    global _group
    import torch
    from accelerate import PartialState

    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    PartialState(cpu=not torch.cuda.is_available())
    _group = torch.distributed.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)


def leave() -> None:
    """Part from the others, when all have come to their end."""
    global _group
    if _group is None:
        return
    import torch

    _group = None
    with suppress(RuntimeError):
        torch.distributed.destroy_process_group()


def world_size() -> int:
    """Return how many processes carry out a run together; 1 before they have met."""
    return int(os.environ["WORLD_SIZE"]) if _group else 1


def local_world_size() -> int:
    """Return how many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _group else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ["RANK"]) if _group else 0


def is_main_process() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def sharded() -> bool:
    """Whether each process holds a part of the weights only (FSDP), so that they compute and save together."""
    return world_size() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def broadcast(value: Any = None) -> Any:
    """Return the `value` of the first process, in all of them; each waits until the first has come here."""
    if _group is None:
        return value
    import torch

    told = [value]
    with translate_lost_peer():
        torch.distributed.broadcast_object_list(told, src=0, group=_group)
    return told[0]


def all_reduce_max(code: int) -> int:
    """Return the largest code that any process has, in all of them; each waits until all have come here."""
    if _group is None:
        return code
    import torch

    codes = torch.tensor([code])
    with translate_lost_peer():
        torch.distributed.all_reduce(codes, op=torch.distributed.ReduceOp.MAX, group=_group)
    return int(codes)


@contextmanager
def translate_lost_peer() -> Iterator[None]:
    """Raise DeviceError when another process is gone, in place of what the library says then."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not _comes_from_a_collective(error):
            raise
        raise DeviceError(LOST_PEER, count=world_size()) from error


def _comes_from_a_collective(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()
