"""The presets: one `RunConfig` in YAML each, and the datasets that ship with the studio."""

from pathlib import Path

from studio.config import BUILTIN_MODEL, RunConfig, SourceConfig
from studio.errors import ConfigError, DataError

FOLDER = Path(__file__).parent.parent / "presets"
DATA = FOLDER / "data"
QUICKSTART = "quickstart"
OWN = "my-data"
"""The recipe for the user's own rows. It has no file: every setting is at its default until suggestions are applied."""


def names() -> list[str]:
    """Return the presets' names, the quickstart first."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: (name != QUICKSTART, name))


def load(name: str) -> RunConfig:
    """Return the preset called `name`, which the settings remember; raises ConfigError when there is none."""
    if name not in names():
        raise ConfigError("config.preset", name=name, presets=", ".join(names()))
    return RunConfig.from_yaml((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")).with_settings({"preset": name})


def own(source: SourceConfig, name: str) -> RunConfig:
    """Return the recipe for the user's own rows, before any suggestion, for a run called `name`."""
    return RunConfig(preset=OWN).with_settings({"name": name, "data.source": source.model_dump()})


def offline_sample(config: RunConfig) -> RunConfig:
    """Return `config` with the built-in model, and with its bundled sample where its data are on the Hub."""
    changes: dict[str, object] = {"model": {"id": BUILTIN_MODEL}, "data.limit": None}
    if config.offline.sample:
        changes["data.source"] = {"kind": "bundled", "name": config.offline.sample}
        if config.data.validation.kind == "split":
            changes["data.validation"] = {"kind": "fraction", "fraction": 0.1}
    return config.with_settings(changes)


def datasets() -> list[str]:
    """Return the names of the bundled datasets; held-out prompts are not listed."""
    return sorted(path.stem for path in DATA.iterdir() if path.is_file() and not path.stem.endswith("-heldout"))


def data_file(name: str) -> Path:
    """Return the file of the bundled dataset called `name`; raises DataError when there is none."""
    for path in DATA.iterdir():
        if path.is_file() and path.stem == name:
            return path
    raise DataError("data.bundled", name=name, names=", ".join(datasets()))
