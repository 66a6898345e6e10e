"""The adapter that a run continues: found by its run or its folder, and copied into the new run when that is made.

The copy makes the new run independent of what becomes of the other: a resume, and an export, start from the same bits.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import runs
from studio.config import LoraSettings, RunConfig
from studio.errors import RunError, StudioError
from studio.files import replace_file, replace_folder, sha256
from studio.i18n import message
from studio.model import adapter, adapter_files, compatibility
from studio.model.adapter_files import BASE_RECORD, SETTINGS, WEIGHTS, SavedAdapter
from studio.model.hardware import Choice
from studio.model.load import Located
from studio.runs import Run, RunWriter, metadata

FOLDER = "start"
"""Folder in a run's directory that holds the adapter it continues."""
_FILES = (WEIGHTS, SETTINGS, BASE_RECORD)


@dataclass(frozen=True)
class StartAdapter:
    """An adapter to continue."""

    saved: SavedAdapter
    run: Run | None
    """The run that made it; None for a folder from elsewhere."""

    @property
    def name(self) -> str:
        """Its name for people: the run's, or the folder's without the path."""
        return metadata.name_of(self.run) if self.run else self.saved.folder.name

    @property
    def lora(self) -> LoraSettings:
        """Its shape as settings; raises RunError for a shape that the settings cannot express."""
        if self.run:
            return self.run.config().lora
        settings = self.saved.settings
        ranks = {shape.rank for shape in self.saved.modules.values()}
        if len(ranks) > 1 or settings.get("alpha_pattern") or settings["lora_alpha"] % 1 or settings.get("lora_bias"):
            raise RunError("run.start_shape", adapter=self.name, detail=f"r = {sorted(ranks)}")
        return LoraSettings(
            r=ranks.pop(),
            alpha=int(settings["lora_alpha"]),
            dropout=settings.get("lora_dropout") or 0.0,
            target_modules=tuple(dict.fromkeys(map(adapter.own_name, self.saved.modules))),
            layers="upper-half" if settings.get("layers_to_transform") else "all",
            rslora=bool(settings.get("use_rslora")),
            dora=bool(settings.get("use_dora")),
        )

    def record(self) -> dict[str, Any]:
        """Return what a run keeps of it: where it is from, its hash, and the runs before, the nearest first."""
        ancestors: list[dict[str, Any]] = []
        if self.run:
            nearest = {"run": self.run.id, "name": self.name, "step": self.run.status().step}
            earlier = self.run.resolved().get("start") or {}
            ancestors = [nearest, *(earlier.get("ancestors") or [])]
        return {"name": self.name, "sha256": sha256(self.saved.folder / WEIGHTS), "ancestors": ancestors}


def find(name: str) -> StartAdapter:
    """Return the adapter called `name`: a run's id (or `last`), or a folder. Raises RunError or CompareError."""
    if re.fullmatch(r"[\w-]+", name) and not Path(name).is_dir():
        run = runs.find(name)
        if not run.has_adapter:
            raise RunError("run.start_missing", run=run.id)
        return StartAdapter(adapter_files.read(run.adapter), run)
    folder = Path(name).expanduser()
    try:
        run = runs.find(folder.resolve().relative_to(runs.folder().resolve()).parts[0])
    except (ValueError, IndexError, StudioError):  # it is in no run's folder
        return StartAdapter(adapter_files.read(folder), None)
    return StartAdapter(adapter_files.read(folder), run)


def resolve(config: RunConfig) -> tuple[RunConfig, StartAdapter | None]:
    """Return the settings with the shape of the adapter that they continue, and that adapter; None without one."""
    if config.model.adapter is None:
        return config, None
    start = find(config.model.adapter)
    named = start.run.id if start.run and start.saved.folder == start.run.adapter else str(start.saved.folder)
    model = config.model.model_copy(update={"adapter": named})
    return config.model_copy(update={"model": model, "lora": start.lora}), start


def shape_choice(config: RunConfig, start: StartAdapter | None, record: Mapping[str, Any] | None = None) -> Choice:
    """Return the shape of an adapter that is continued, with the reason; `record` is what its run has kept of it."""
    name = start.name if start else (record or {}).get("name", config.model.adapter)
    kinds = [kind for kind in ("rslora", "dora") if getattr(config.lora, kind)]
    value = " · ".join([f"r {config.lora.r}", f"alpha {config.lora.alpha}", config.lora.layers, *kinds])
    return Choice("lora", value, message("choice.lora.continued", name=name))


def create_run(
    config: RunConfig, start: StartAdapter | None, devices: Sequence[str], files: Mapping[str, str]
) -> RunWriter:
    """Make the directory of a new run, with the adapter that it continues and more `files`; raises StudioError."""

    def fill(draft: RunWriter) -> None:
        for name, content in files.items():
            replace_file(draft.path / name, content)
        if start:
            keep(draft, start)

    return runs.create(config, devices, fill)


def keep(run: RunWriter, start: StartAdapter) -> None:
    """Copy an adapter into the run that continues it, and record where it is from."""

    def fill(draft: Path) -> None:
        for name in _FILES:
            if (start.saved.folder / name).is_file():
                shutil.copyfile(start.saved.folder / name, draft / name)
            elif name == BASE_RECORD and start.run and (base := start.run.resolved().get("base")):  # of a checkpoint
                replace_file(draft / name, json.dumps({"base": base}, indent=1))

    replace_folder(run.path / FOLDER, fill)
    run.resolve({"start": start.record()})


def check_base(run: Run, located: Located) -> None:
    """Raise CompareError when the adapter that a run continues was made for another base than `located`."""
    if (folder := run.path / FOLDER).is_dir():
        compatibility.check(adapter_files.read(folder), located)


def load_weights(run: Run, peft_model: Any) -> None:
    """Put the weights of the adapter that a run continues into its new one; raises RunError where shapes differ."""
    folder = run.path / FOLDER
    if not (folder / WEIGHTS).is_file():
        raise RunError("run.start_gone", folder=str(folder))
    adapter.load_weights(peft_model, folder / WEIGHTS, str((run.resolved().get("start") or {}).get("name", run.id)))
