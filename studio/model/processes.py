"""The processes of one distributed run, one for each GPU, as `accelerate launch` or `torchrun` starts them.

All execute the same code; the main process writes, and broadcasts what it alone knows (a request, a plan, a file). A
single process is the main process of a world of one. The messages have a gloo group of their own on the CPU, apart from
the gradients, with a timeout that is long enough for loading a model.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from studio.errors import DeviceError

COLLECTIVE_TIMEOUT = timedelta(days=7)
"""Timeout of a collective: a run may wait for its turn. A process that dies is noticed at once."""

LOST_PEER = "device.process_gone"
"""Message key of a run that has lost one of its processes."""

_group: Any = None


def launched() -> bool:
    """Whether a launcher has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and {"RANK", "MASTER_ADDR"} <= os.environ.keys()


def join() -> None:
    """Join the process group, with a rank and a GPU of its own; mixed precision follows the run's settings."""
    global _group
    import torch
    from accelerate import PartialState

    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    PartialState(cpu=not torch.cuda.is_available())
    _group = torch.distributed.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)


def leave() -> None:
    """Leave the process group at the end."""
    global _group
    if _group is None:
        return
    import torch

    _group = None
    with suppress(RuntimeError):
        torch.distributed.destroy_process_group()


def world_size() -> int:
    """Return the number of processes of the run; 1 before `join`."""
    return int(os.environ["WORLD_SIZE"]) if _group else 1


def local_world_size() -> int:
    """Return the number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _group else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return int(os.environ["RANK"]) if _group else 0


def is_main_process() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def sharded() -> bool:
    """Whether each process holds a part of the weights only (FSDP), so that they compute and save together."""
    return world_size() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def broadcast(value: Any = None) -> Any:
    """Return the `value` of the main process in all processes; each waits for the main process."""
    if _group is None:
        return value
    import torch

    values = [value]
    with translate_lost_peer():
        torch.distributed.broadcast_object_list(values, src=0, group=_group)
    return values[0]


def all_reduce_max(code: int) -> int:
    """Return the largest code of any process in all processes; each waits for all."""
    if _group is None:
        return code
    import torch

    codes = torch.tensor([code])
    with translate_lost_peer():
        torch.distributed.all_reduce(codes, op=torch.distributed.ReduceOp.MAX, group=_group)
    return int(codes)


@contextmanager
def translate_lost_peer() -> Iterator[None]:
    """Raise DeviceError in place of the library's error when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        import torch

        is_collective = isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()
        if world_size() == 1 or not is_collective:
            raise
        raise DeviceError(LOST_PEER, count=world_size()) from error
