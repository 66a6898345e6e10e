"""The metadata of a run, from its directory: settings, choices, versions, results, files."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import presets
from studio.config import RunConfig, differing, fields, value_of
from studio.errors import ConfigError
from studio.events import Chosen
from studio.files import read_as, read_json
from studio.runs import Run, State, checkpoints, history, metadata
from studio.runs.history import Summary

if TYPE_CHECKING:
    from studio.evaluate.scoreboard import Scoreboard


@dataclass(frozen=True)
class SavedScoreboard:
    """A scoreboard in the run's directory."""

    at: float
    adapter: str
    """What was measured: `now`, or a checkpoint (`step-000100`)."""
    board: "Scoreboard"


@dataclass(frozen=True)
class RunMetadata:
    """The metadata of a run."""

    summary: Summary
    config: RunConfig | None
    """As the run was started; None when it cannot be read."""
    from_default: Mapping[str, Any]
    """The settings that differ from the defaults, by dotted path."""
    from_preset: Mapping[str, tuple[Any, Any]]
    """The settings that differ from the preset of today, each with the preset's value."""
    changes: Sequence[Mapping[str, Any]]
    """Settings that were changed when the run was resumed: `step` and `settings`."""
    choices: Sequence[Chosen]
    """The automatic choices, the latest of each."""
    resolved: Mapping[str, Any]
    """Hashes, versions, the base, the device."""
    ancestors: Sequence[Mapping[str, Any]]
    """The runs that it continues, the nearest first: `run`, `name` and `step`."""
    checkpoints: Sequence[int]
    spare_bytes: int
    """What the clean-up of old checkpoints would free."""
    evaluations: Sequence[SavedScoreboard]
    votes: int
    """Votes and readings on its answers."""

    @property
    def can_resume(self) -> bool:
        """Whether the run is stopped, unfinished, and can continue: from a checkpoint, or from the start."""
        return self.summary.status is not None and self.summary.status.can_resume(bool(self.checkpoints))

    @property
    def has_nothing_left(self) -> bool:
        """Whether the run failed before its first checkpoint."""
        status = self.summary.status
        return status is not None and status.state is State.FAILED and not self.checkpoints

    @property
    def can_compare(self) -> bool:
        """Whether there is something to put beside the base."""
        return self.summary.has_adapter or bool(self.checkpoints)


def read(run: Run, chosen: Sequence[Chosen] | None = None) -> RunMetadata:
    """Gather what is known of a run; what is damaged is left out, and the summary says so.

    `chosen` are its automatic choices, where its events were read already.
    """
    config: RunConfig | None = None
    resolved: Any = {}
    votes = 0
    with contextlib.suppress(OSError, ConfigError, UnicodeDecodeError):
        config = run.started_config()
    with contextlib.suppress(OSError, ValueError):
        resolved = run.resolved()
    resolved = resolved if isinstance(resolved, dict) else {}
    if chosen is None:
        chosen = []
        with contextlib.suppress(OSError):
            chosen = list({event.name: event for event in run.events()[0] if isinstance(event, Chosen)}.values())
    for name in ("votes.jsonl", "readings.jsonl"):
        with contextlib.suppress(OSError):
            votes += (run.path / "compare" / name).read_bytes().count(b"\n")
    return RunMetadata(
        summary=history.summary_of(run),
        config=config,
        from_default=from_default(config) if config else {},
        from_preset=from_preset(config) if config else {},
        changes=resolved.get("changes", []),
        choices=chosen,
        resolved=resolved,
        ancestors=metadata.ancestors(resolved),
        checkpoints=[checkpoints.step_of(path) for path in checkpoints.all_of(run.path)],
        spare_bytes=checkpoints.removable_bytes(run),
        evaluations=_evaluations(run.path / "compare"),
        votes=votes,
    )


def from_default(config: RunConfig) -> dict[str, Any]:
    """Return the settings that are not at their defaults, by dotted path; not the name, which changes nothing."""
    named = {path: value_of(config, path) for path in fields() if path != "name"}
    return {path: value for path, value in named.items() if value not in (None, fields()[path].default)}


def from_preset(config: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which a config differs from its preset, each with the preset's value."""
    if config.preset not in presets.names():
        return {}
    differences = differing([config, presets.load(config.preset)])
    return {path: both for path, both in differences.items() if path != "name"}


def _evaluations(folder: Path) -> list[SavedScoreboard]:
    from studio.evaluate.scoreboard import Scoreboard

    scoreboards = []
    for path in folder.glob("*/scoreboard.json"):
        about, board = read_json(path.with_name("evaluation.json")).get("column"), read_as(Scoreboard, path)
        if board and isinstance(about, dict) and "adapter" in about:  # else of another version, or damaged
            scoreboards.append(SavedScoreboard(path.stat().st_mtime, about["adapter"], board))
    return sorted(scoreboards, key=lambda each: each.at, reverse=True)
