"""The settings of a run on preferences that continues another run: few steps at a low rate, each with its reason.

Preferences overshoot soon: at four times the rate below, a model that was to say one word said nothing else.
"""

import math
from pathlib import Path

from studio.config import MappingConfig, Method, RunConfig
from studio.data import prepare
from studio.errors import DataError
from studio.i18n import message
from studio.model.hardware import Choice
from studio.runs import Run

LEARNING_RATE = 5e-5
BATCH = 4
STEPS = 38
"""Steps after which a clear preference has been learned from 75 pairs."""
MAX_EPOCHS = 4
MIN_VALIDATED = 60
"""Rows from which on some are kept to validate on."""


def settings(run: Run, source: Path, method: Method, rows: int, mapping: MappingConfig | None = None) -> RunConfig:
    """Return the settings of a run that continues `run` on so many preferences; no `mapping` detects the columns."""
    before = run.config()
    steps = math.ceil(rows / BATCH)
    validation = {"kind": "fraction", "fraction": 0.1} if rows >= MIN_VALIDATED else {"kind": "none"}
    return before.with_settings(
        {
            "preset": None,
            "data.source": {"kind": "file", "name": str(source)},
            "data.limit": None,
            "data.mapping": mapping and mapping.model_dump(),
            "data.train_on": "completion",
            "data.validation": validation,
            "model.adapter": run.id,
            "train.method": method,
            "train.learning_rate": LEARNING_RATE,
            "train.epochs": float(min(MAX_EPOCHS, max(1, math.ceil(STEPS / max(1, steps))))),
            "train.max_steps": None,
            "train.batch_size": BATCH,
            "train.gradient_accumulation": 1,
            "train.warmup_steps": 0,
            "train.warmup_ratio": 0.0,
            "train.neftune_alpha": None,
            "train.eval_steps": 10,
            "train.keep": "last",
            "train.early_stopping": None,
        }
    )


def choices(config: RunConfig, rows: int) -> tuple[Choice, ...]:
    """Return what was chosen for a run on `rows` preferences, with the reasons."""
    steps = math.ceil(config.train.epochs * math.ceil(rows / BATCH))
    rate = f"{config.train.learning_rate:g}".replace("e-0", "e-")
    return (
        Choice("method", config.train.method, message(f"choice.preference.{config.train.method}")),
        Choice("learning_rate", rate, message("choice.preference.rate")),
        Choice("epochs", f"{config.train.epochs:g}", message("choice.preference.epochs", rows=rows, steps=steps)),
    )


def detect_method(source: Path) -> Method:
    """Return how the rows of a file can be learned: as pairs, else as labelled answers; raises DataError."""
    data = RunConfig().with_settings({"data.source": {"kind": "file", "name": str(source)}}).data
    try:
        prepare.mapping(data, "dpo")
    except DataError as error:
        try:
            prepare.mapping(data, "kto")
        except DataError:
            raise error from None
        return "kto"
    return "dpo"


def count_rows(source: Path) -> int:
    """Return how many rows a file has; raises DataError."""
    data = RunConfig().with_settings({"data.source": {"kind": "file", "name": str(source)}}).data
    return prepare.table(data).count
