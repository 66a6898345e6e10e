"""External adapters: uploaded (a zip, two files) or fetched from the Hub, and checked against the run's base."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.compare.column_loading import find_adapter
from studio.compare.columns import parse_column
from studio.errors import StudioError
from studio.model import adapter_files, compatibility, hub_adapters, load, uploaded_adapters
from studio.model.compatibility import Compatibility
from studio.model.load import Located
from studio.runs import Run


@dataclass(frozen=True)
class ExternalAdapter:
    """An external adapter on this machine."""

    column: str
    compatibility: Compatibility


def make_available(
    named: str,
    run: Run,
    on_progress: Callable[[float], None] = lambda share: None,
    *,
    same_base: bool | None = None,
) -> str:
    """Return how a column names the adapter that the user has `named`, which is available and compatible after that.

    A zip is stored, an adapter of the Hub is fetched; whatever else it is (a run, a step, a folder) is left to the
    comparison. With `same_base` the user confirms that it is of the run's base under another name, or (False) takes
    that back. Raises StudioError.
    """
    path = Path(named).expanduser()
    if path.suffix.lower() == ".zip" and path.is_file():
        return upload([path], run, same_base=same_base).column
    if not named.startswith(uploaded_adapters.PREFIX) and hub_adapters.is_hub_id(named):
        fetch(named, run, on_progress, same_base=same_base)
    elif same_base is not None:
        column = parse_column(named)
        folder = None if column.is_base else find_adapter(run, column, None).folder
        if folder is not None:
            _check_compatibility(adapter_files.read(folder), load.require(run.config().model), same_base)
    return named


def fetch(
    named: str,
    run: Run,
    on_progress: Callable[[float], None] = lambda share: None,
    token: str | None = None,
    *,
    same_base: bool | None = None,
) -> ExternalAdapter:
    """Fetch an adapter of the Hub that fits the run's base; raises StudioError."""
    located = load.require(run.config().model)
    adapter = adapter_files.read(hub_adapters.fetch(named, on_progress, token))
    return ExternalAdapter(named.strip(), _check_compatibility(adapter, located, same_base))


def _check_compatibility(
    adapter: adapter_files.SavedAdapter, located: Located, same_base: bool | None
) -> Compatibility:
    """Check an adapter, and store what the user confirms of the name of its base."""
    if same_base is False:
        compatibility.confirm(adapter.base["id"] or compatibility.UNNAMED, located.identity, same=False)
    result = compatibility.check(adapter, located, same_base=bool(same_base))
    if result.known == "vouched":
        compatibility.confirm(result.made_for, located.identity)
    return result


def upload(paths: Sequence[Path], run: Run, *, same_base: bool | None = None) -> ExternalAdapter:
    """Store an uploaded adapter if it fits the run's base; else raises StudioError and stores nothing."""
    located = load.require(run.config().model)
    results: list[Compatibility] = []
    stored = uploaded_adapters.store(
        paths, lambda adapter: results.append(_check_compatibility(adapter, located, same_base))
    )
    return ExternalAdapter(stored.column, results[0])


def available_columns(run: Run) -> list[str]:
    """Return how columns name the external adapters that a run's base may take, as far as names tell."""
    base = run.resolved().get("base")
    folders = {each.column: each.folder for each in uploaded_adapters.all_uploads()} | hub_adapters.fetched()
    columns = []
    for column, folder in folders.items() if base else ():
        with contextlib.suppress(StudioError, OSError):
            made_for = adapter_files.recorded_base(folder)
            is_confirmed = compatibility.is_confirmed(made_for["id"] or compatibility.UNNAMED, base)
            if is_confirmed or compatibility.compare_identities(made_for, base) is not None:
                columns.append(column)
    return columns
