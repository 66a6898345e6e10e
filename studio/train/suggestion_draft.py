"""Settings on their way to better ones: what is known of data, model and device, and what was changed, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.config import RunConfig, value_of
from studio.data.health import Report, padded
from studio.data.prepare import split
from studio.i18n import Message
from studio.model import estimate, hardware
from studio.model.load import Located
from studio.train import plan
from studio.train.plan import Plan


@dataclass(frozen=True)
class Suggestion:
    """A setting that would suit better, and why."""

    path: str
    before: Any
    value: Any
    reason: Message


@dataclass(frozen=True)
class Facts:
    """What the rules know."""

    report: Report
    korean: bool
    located: Located | None
    """None while the model is not on this machine: then nothing is said about lengths and memory."""
    device: str
    free: Sequence[float]
    """Bytes of the device's memory that a run may use."""

    @property
    def usable(self) -> int:
        """Rows that can be used, before the split."""
        return self.report.usable

    @property
    def architecture(self) -> dict[str, Any]:
        """What the model's `config.json` says of its language part."""
        settings = self.located.settings if self.located else {}
        return settings.get("text_config") or settings


class Draft:
    """The settings as the rules have changed them so far; a later rule sees what the earlier ones decided."""

    def __init__(self, config: RunConfig, facts: Facts):
        self.config = config
        self.facts = facts
        self.warnings: list[Message] = []
        self._first = config
        self._reasons: dict[str, Message] = {}

    def set(self, path: str, value: Any, reason: Message) -> None:
        """Change a setting; the last reason for it counts."""
        self.config = self.config.with_settings({path: value})
        self._reasons[path] = reason

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """What differs now from what was given."""
        return tuple(
            Suggestion(path, value_of(self._first, path), value_of(self.config, path), reason)
            for path, reason in self._reasons.items()
            if value_of(self._first, path) != value_of(self.config, path)
        )

    @property
    def rows(self) -> int:
        """Training rows, after the split."""
        report, chosen = self.facts.report, self.config.data.validation
        if chosen == self._first.data.validation:
            return report.train
        return len(split(range(report.usable), chosen.fraction, self.config.data.seed)[0])

    @property
    def longest(self) -> int:
        """Tokens of the longest row, after cutting."""
        return int(min(self.facts.report.lengths.max(), self.config.data.max_length))

    def plan(self, **changes: Any) -> Plan:
        """Plan a run with the settings, some of them changed for the question (`train__batch_size=1`)."""
        assert self.facts.located is not None
        config = self.config.with_settings({name.replace("__", "."): value for name, value in changes.items()})
        return plan.make(config, self.facts.located, rows=self.rows, longest=self.longest, free=self.facts.free)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return plan.count_steps(self.config.train, self.rows)

    @property
    def knows_lengths(self) -> bool:
        """Whether the model is here, with its tokenizer, so that lengths and memory can be told."""
        lengths = self.facts.report.lengths
        return self.facts.located is not None and lengths is not None and len(lengths) > 0

    def epoch_seconds(self) -> float | None:
        """Estimate the seconds of an epoch; None while the lengths are not known."""
        if not self.knows_lengths:
            return None
        planned = self.plan()
        kept = self.facts.report.lengths.clip(max=self.config.data.max_length)
        tokens = padded(kept, planned.settings.batch_size, self.config.train.length_grouping)
        return estimate.epoch_seconds(
            int(tokens * self.rows / len(kept)),
            self.facts.located.path,
            hardware.precision(self.config.model.precision, self.facts.architecture.get("model_type", "")).value,
            upper_half=self.config.lora.layers == "upper-half",
            checkpointing=planned.settings.gradient_checkpointing == "on",
        )
