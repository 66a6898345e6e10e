"""Mixes of adapters, as a column names them: `mix:RUN=0.7,OTHER=0.3@cat`, or `…@ties:0.5` with a density."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from studio import runs
from studio.errors import CompareError
from studio.model.adapter_mix import COMBINATIONS, prunes
from studio.runs import Run

PREFIX = "mix:"
MAX_PARTS = 4
MAX_WEIGHT = 3.0
DENSITY = 0.5
_PART = re.compile(r"(.+?)=(-?\d+(?:\.\d+)?)(?:,|$)")


@dataclass(frozen=True)
class Mix:
    """Adapters with a weight each, and how they are combined; raises CompareError for invalid values."""

    parts: tuple[tuple[str, float], ...]
    """Each adapter as `Column.adapter` names it, with its weight; 0 takes no part."""
    combination: str = "cat"
    density: float = DENSITY
    """Share of the values that are kept, for combinations that prune."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parts]
        if not 2 <= len(names) <= MAX_PARTS or len(set(names)) < len(names):
            raise CompareError("compare.mix.parts", most=MAX_PARTS)
        if any(name == "base" or name.startswith(PREFIX) for name in names):
            raise CompareError("compare.mix.form", text=str(self)[:120])
        if not all(0 <= weight <= MAX_WEIGHT for _, weight in self.parts):
            raise CompareError("compare.mix.weight", most=MAX_WEIGHT)
        if self.combination not in COMBINATIONS:
            raise CompareError("compare.mix.combination", name=self.combination[:40], names=", ".join(COMBINATIONS))
        if not 0 < self.density <= 1:
            raise CompareError("compare.mix.density", density=f"{self.density:g}")

    def __str__(self) -> str:
        """Return the mix as a column names it."""
        density = f":{self.density:g}" if prunes(self.combination) else ""
        return f"{PREFIX}{','.join(f'{name}={weight:g}' for name, weight in self.parts)}@{self.combination}{density}"

    @property
    def taking_part(self) -> tuple[tuple[str, float], ...]:
        """The parts whose weight is not 0. One alone is that adapter, however it would be combined."""
        return tuple((name, weight) for name, weight in self.parts if weight)

    def scaled(self, factor: float) -> "Mix":
        """Return the mix at a strength: every combination is as strong as its weights."""
        return replace(self, parts=tuple((name, weight * factor) for name, weight in self.parts))


def parse(named: str) -> Mix:
    """Return the mix that a text names; raises CompareError."""
    body, at, combination = named.removeprefix(PREFIX).rpartition("@")
    if not at or "=" in combination:  # there is no @, or it is in the id of an adapter of the Hub
        body, combination = named.removeprefix(PREFIX), "cat"
    combination, colon, density = combination.partition(":")
    parts = [(match[1].strip(), float(match[2])) for match in _PART.finditer(body)]
    try:
        share = float(density) if colon else DENSITY
    except ValueError:
        share = 0.0
    if "".join(f"{match[0]}" for match in _PART.finditer(body)) != body:
        raise CompareError("compare.mix.form", text=named[:120])
    numbered = ((f"step-{int(name):06}" if name.isdecimal() else name, weight) for name, weight in parts)
    return Mix(tuple(numbered), combination, share)


def outside_of(mix: Mix, run: Run) -> Mix:
    """Return a mix of a run's columns by names that mean the same beside another run."""

    def everywhere(name: str) -> str:
        if name == "now":
            return run.id
        return str(run.path / "checkpoints" / name) if name.startswith("step-") else name

    return replace(mix, parts=tuple((everywhere(name), weight) for name, weight in mix.parts))


def runs_of(mix: Mix) -> list[Run]:
    """Return the runs whose adapters take part, each once: those whose styles a mix may carry."""
    known = {}
    for name, _ in mix.taking_part:
        path = Path(name)
        id = path.parent.parent.name if path.is_absolute() else name
        if runs.is_id(id):
            known[id] = runs.find(id)
    return list(known.values())
