"""The settings that a sweep varies: a list of values each, or a range, read from `path=values`."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from studio import setting_text
from studio.config import fields
from studio.errors import ConfigError, one_line

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(?:(log)|step({_NUMBER})))?")
DIGITS = 3
"""Significant digits of a number that is drawn from a range without steps."""


class Axis(BaseModel):
    """One setting and the values that it may have."""

    model_config = ConfigDict(frozen=True)

    path: str
    values: tuple[Any, ...] = ()
    """The values of a list; empty for a range."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    whole: bool = False
    """Whether the numbers of the range are whole ones."""

    @property
    def is_range(self) -> bool:
        """Whether values are drawn from a range."""
        return not self.values

    @property
    def ends(self) -> tuple[Any, ...]:
        """All values of a list, or the lowest and the highest of a range."""
        return self.values or (self.number(self.low), self.number(self.high))

    def listed(self) -> tuple[Any, ...]:
        """Return all values that it can have; empty where they cannot be counted."""
        step = self.step or (1.0 if self.whole else None)
        if not self.is_range or step is None:
            return self.values
        return tuple(self.number(self.low + step * at) for at in range(round((self.high - self.low) / step) + 1))

    @property
    def is_log(self) -> bool:
        """Whether its numbers are told apart by their ratios."""
        numbers = [value for value in self.ends if isinstance(value, int | float) and not isinstance(value, bool)]
        return self.log or (len(numbers) == len(self.ends) and min(numbers) > 0 and max(numbers) >= 20 * min(numbers))

    def number(self, value: float) -> int | float:
        """Return a number of the range as its setting has it: whole, or with few digits."""
        if self.whole:
            return round(value)
        rounded = float(f"{value:.{DIGITS if self.step is None else 10}g}")
        return min(max(rounded, self.low), self.high)


def parse(text: str) -> Axis:
    """Read `lora.r=8,16` (YAML), `train.learning_rate=1e-5..1e-3:log` or `lora.r=4..64:step4`; raises ConfigError."""
    path, equals, written = text.partition("=")
    path, written = path.strip(), written.strip()
    if not equals or not written:
        raise ConfigError("sweep.over", text=text[:80])
    return read(path, written)


def read(path: str, written: str) -> Axis:
    """Return the axis of the setting at `path` with the values as `written`; raises ConfigError."""
    info = fields().get(path)
    if info is None or path == "name":
        raise setting_text.unknown_setting(path, {name: each for name, each in fields().items() if name != "name"})
    types = setting_text.types_of(info.annotation)
    if (as_range := _RANGE.fullmatch(written)) and (int in types or float in types):
        return _range(path, as_range, whole=float not in types)
    try:
        listed = setting_text.read_yaml(f"[{written}]")
    except yaml.YAMLError as error:
        raise ConfigError("config.list", path=path, value=written[:80], detail=one_line(error, 300)) from error
    values = tuple(_value(each, info.annotation) for each in listed)
    if len(values) < 2:
        raise ConfigError("sweep.one_value", path=path, value=written[:80])
    if twice := [value for at, value in enumerate(values) if value in values[:at]]:
        raise ConfigError("sweep.twice", path=path, value=str(twice[0]))
    return Axis(path=path, values=values)


def _value(value: Any, annotation: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str):
        return value
    read_as = setting_text.read_value(value, annotation)
    return setting_text.read_scalar(read_as, annotation) if isinstance(read_as, str) else read_as


def _range(path: str, written: re.Match[str], *, whole: bool) -> Axis:
    low, high = float(written[1]), float(written[2])
    log, step = bool(written[3]), float(written[4]) if written[4] else None
    problem = None
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        problem = "order"
    elif log and low <= 0:
        problem = "log"
    elif step is not None and not 0 < step <= high - low:
        problem = "step"
    elif whole and not all(number.is_integer() for number in (low, high, step or 1.0)):
        problem = "whole"
    if problem:
        raise ConfigError(f"sweep.range.{problem}", path=path, value=written[0])
    if step is not None:  # the last number of the range, without the error of a sum of floats
        high = float(f"{low + step * math.floor((high - low) / step + 1e-9):.10g}")
    return Axis(path=path, low=low, high=high, log=log, step=step, whole=whole)


def product(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Return all combinations of the axes' values (of a range: its ends), the last axis changing fastest."""
    paths = [axis.path for axis in axes]
    return [dict(zip(paths, values, strict=True)) for values in itertools.product(*(axis.ends for axis in axes))]


def size(axes: Sequence[Axis]) -> int:
    """Return how many combinations `product` has."""
    return math.prod(len(axis.ends) for axis in axes)
