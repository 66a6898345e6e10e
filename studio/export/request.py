"""The request for an export, and its progress."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio.i18n import DEFAULT_LANGUAGE, Message

if TYPE_CHECKING:
    from studio.export.verify.verification import Verification

Kind = Literal["adapter", "merged", "script", "example", "gguf", "space"]
KINDS: tuple[Kind, ...] = ("adapter", "merged", "script", "example", "gguf", "space")
QUANTIZED = ("q8_0", "q4_k_m")
"""Formats of a GGUF file with 8 and about 5 bits for a weight."""
NumberFormat = Literal["auto", "bfloat16", "float16", "float32", "q8_0", "q4_k_m"]
DTYPES: tuple[NumberFormat, ...] = ("auto", "bfloat16", "float16", "float32")
FORMATS: dict[Kind, tuple[NumberFormat, ...]] = {"merged": DTYPES, "gguf": (*DTYPES, *QUANTIZED)}
"""The number formats of the kinds that hold the base with the adapter merged into it."""
LLAMA_CPP = "cyllama"
"""The optional Python package with llama.cpp, which runs GGUF files and quantizes them to Q4_K_M."""

OnProgress = Callable[[str, float | None], None]
"""Called with the phase and the share of it that is done; raises to stop."""


def has_llama_cpp() -> bool:
    """Whether `LLAMA_CPP` is installed."""
    return find_spec(LLAMA_CPP) is not None


def can_verify(kind: Kind) -> bool:
    """Whether a kind can be verified here: GGUF only with llama.cpp."""
    return kind != "gguf" or has_llama_cpp()


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to."""

    run_id: str
    kind: Kind
    out: Path | None = None
    """The folder to write; None takes one in the run's directory."""
    zip: bool = False
    verify: bool = False
    precision: NumberFormat = "auto"
    """One of the kind's `FORMATS`; without meaning for other kinds."""
    language: str = DEFAULT_LANGUAGE
    comparisons: tuple[str, ...] | None = None
    """Ids of the saved comparisons in the model card; None takes those of pinned and held-out prompts."""
    strength: float = 1.0
    """Factor of the adapter's scaling; a script has none, since it trains from the start."""
    write: bool = True
    """Whether to write the export; else the existing one is verified or packed."""


@dataclass(frozen=True)
class ExportProgress:
    """The state of an export."""

    phase: str
    """Its words are in the catalogues, under `phase.`; `done` at the end."""
    share: float | None = None
    """The share of the phase that is done (0 to 1), if known."""
    folder: Path | None = None
    zip: Path | None = None
    notes: tuple[Message, ...] = ()
    verification: "Verification | None" = None
