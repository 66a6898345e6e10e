"""The columns of a comparison, each a model with its own context, and the requests to compare and to evaluate them."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from studio.compare import mixes
from studio.compare.mixes import Mix
from studio.config import GenerationConfig
from studio.data.conversation import Turn
from studio.errors import CompareError
from studio.i18n import DEFAULT_LANGUAGE, text
from studio.journal import digest
from studio.model import hub_adapters, uploaded_adapters

NOW = "now"
"""The run's own adapter: its result, or the half-trained one while it trains."""
MAX_COLUMNS = 4
MAX_STRENGTH = 1.5
_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Column:
    """One column: the base or an adapter, with a context of its own; raises CompareError for invalid values."""

    kind: Literal["base", "adapter"] = "adapter"
    adapter: str = NOW
    """`now`, a checkpoint of the run (`step-000100`), the id of another run, a folder, or one from outside: the id of
    an adapter on the Hub (`owner/name@revision`), or the name of an uploaded one (`upload:…`); or a mix of such
    (`mix:…`, see `mixes`)."""
    system: str | None = None
    """A system prompt of this column's own; None takes the run's."""
    shots: tuple[Turn, ...] = ()
    """Few-shot examples before the prompt: turns of user and assistant, in pairs."""
    strength: float = 1.0
    """Factor of the adapter's LoRA scaling; 0 is exactly the base."""
    said: tuple[str, ...] = ()
    """In a chat, the answers of this column so far."""
    at_step: int | None = None
    """The step of the training in which the adapter `now` has answered; None when the run was over."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= MAX_STRENGTH:
            raise CompareError("compare.strength", strength=f"{100 * self.strength:g}", most=f"{100 * MAX_STRENGTH:g}")
        if [turn.role for turn in self.shots] != ["user", "assistant"] * (len(self.shots) // 2):
            raise CompareError("compare.shots")
        self.mix  # noqa: B018 (raises for one that cannot be)

    @property
    def is_base(self) -> bool:
        """Whether the base answers: by its kind, or since the adapter's strength is 0, or all weights of a mix."""
        return self.kind == "base" or self.strength == 0 or (self.mix is not None and not self.mix.taking_part)

    @property
    def mix(self) -> Mix | None:
        """The mix of adapters; None for a single one."""
        return mixes.parse(self.adapter) if self.kind == "adapter" and self.adapter.startswith(mixes.PREFIX) else None

    @property
    def parts(self) -> tuple["Column", ...]:
        """The adapters that take part in a mix, at their full strength; else the column itself."""
        return tuple(Column(adapter=name) for name, _ in self.mix.taking_part) if self.mix else (self,)

    @property
    def is_plain(self) -> bool:
        """Whether it gets the context of the training: no system prompt or examples of its own."""
        return self.system is None and not self.shots

    @property
    def context(self) -> tuple[Turn, ...]:
        """The column's own turns before a question: its system prompt and its examples."""
        return (*(() if self.system is None else (Turn("system", self.system),)), *self.shots)

    @property
    def step(self) -> int | None:
        """The step of a checkpoint of the run; None for all others."""
        match = _STEP.fullmatch(self.adapter) if self.kind == "adapter" else None
        return int(match[1]) if match else None

    def as_json(self) -> dict[str, Any]:
        """Return the column as evaluations store it; those of earlier versions know no `at_step`."""
        stored = json.loads(json.dumps(asdict(self)))
        if self.at_step is None:
            del stored["at_step"]
        return stored

    def title(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return the column's name for people."""
        if self.kind == "base":
            title = text("compare.column.base", language)
        elif self.adapter == NOW:
            title = text("compare.column.now", language)
            if self.at_step is not None:
                title = text("compare.column.at_step", language, title=title, step=self.at_step)
        elif mix := self.mix:
            parts = [f"{Column(adapter=name).title(language)} {100 * weight:g} %" for name, weight in mix.parts]
            title = text("compare.column.mix", language, parts=" + ".join(parts), combination=mix.combination)
        elif self.step is not None:
            title = text("compare.column.step", language, step=self.step)
        elif self.adapter.startswith(uploaded_adapters.PREFIX):
            name = self.adapter.removeprefix(uploaded_adapters.PREFIX)
            title = text("compare.column.upload", language, name=name)
        elif hub_adapters.is_hub_id(self.adapter):
            title = text("compare.column.hub", language, name=self.adapter)
        else:
            title = text("compare.column.other", language, name=Path(self.adapter).name)
        if self.kind == "adapter" and self.strength != 1:
            title = text("compare.column.strength", language, title=title, percent=f"{100 * self.strength:g}")
        if self.system is not None:
            title = text("compare.column.system", language, title=title)
        if self.shots:
            title = text("compare.column.shots", language, title=title, count=len(self.shots) // 2)
        return title


def column_id(column: Column, adapter_sha256: str | None, base_sha256: str) -> str:
    """Return a hash of all that makes a column answer as it does, but for how it generates.

    So an adapter has another id at each strength and step, and a base with each prompt.
    """
    adapter = None if column.is_base else [adapter_sha256, column.strength]
    shots = [[turn.role, turn.content] for turn in column.shots]
    return digest(json.dumps([base_sha256, adapter, column.system, shots]))[:16]


BASE = Column("base")
ADAPTED = Column("adapter")


def parse_column(named: str, strength: float = 1.0) -> Column:
    """Return the column called `base`, `now`, `step-000100` (or its number), or as `Column.adapter` names others."""
    if named == "base":
        return BASE
    if named.startswith(mixes.PREFIX):
        named = str(mixes.parse(named))
    return Column("adapter", f"step-{int(named):06}" if named.isdecimal() else named, strength=strength)


@dataclass(frozen=True)
class CompareRequest:
    """Prompts for the columns of a run; raises CompareError."""

    run_id: str
    prompts: tuple[str, ...]
    generation: GenerationConfig
    columns: tuple[Column, ...] = (BASE, ADAPTED)
    earlier: tuple[str, ...] = ()
    """In a chat, the user's turns before; the columns' `said` are the answers."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.columns) <= MAX_COLUMNS:
            raise CompareError("compare.columns", count=len(self.columns), most=MAX_COLUMNS)
        if not self.prompts:
            raise CompareError("compare.no_prompts")
        if any(len(column.said) != len(self.earlier) for column in self.columns):
            raise CompareError("compare.chat")

    def turns(self, prompt: str, column: Column) -> tuple[Turn, ...]:
        """Return the conversation that a column is to continue."""
        chat = [
            turn
            for question, said in zip(self.earlier, column.said, strict=True)
            for turn in (Turn("user", question), Turn("assistant", said))
        ]
        return (*column.context, *chat, Turn("user", prompt))

    def next_turn(self, answers: Sequence[str], prompt: str) -> "CompareRequest":
        """Return the next turn of a chat of one prompt, given what each column has answered to this one."""
        said = zip(self.columns, answers, strict=True)
        columns = tuple(replace(column, said=(*column.said, answer)) for column, answer in said)
        return replace(self, prompts=(prompt,), columns=columns, earlier=(*self.earlier, *self.prompts))


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate."""

    run_id: str
    rows: str = "auto"
    """`validation`, `prompts` (the preset's), the path of a file, or `auto`: the first of these that the run has."""
    limit: int | None = None
    column: Column = ADAPTED
    generation: GenerationConfig | None = None
    """None takes the run's own settings."""
    forgetting: bool = True
    """Whether to answer the ordinary questions too."""


@dataclass(frozen=True)
class MixRequest:
    """A mix to save."""

    run_id: str
    """The run whose base it is for."""
    column: Column
    """A column that names a mix; its strength becomes part of the weights."""
    out: Path | None = None
    """An empty or new folder; None keeps the mix with the uploaded adapters."""
