"""The names of served models, and what each means.

`base` is the base; the name of a run is its adapter; `captain@0.7` is an adapter at a strength; `captain+pirate` and
`captain*0.7+pirate*0.3` are mixes; `restyle`, `restyle:pirate` and `restyle:captain@0.7` rewrite a text in a style.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from studio import runs
from studio.compare import mixes
from studio.compare.columns import BASE, Column, parse_column
from studio.compare.mixes import Mix
from studio.errors import RunError, ServeError
from studio.runs import Run, metadata

BASE_NAME = "base"
RESTYLE = "restyle"
INSTRUCTION = "Rewrite this text in your own style:\n\n{text}"
"""What stands before a text that is to be rewritten, for a run that was not trained on rewriting."""
_SOURCE = re.compile(r"([\w.-]+)=(.+)")
_TERM = re.compile(r"([^*]+)(?:\*(\d+(?:\.\d+)?))?")
_STRENGTH = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class ServedModel:
    """What a name means."""

    name: str
    run: Run
    """The run whose prompt format and settings of generation are used."""
    column: Column
    """As it is beside the first run."""
    rewrites: bool = False
    """Whether it rewrites the last text of the user, whatever stands before it."""

    @property
    def was_trained_to_rewrite(self) -> bool:
        """Whether the prompts of its run were plain versions of the answers (the recipe `plain`)."""
        return bool(self.run.resolved().get("material", {}).get("recipes", {}).get("plain"))

    def prompt(self, text: str) -> str:
        """Return the prompt for a text that is to be rewritten: the text alone, where that was trained."""
        return text if self.was_trained_to_rewrite else INSTRUCTION.format(text=text)


@dataclass(frozen=True)
class Catalogue:
    """The models of an endpoint."""

    first: Run
    """The run whose base is served."""
    adapters: dict[str, ServedModel]
    also: tuple[str, ...] = ()
    """Names to list besides those that always are."""
    _base_names: frozenset[str] = field(default=frozenset({BASE_NAME}))

    @property
    def listed(self) -> list[str]:
        """The names that are listed; any strength and mixture is served besides."""
        names = [BASE_NAME, *self.adapters]
        return list(dict.fromkeys([*names, *self.also, *([RESTYLE] if self.adapters else [])]))

    def resolve(self, name: str) -> ServedModel:
        """Return what a name means; raises ServeError for an unknown one, CompareError for an impossible value."""
        if name in self._base_names:
            return ServedModel(name, self.first, BASE)
        kind, colon, rest = name.partition(":")
        rewrites = kind == RESTYLE or name.startswith(f"{RESTYLE}@")
        body = (rest if colon else next(iter(self.adapters)) + name.removeprefix(RESTYLE)) if rewrites else name
        body, at, written = body.rpartition("@") if "@" in body else (body, "", "1")
        terms = [_TERM.fullmatch(term.strip()) for term in body.split("+")]
        if not _STRENGTH.fullmatch(written) or not all(term and term[1] in self.adapters for term in terms):
            raise ServeError("serve.unknown_model", name=name[:120], names=", ".join(self.listed)[:500])
        parts = [(self.adapters[term[1]], term[2]) for term in terms if term]
        model = parts[0][0]
        column = model.column
        if len(parts) > 1:
            weights = [(each.column.adapter, float(weight or 1 / len(parts))) for each, weight in parts]
            column = Column(adapter=str(Mix(tuple(weights))))
        elif parts[0][1]:
            column = replace(column, strength=float(parts[0][1]))
        if at:
            column = replace(column, strength=float(written))
        return ServedModel(name, model.run, column, rewrites)


def catalogue(sources: Sequence[str], also: Sequence[str] = ()) -> Catalogue:
    """Return the models of some sources; raises RunError, CompareError and ServeError.

    A source is a run, or another adapter as a column beside the first run names it (a checkpoint, an upload, a folder,
    `mix:…`), with a name before it if wanted: `captain=RUN`. The first one is a run.
    """
    first: Run | None = None
    adapters: dict[str, ServedModel] = {}
    for source in sources:
        match = None if source.startswith(mixes.PREFIX) else _SOURCE.fullmatch(source)
        wanted, where = (match[1], match[2]) if match else (None, source)
        try:
            run = runs.find(where)
        except RunError:
            if first is None:
                raise
            run, column, usual = first, parse_column(where), re.split(r"[/:\\]", where.rstrip("/\\"))[-1]
        else:
            first = first or run
            column, usual = Column(adapter=run.id), metadata.name_of(run)
        name = wanted or _name(usual)
        if name in adapters or name in (BASE_NAME, RESTYLE):
            if wanted:
                raise ServeError("serve.same_name", name=name)
            name = run.id if run.id not in adapters else f"{run.id}-{len(adapters) + 1}"
        adapters[name] = ServedModel(name, run, column)
    if first is None:
        raise RunError("run.none")
    names = frozenset({BASE_NAME, first.config().model.id} - adapters.keys())
    models = Catalogue(first, adapters, _base_names=names)
    for each in also:
        models.resolve(each)
    return replace(models, also=tuple(also))


def _name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-") or "adapter"
