"""What the meter is to measure, and how far it is."""

from dataclasses import dataclass
from pathlib import Path

from studio.compare.columns import ADAPTED, Column
from studio.config import GenerationConfig
from studio.style.report import StyleReport

TRAINING_ROWS = 100
"""Training prompts that the base answers, for the classifier; cross-validated accuracy was 0.99 on as many."""
PROMPTS = 40


@dataclass(frozen=True)
class StyleRequest:
    """What to measure."""

    run_id: str
    columns: tuple[Column, ...] = (ADAPTED,)
    """Besides the base, which is always one."""
    rows: str = "auto"
    """`validation`, `prompts` (the preset's), the path of a file, or `auto`: the first of these that the run has."""
    limit: int = PROMPTS
    """Prompts at most, evenly spaced."""
    generation: GenerationConfig | None = None
    """None takes the run's own settings."""
    prompted: bool = True
    """Whether the base with a good prompt is a column."""
    curve: bool = False
    """Whether to measure strengths of the first adapter too, on fewer prompts."""


@dataclass(frozen=True)
class StyleProgress:
    """A measurement so far."""

    done: int
    total: int
    """Answers."""
    report: StyleReport | None = None
    path: Path | None = None
    """Where the report is stored."""
    stopped: bool = False
