"""The request for an export, and its progress."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio.i18n import DEFAULT_LANGUAGE, Message

if TYPE_CHECKING:
    from studio.export.verify.verification import Verification

Kind = Literal["adapter", "merged", "script", "example", "ollama", "gguf", "space"]
KINDS: tuple[Kind, ...] = ("adapter", "merged", "script", "example", "ollama", "gguf", "space")
PRECISIONS = ("auto", "bfloat16", "float16", "float32")
MERGED: tuple[Kind, ...] = ("merged", "ollama", "gguf")
"""Kinds that hold the base with the adapter merged into it."""
RUNNER = "xllamacpp"
"""The optional Python package that runs GGUF files."""

OnProgress = Callable[[str, float | None], None]
"""Called with the phase and the share of it that is done; raises to stop."""


def can_verify(kind: Kind) -> bool:
    """Whether a kind can be verified here: GGUF only where `RUNNER` is installed."""
    return kind != "gguf" or find_spec(RUNNER) is not None


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to."""

    run_id: str
    kind: Kind
    out: Path | None = None
    """The folder to write; None takes one in the run's directory."""
    zip: bool = False
    verify: bool = False
    precision: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    converter: Path | None = None
    """`convert_hf_to_gguf.py` of the user's llama.cpp, for GGUF."""
    language: str = DEFAULT_LANGUAGE
    comparisons: tuple[str, ...] | None = None
    """Ids of the saved comparisons in the model card; None takes those of pinned and held-out prompts."""
    strength: float = 1.0
    """Factor of the adapter's scaling; a script has none, since it trains anew."""
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
