"""The cards of `tests.fake_cards`: what torch is told of them, and the tensors on them."""

import contextlib
import os
import weakref
from collections import Counter
from types import SimpleNamespace
from typing import Any

import bitsandbytes  # noqa: F401  before torch has cards, for which this would load what is not built here
import safetensors.torch
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

_READS = {
    torch.ops.aten._local_scalar_dense.default: lambda args: _one(args[0]),
    torch.ops.aten.equal.default: lambda args: True,
    torch.ops.aten.is_nonzero.default: lambda args: True,
}
"""What needs numbers from a card."""


def _one(tensor: Any) -> Any:
    return torch.ones((), dtype=tensor.dtype).item()


class Cards(TorchDispatchMode):
    """Sends what is on a card to `FakeTensorMode`, and the rest to the processor. To be entered like any mode."""

    def __init__(self, memory: list[int], bfloat16: bool):
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.memory = memory
        self.cached = [0] * len(memory)
        """Bytes of each card that torch has freed and not given back to the driver."""
        self.allocated: Counter[int] = Counter()
        """Bytes of the tensors that are on each card."""
        self.peak: Counter[int] = Counter()
        """The most of them since `reset_peak`."""
        self._storages: dict[int, Any] = {}
        _tell_torch(self, bfloat16)
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(…, device="cuda")` goes by way of the processor
        torch.autograd.set_multithreading_enabled(False)  # other threads would not be in this mode
        os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        parts, _ = tree_flatten((args, kwargs))
        on_card = any(isinstance(part, FakeTensor) for part in parts)
        to_card = any(isinstance(part, torch.device) and part.type == "cuda" for part in parts)
        if not (on_card or to_card):
            return func(*args, **kwargs)
        if on_card and func in _READS:
            return _READS[func](args)
        if on_card and func is torch.ops.aten.nonzero.default:
            return args[0].new_zeros((1, args[0].dim()), dtype=torch.long)
        with self.fake:
            if not on_card or func in (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default):
                args, kwargs = tree_map(self._faked, (args, kwargs))
            made = func(*args, **kwargs)
        if func is torch.ops.aten.copy_.default and not isinstance(args[0], FakeTensor):
            return args[0]
        for part in tree_flatten(made)[0]:
            if isinstance(part, FakeTensor) and part.device.type == "cuda":
                self._count(part.untyped_storage(), part.device.index)
        return tree_map(_real, made)

    def reset_peak(self) -> None:
        """Count the most bytes from here on."""
        self.peak = Counter(self.allocated)

    def _count(self, storage: Any, card: int) -> None:
        """Count the bytes of a storage until it is freed."""
        key = storage._cdata
        if key in self._storages:
            return
        size = storage.nbytes()

        def freed(_: Any) -> None:
            del self._storages[key]
            self.allocated[card] -= size

        self._storages[key] = weakref.ref(storage, freed)
        self.allocated[card] += size
        self.peak[card] = max(self.peak[card], self.allocated[card])

    def _faked(self, part: Any) -> Any:
        if isinstance(part, torch.Tensor) and not isinstance(part, FakeTensor):
            return self.fake.from_tensor(part.detach())
        if isinstance(part, torch.device) and part == torch.device("cuda"):
            return torch.device("cuda", torch.cuda.current_device())
        return part


def _real(made: Any) -> Any:
    """Return what is read back onto the processor: ones."""
    return _ones(made) if isinstance(made, FakeTensor) and made.device.type == "cpu" else made


def _ones(made: Any) -> Any:
    return torch.ones(made.shape, dtype=made.dtype) if isinstance(made, FakeTensor) else made


def prepare_transformers() -> None:
    """Let transformers find flash attention, and take no memory in advance, of which these cards have too little.

    The kernel takes 16-bit numbers alone, and gives what has the shape.
    """
    from transformers import PreTrainedModel, modeling_utils
    from transformers import modeling_flash_attention_utils as utils

    def attend(
        q: Any, k: Any, v: Any, dropout_p: Any = 0.0, softmax_scale: Any = None, causal: Any = False,
        window_size: Any = None, softcap: Any = 0.0, deterministic: Any = False,
    ) -> Any:  # fmt: skip
        assert {q.dtype, k.dtype, v.dtype} <= {torch.float16, torch.bfloat16}, "FlashAttention only supports 16 bit"
        assert len({q.dtype, k.dtype, v.dtype}) == 1
        return q + (k.sum() + v.sum()).mul(0)

    def attend_varlen(
        q: Any, k: Any, v: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, max_seqlen_q: Any, max_seqlen_k: Any,
        dropout_p: Any = 0.0, softmax_scale: Any = None, causal: Any = False, window_size: Any = None,
        softcap: Any = 0.0, deterministic: Any = False,
    ) -> Any:  # fmt: skip
        assert {cu_seqlens_q.dtype, cu_seqlens_k.dtype} == {torch.int32}
        assert {cu_seqlens_q.device, cu_seqlens_k.device} == {q.device}
        assert isinstance(max_seqlen_q, int)
        return attend(q, k, v)

    modeling_utils.caching_allocator_warmup = lambda *args, **kwargs: None
    PreTrainedModel._flash_attn_can_dispatch = lambda *args, **kwargs: True
    utils._lazy_imports = lambda *args, **kwargs: (attend, attend_varlen, None, utils._pad_input, utils._unpad_input)


_moved: dict[int, tuple[Any, Any]] = {}
"""What weights became in the present call of `_apply`: tied ones stay tied."""


def _apply(module: Any, change: Any, recurse: bool = True) -> Any:
    """Take the place of `Module._apply`, which cannot put a fake tensor where a real one was."""
    outermost = not _moved
    _moved.setdefault(0, (None, None))
    for child in module.children() if recurse else ():
        child._apply(change)
    for name, weights in module._parameters.items():
        if weights is not None:
            if id(weights) not in _moved:
                with torch.no_grad():
                    made = change(weights)
                if not isinstance(made, torch.nn.Parameter):
                    made = torch.nn.Parameter(made, weights.requires_grad)
                _moved[id(weights)] = weights, made
            module._parameters[name] = _moved[id(weights)][1]
    for name, values in module._buffers.items():
        if values is not None:
            module._buffers[name] = change(values)
    if outermost:
        _moved.clear()
    return module


def _tell_torch(cards: Cards, bfloat16: bool) -> None:
    """Let `torch.cuda` answer for the cards."""
    current = SimpleNamespace(card=0)

    def number(device: Any = None) -> int:
        if device is None:
            return current.card
        index = device if isinstance(device, int) else torch.device(device).index
        return current.card if index is None or index < 0 else index

    def use(device: Any) -> None:
        current.card = number(device)

    def free(device: Any) -> int:
        card = number(device)
        return max(0, cards.memory[card] - cards.allocated[card] - cards.cached[card])

    class Used(contextlib.AbstractContextManager):
        def __init__(self, device: Any):
            self.card = number(device)

        def __enter__(self) -> None:
            self.before, current.card = current.card, self.card

        def __exit__(self, *error: Any) -> None:
            current.card = self.before

    properties = SimpleNamespace(
        name="fake card", major=8 if bfloat16 else 7, minor=0 if bfloat16 else 5, multi_processor_count=40,
        total_memory=max(cards.memory), warp_size=32,
    )  # fmt: skip
    answers = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "device_count": lambda: len(cards.memory),
        "current_device": lambda: current.card,
        "set_device": use,
        "device": Used,
        "mem_get_info": lambda device=None: (free(device), cards.memory[number(device)]),
        "memory_reserved": lambda device=None: cards.allocated[number(device)] + cards.cached[number(device)],
        "memory_allocated": lambda device=None: cards.allocated[number(device)],
        "max_memory_allocated": lambda device=None: cards.peak[number(device)],
        "reset_peak_memory_stats": lambda device=None: cards.reset_peak(),
        "empty_cache": lambda: None,
        "ipc_collect": lambda: None,
        "synchronize": lambda device=None: None,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "get_rng_state": lambda device=None: torch.zeros(16, dtype=torch.uint8),
        "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8) for _ in cards.memory],
        "set_rng_state": lambda state, device=None: None,
        "set_rng_state_all": lambda states: None,
        "is_bf16_supported": lambda including_emulation=True: bfloat16,
        "get_device_name": lambda device=None: "fake card",
        "get_device_capability": lambda device=None: (properties.major, properties.minor),
        "get_device_properties": lambda device=None: properties,
        "current_stream": lambda device=None: SimpleNamespace(synchronize=lambda: None),
        "is_current_stream_capturing": lambda: False,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    torch.nn.Module._apply = _apply
    FakeTensor.__reduce_ex__ = lambda tensor, protocol: _ones(tensor).__reduce_ex__(protocol)
    FakeTensor.data_ptr = lambda tensor: tensor.untyped_storage()._cdata  # accelerate takes equal ones for tied weights
    save = safetensors.torch.save_file
    safetensors.torch.save_file = lambda tensors, *args, **named: save(tree_map(_ones, tensors), *args, **named)
    torch.Tensor.pin_memory = lambda tensor, device=None: tensor
    for name in ("get_rng_state", "get_rng_state_all", "set_rng_state", "set_rng_state_all"):
        setattr(torch.cuda.random, name, answers[name])
