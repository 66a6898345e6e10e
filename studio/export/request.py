"""What is asked of an export, and how it goes on."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio.i18n import DEFAULT_LANGUAGE, Message

if TYPE_CHECKING:
    from studio.export.verify.result import Verification

Kind = Literal["adapter", "merged", "script", "example", "ollama", "gguf", "space"]
KINDS: tuple[Kind, ...] = ("adapter", "merged", "script", "example", "ollama", "gguf", "space")
MERGED: tuple[Kind, ...] = ("merged", "ollama", "gguf")
"""Kinds that hold the base with the adapter merged into it, in a number format."""
RUNNER = "xllamacpp"
"""The Python package that runs GGUF files; no requirement."""


def can_verify(kind: Kind) -> bool:
    """Whether a kind can be checked here: GGUF only where llama.cpp's Python package is installed."""
    return kind != "gguf" or find_spec(RUNNER) is not None


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to."""

    run_id: str
    kind: Kind
    out: Path | None = None
    """The folder to write; None takes one in the run's directory."""
    zip: bool = False
    """Whether to pack it into a zip too."""
    verify: bool = False
    """Whether a fresh process loads it, and its answers are compared with the run's."""
    precision: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Number format of a merged model."""
    converter: Path | None = None
    """The file `convert_hf_to_gguf.py` of the user's own llama.cpp, for GGUF."""
    language: str = DEFAULT_LANGUAGE
    """The language of the model card and of what else is written for people."""
    write: bool = True
    """Whether it is made, or made anew; else the one that stands there is taken as it is."""


@dataclass(frozen=True)
class Exporting:
    """An export as it goes on."""

    phase: str
    """Name of its words in the catalogues, under `phase.`; `done` at the end."""
    share: float | None = None
    """Share of the phase that is done (0 to 1), where that is known."""
    folder: Path | None = None
    """The export, once it is there."""
    zip: Path | None = None
    notes: tuple[Message, ...] = ()
    """What was chosen, and what is to be known about the export."""
    verification: "Verification | None" = None
