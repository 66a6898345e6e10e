"""How much memory a run will take, before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from studio.model.hardware import layer_shares
from studio.model.skeleton import Skeleton

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes a weight in NF4 with double quantization: 4 bits, one 8-bit scale for 64 weights, one 32-bit scale for 256 of
these (Dettmers et al. 2023, QLoRA, section 3)."""

BYTES_PER_NUMBER = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes a number."""

OPTIMIZER_BYTES = {
    "adamw_torch": 8.0,
    "adamw_torch_fused": 8.0,
    "paged_adamw_32bit": 8.0,
    "adamw_8bit": 2.1,
    "paged_adamw_8bit": 2.1,
    "adafactor": 0.1,
    "sgd": 0.0,
}
"""Bytes of state a trained weight: two moments of 32 or of 8 bits (Dettmers et al. 2021, 8-bit optimizers: with a scale
for 256 weights each), or a row and a column of one (Shazeer and Stern 2018, Adafactor), or none."""

LOGITS_PER_CHUNK = 256
"""Tokens whose logits exist at the same time; see `train.packed_trainer.ChunkedCrossEntropy`."""
LOGIT_BYTES = 12
"""Bytes of a logit at the peak: in 16 bits as it is computed, in float32, and once more while they are summed."""

CPU_RESIDENT = 1.4
"""Resident bytes for each byte that autograd keeps on a processor. The C library's heap keeps what the passes free, in
holes; measured on Linux with glibc, two sizes of model, 1.25 to 1.4 (1.6 to 2.3 where TRL computed all logits)."""
CPU_RECOMPUTED = 0.5
"""Share of the above that is left with gradient checkpointing; measured, for the same reason as `CPU_RESIDENT`."""
LIBRARY_BYTES = {"cpu": 200e6, "cuda": 300e6, "mps": 300e6}
"""Bytes that the libraries take for themselves when they first compute; on a processor also what the C library keeps of
the passes (see `hardware.prepare_process`)."""


@dataclass(frozen=True)
class Memory:
    """A forecast of the memory that a run adds to the process at its peak, in bytes, by what takes it."""

    weights: float
    adapter: float
    """The trained weights, their gradients, and the copy of the last good ones, in float32."""
    optimizer: float
    activations: float
    """0 where they could not be counted."""
    logits: float
    libraries: float

    @property
    def is_whole(self) -> bool:
        """Whether the activations were counted; without them it is a lower bound."""
        return self.activations > 0

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.adapter + self.optimizer + self.activations + self.logits + self.libraries


def forecast(
    skeleton: Skeleton,
    *,
    device: str,
    precision: str,
    quantization: str,
    optimizer: str,
    saved_per_layer: float | None,
    rows: int,
    length: int,
    checkpointing: bool,
) -> Memory:
    """Forecast the peak memory of training with micro-batches of `rows` rows of `length` tokens.

    `saved_per_layer` is what `skeleton.saved_bytes_per_layer` counts; None leaves the activations out. Without
    checkpointing, the layers with an adapter and all above keep that much for each row. With it, they keep their input,
    and one layer at a time is computed again (Chen et al. 2016, sublinear memory cost). A quantized base is dequantized
    one module at a time, into 16 bits.
    """
    width = BYTES_PER_NUMBER[precision]
    small = {"none": width, "nf4": NF4_BYTES, "fp4": NF4_BYTES, "int8": 1.0}[quantization]
    weights = (skeleton.total - skeleton.in_layers) * width + skeleton.in_layers * small
    if quantization != "none":
        weights += 2 * skeleton.largest
    each = saved_per_layer or 0.0
    activations = rows * each * skeleton.layers_trained
    if checkpointing and saved_per_layer is not None:
        inputs = rows * length * skeleton.hidden * width * skeleton.layers
        activations = max(CPU_RECOMPUTED * activations, inputs) if device == "cpu" else inputs + rows * each
    return Memory(
        weights=weights,
        adapter=12.0 * skeleton.trained,
        optimizer=OPTIMIZER_BYTES[optimizer] * skeleton.trained,
        activations=activations * (CPU_RESIDENT if device == "cpu" else 1.0),
        logits=float(LOGIT_BYTES * min(rows * length, LOGITS_PER_CHUNK) * skeleton.vocabulary),
        libraries=LIBRARY_BYTES[device],
    )


def sharded(memory: Memory, processes: int) -> Memory:
    """Return the forecast for one of several processes over which all weights and the optimizer's state are spread."""
    spread = {name: getattr(memory, name) / processes for name in ("weights", "adapter", "optimizer")}
    return replace(memory, **spread)


def on_fullest_card(memory: Memory, skeleton: Skeleton, free: Sequence[float]) -> tuple[Memory, float]:
    """Return what a run takes on the card that it fills most, and what is free there.

    `memory` is the run's forecast on a single card. A card holds its share of the layers, rounded up to whole ones,
    with their adapter, gradients, optimizer and activations. Embedding and output layer are on the first card and on
    the last: each counts for both, since a tied one lies on the first. The libraries take their part on every card.
    """
    outside_layers = (skeleton.total - skeleton.in_layers) / skeleton.total
    cards = []
    for share, free_bytes in zip(layer_shares(free), free, strict=True):
        if not share:
            continue
        part = min(1.0, share + 1 / skeleton.layers)
        on_card = replace(
            memory,
            weights=memory.weights * (outside_layers + (1 - outside_layers) * part),
            **{name: getattr(memory, name) * part for name in ("adapter", "optimizer", "activations")},
        )
        cards.append((on_card, free_bytes))
    return max(cards, key=lambda card: card[0].total / max(1.0, card[1]), default=(memory, free[0]))
