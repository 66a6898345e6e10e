"""Adapters from outside: brought here (a zip, two files, an id of the Hub), and judged against the base on arrival."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.compare.column_loading import find_adapter, locate_base
from studio.compare.columns import parse_column
from studio.errors import StudioError
from studio.model import adapter_files, compatibility, hub_adapters, uploaded_adapters
from studio.model.compatibility import Compatibility
from studio.model.load import Located
from studio.runs import Run

ProgressCallback = Callable[[float], None]


@dataclass(frozen=True)
class ExternalAdapter:
    """An adapter from outside that is here now."""

    column: str
    """How a column names it."""
    compatibility: Compatibility
    """How it is known that it fits the run's base."""


def make_available(
    named: str,
    run: Run,
    going: ProgressCallback = lambda share: None,
    token: str | None = None,
    *,
    same_base: bool | None = None,
) -> str:
    """Return how a column names the adapter that the user has `named`, which is here and fits after that.

    A zip is kept, an adapter of the Hub is fetched; whatever else it is (a run, a step, a folder) is left to the
    comparison. With `same_base` the user vouches that it is of the run's base under another name, or (False) takes that
    back. Raises StudioError.
    """
    path = Path(named).expanduser()
    if path.suffix.lower() == ".zip" and path.is_file():
        return upload([path], run, same_base=same_base).column
    if not named.startswith(uploaded_adapters.PREFIX) and hub_adapters.is_hub_id(named):
        fetch(named, run, going, token, same_base=same_base)
    elif (
        same_base is not None
        and not parse_column(named).is_base
        and (folder := find_adapter(run, parse_column(named), None).folder)
    ):
        _check_compatibility(adapter_files.read(folder), locate_base(run.config()), same_base)
    return named


def fetch(
    named: str,
    run: Run,
    going: ProgressCallback = lambda share: None,
    token: str | None = None,
    *,
    same_base: bool | None = None,
) -> ExternalAdapter:
    """Fetch an adapter of the Hub that fits the run's base; raises StudioError."""
    located = locate_base(run.config())
    found = adapter_files.read(hub_adapters.fetch(named, going, token))
    return ExternalAdapter(named.strip(), _check_compatibility(found, located, same_base))


def _check_compatibility(found: adapter_files.SavedAdapter, located: Located, same_base: bool | None) -> Compatibility:
    """Judge an adapter, and remember what the user says of the name of its base."""
    if same_base is False:
        compatibility.confirm(found.base["id"] or compatibility.UNNAMED, located.identity, same=False)
    judged = compatibility.check(found, located, same_base=bool(same_base))
    if judged.known == "vouched":
        compatibility.confirm(judged.made_for, located.identity)
    return judged


def upload(paths: Sequence[Path], run: Run, *, same_base: bool | None = None) -> ExternalAdapter:
    """Keep an adapter that was uploaded, if it fits the run's base; raises StudioError, and keeps nothing then."""
    located = locate_base(run.config())
    found: list[Compatibility] = []
    kept = uploaded_adapters.store(
        paths, lambda arrived: found.append(_check_compatibility(arrived, located, same_base))
    )
    return ExternalAdapter(kept.column, found[0])


def available_columns(run: Run) -> list[str]:
    """Return how columns name the adapters from outside that a run's base may take, as far as names tell.

    Nothing is loaded and nothing hashed: the base is the one that the run has recorded.
    """
    base = run.resolved().get("base")
    there = {each.column: each.folder for each in uploaded_adapters.all_uploads()} | hub_adapters.fetched()
    return [column for column, folder in there.items() if base and _may_be_compatible(folder, base)]


def _may_be_compatible(folder: Path, base: dict[str, str | None]) -> bool:
    try:
        named = adapter_files.recorded_base(folder)
        return compatibility.compare_identities(named, base) is not None or compatibility.is_confirmed(
            named["id"] or compatibility.UNNAMED, base
        )
    except (StudioError, OSError):
        return False
