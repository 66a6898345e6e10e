"""The presets: one `RunConfig` in YAML each, and the data sets that ship with the studio."""

from pathlib import Path

from studio.config import RunConfig
from studio.errors import ConfigError, DataError

FOLDER = Path(__file__).parent.parent / "presets"
DATA = FOLDER / "data"
QUICKSTART = "quickstart"


def names() -> list[str]:
    """Return the presets' names, the quickstart first."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: (name != QUICKSTART, name))


def load(name: str) -> RunConfig:
    """Return the preset called `name`; raises ConfigError when there is none."""
    if name not in names():
        raise ConfigError("config.preset", name=name, presets=", ".join(names()))
    return RunConfig.from_yaml((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def data_sets() -> list[str]:
    """Return the names of the bundled data sets; held-out prompts are not listed."""
    return sorted(path.stem for path in DATA.iterdir() if path.is_file() and not path.stem.endswith("-heldout"))


def data_file(name: str) -> Path:
    """Return the file of the bundled data set called `name`; raises DataError when there is none."""
    for path in DATA.iterdir():
        if path.is_file() and path.stem == name:
            return path
    raise DataError("data.bundled", name=name, names=", ".join(data_sets()))
