"""Settings from a YAML file or from text, and the data file that they name: it may be on another machine."""

from pathlib import Path

from studio import presets
from studio.config import RunConfig, value_of
from studio.data.encodings import decode
from studio.errors import ConfigError, DataError, StudioError
from studio.files import home
from studio.i18n import Message, message
from studio.ui import launch, uploads

LARGEST = 1_000_000
"""Bytes of the largest file of settings that is read."""


def read(path: str) -> str:
    """Return the text of an uploaded file of settings; raises ConfigError for a large one, DataError for no text."""
    file = Path(path)
    if file.stat().st_size > LARGEST:
        raise ConfigError("config.yaml", detail=f"{file.name}: {file.stat().st_size:,} > {LARGEST:,} bytes")
    return decode(file.read_bytes(), file.name)


def take(text: str) -> tuple[RunConfig, tuple[Message, ...]]:
    """Return the settings in a text, and what stands in for a data file that is elsewhere.

    An upload of the same name takes the place of a file that is not here. Raises ConfigError for what is no setting,
    DataError for rows that are not here, and ModelError for a model's folder on a page that others reach.
    """
    config = RunConfig.from_yaml(text)
    for named in filter(None, (config.model.id, config.model.adapter)):
        launch.refuse_folder(named)
    if config.data.source.kind == "bundled":
        presets.data_file(config.data.source.name)
    notes, changes = [], {}
    for section in ("data.source", "data.validation"):
        path = f"{section}.name"
        named = value_of(config, path)
        if value_of(config, f"{section}.kind") != "file" or _may_be_read(named):
            continue
        upload = uploads.find(named)
        if upload is None:
            raise DataError("data.not_here", name=uploads.base_name(named), path=named)
        changes[path] = str(upload)
        if upload.name != uploads.base_name(named):
            notes.append(message("ui.recipe.stands_in", file=uploads.base_name(named), upload=upload.name))
    return config.with_settings(changes), tuple(notes)


def _may_be_read(named: str) -> bool:
    """Whether a file is here, and is the user's to read: on a page that others reach, only what was uploaded."""
    path = Path(named).expanduser()
    try:
        inside = path.resolve().is_relative_to((home() / "uploads").resolve())
        return (inside or launch.is_local()) and path.is_file()
    except (OSError, ValueError, RuntimeError):  # no path of this system
        return False


def as_chosen(config: RunConfig) -> RunConfig:
    """Return the settings without a mapping of columns that only the studio has found: no preset, nobody has set it."""
    from studio.data import prepare, source

    if config.preset in presets.names() and presets.load(config.preset).data.mapping == config.data.mapping:
        return config
    data = config.data.model_copy(update={"mapping": None})
    if config.data.mapping is None or not source.is_local(data):
        return config
    try:
        detected = prepare.mapping(data, config.train.method).mapping
    except (StudioError, OSError):  # told on the Data tab
        return config
    return config.with_settings({"data.mapping": None}) if detected == config.data.mapping else config


def preset_of(config: RunConfig) -> str | None:
    """Return the name of the preset that `config` is, to the last setting; None when it is none."""
    return next((name for name in presets.names() if presets.load(name) == config), None)
