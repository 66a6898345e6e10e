"""Which models there are, and what is known of one before it is loaded or even here: size, licence, access."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio import safe_yaml
from studio.config import BUILTIN_MODEL, ModelConfig
from studio.errors import ModelError
from studio.files import read_json
from studio.i18n import Message, message
from studio.model import architecture, builtin, hub_models, load, quantization
from studio.model.estimate import parameters
from studio.model.hub_models import size

PRESET_MODELS = {
    "Qwen/Qwen2.5-7B-Instruct": (7_615_616_512, 2, False),
    "Qwen/Qwen2.5-0.5B": (494_032_768, 2, False),
    "Qwen/Qwen1.5-1.8B": (1_836_828_672, 2, False),
    "google/gemma-2-2b": (2_614_341_888, 4, True),
    "google/gemma-3-1b-it": (999_885_952, 2, True),
}
"""Parameters, bytes of each in the repository, and whether it is gated, of the presets' models."""

Where = Literal["builtin", "folder", "cache", "hub", "nowhere"]


@dataclass(frozen=True)
class KnownModel:
    """A model on this machine, or the built-in one."""

    id: str
    path: Path
    bytes: int
    """On the disk; 0 for the built-in one before it was fetched."""
    here: bool
    loadable: bool
    """Whether transformers knows its architecture as a language model."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model; None where that is not known."""

    id: str
    where: Where
    """`nowhere`: not found, or not reachable; `problem` says why."""
    here: bool
    bytes: int | None = None
    """On the disk if it is here, else to be fetched."""
    needs: int | None = None
    """Bytes that must be free on the disk to fetch it."""
    free: int | None = None
    """Bytes that are free there."""
    path: Path | None = None
    parameters: int | None = None
    licence: str | None = None
    gated: bool = False
    quantized: str | None = None
    chat_template: bool | None = None
    architecture: str | None = None
    problem: Message | None = None
    """Why it cannot be had, or cannot be used: an error's words."""


def cached() -> list[KnownModel]:
    """Return the built-in model, then the models in the Hub's cache by name."""
    here = builtin.is_here()
    first = KnownModel(BUILTIN_MODEL, builtin.folder(), _bytes(builtin.folder()) if here else 0, here, True)
    models = []
    for repository in hub_models.cached_repositories():
        revision = repository.refs.get("main") or max(repository.revisions, key=lambda r: r.last_modified, default=None)
        if revision is None or not hub_models.is_whole(revision.snapshot_path):
            continue
        if settings := read_json(revision.snapshot_path / "config.json"):
            loadable = architecture.is_loadable(settings)
            models.append(KnownModel(repository.repo_id, revision.snapshot_path, revision.size_on_disk, True, loadable))
    return [first, *sorted(models, key=lambda model: model.id.lower())]


def describe(config: ModelConfig, token: str | None = None) -> ModelFacts:
    """Return what is known of a model, here or within five seconds from the Hub; its `problem` says what is wrong."""
    return describe_here(config) or _on_hub(config, token)


def describe_offline(config: ModelConfig) -> ModelFacts | None:
    """Return what is known of a model without the Hub; None for one that is neither here nor a preset's."""
    here = describe_here(config)
    if here is not None or config.id not in PRESET_MODELS:
        return here
    count, width, gated = PRESET_MODELS[config.id]
    return ModelFacts(config.id, "hub", here=False, bytes=count * width, parameters=count, gated=gated)


def describe_here(config: ModelConfig) -> ModelFacts | None:
    """Return what this machine alone knows of a model; None when only the Hub can tell."""
    if config.id == BUILTIN_MODEL:
        if builtin.is_here():
            return _of_folder(BUILTIN_MODEL, "builtin", builtin.folder(), licence=builtin.LICENCE)
        disk = {"needs": builtin.DISK_BYTES, "free": hub_models.free_disk(builtin.folder())}
        more = {"bytes": builtin.DOWNLOAD_BYTES, "licence": builtin.LICENCE, "chat_template": True}
        return ModelFacts(BUILTIN_MODEL, "builtin", here=False, **disk, **more)
    folder = Path(config.id).expanduser()
    try:
        located = load.locate(config)
    except ModelError as error:
        where: Where = "folder" if folder.is_dir() else "nowhere"
        return ModelFacts(config.id, where, here=folder.is_dir(), problem=error.message)
    if located is None:
        return None
    return _of_folder(config.id, "folder" if folder.is_dir() else "cache", located.path)


def _of_folder(model_id: str, where: Where, folder: Path, licence: str | None = None) -> ModelFacts:
    settings = read_json(folder / "config.json")
    quantized = quantization.saved_quantization(settings)
    own = (folder / "chat_template.jinja").is_file()
    template = own or bool(read_json(folder / "tokenizer_config.json").get("chat_template"))
    try:
        count = parameters(folder)
    except (ModelError, KeyError, TypeError, ArithmeticError):
        count = None  # damaged: reported when it is loaded
    return ModelFacts(
        model_id,
        where,
        here=True,
        bytes=_bytes(folder),
        path=folder,
        parameters=count,
        licence=licence or hub_models.licence_of(licence_head(folder)),
        quantized=quantized,
        chat_template=template,
        architecture=architecture.named(settings),
        problem=_problem(model_id, settings, quantized),
    )


def _on_hub(config: ModelConfig, token: str | None) -> ModelFacts:
    try:
        listing = hub_models.describe(config.id, config.revision, token)
    except ModelError as error:
        return ModelFacts(config.id, "nowhere", here=False, problem=error.message)
    quantized = quantization.saved_quantization(listing.config)
    try:
        hub_models.require_usable(listing)
        if listing.gated:
            hub_models.require_access(config.id, token)
        hub_models.require_disk(listing.missing, hub_models.storage(config.id))
        problem = _problem(config.id, listing.config, quantized)
    except ModelError as error:
        problem = error.message
    tokenizer = listing.config.get("tokenizer_config") or {}
    return ModelFacts(
        config.id,
        "hub",
        here=False,
        bytes=listing.missing,
        needs=listing.missing,
        free=hub_models.free_disk(hub_models.storage(config.id)),
        parameters=None if quantized else sum(listing.parameters.values()) or None,  # packed ones would be miscounted
        licence=listing.licence,
        gated=listing.gated,
        quantized=quantized,
        chat_template="chat_template.jinja" in listing.files or bool(tokenizer.get("chat_template")),
        architecture=architecture.named(listing.config),
        problem=problem,
    )


def _problem(model_id: str, settings: dict[str, Any], quantized: str | None) -> Message | None:
    """Return why a model that is or could be here cannot be trained, as far as its settings tell."""
    if quantized and quantized not in quantization.BITSANDBYTES:
        return ModelError("model.other_quantization", id=model_id, method=quantized).message
    try:
        architecture.require(settings, model_id)
    except ModelError as error:
        return error.message
    return None


def describe_facts(facts: ModelFacts) -> Iterator[tuple[Message, Message | str]]:
    """Yield what is known of a model as titles with values, in the order in which they matter to who chooses."""
    if facts.where != "nowhere":
        place = facts.where if facts.here or facts.where == "hub" else "not_here"
        yield message("model.where"), message(f"model.{place}")
    if facts.bytes is not None:
        key = "model.size_here" if facts.here else "model.size_to_fetch"
        yield message("model.size"), message(key, size=size(facts.bytes))
    if facts.needs is not None and facts.free is not None:
        yield message("model.disk"), message("model.disk_line", needs=size(facts.needs), free=size(facts.free))
    if facts.parameters:
        yield message("model.parameters"), _count(facts.parameters)
    if facts.where != "nowhere":
        yield message("model.licence"), facts.licence or message("model.not_known")
    if facts.gated:
        yield message("model.access"), message("model.gated")
    if facts.quantized:
        yield message("model.quantized"), facts.quantized
    if facts.chat_template is not None:
        yield message("model.chat_template"), message("model.yes" if facts.chat_template else "model.no")


def _count(number: int) -> str:
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return str(number)


def licence_head(folder: Path) -> dict[str, Any]:
    """Return what the head of a model card says of the licence, as it stands there: its id, its name, its link."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        block = REGEX_YAML_BLOCK.search((folder / "README.md").read_text(encoding="utf-8"))
        head = (safe_yaml.load(block.group(2)) or {}) if block else {}
        return {name: head[name] for name in ("license", "license_name", "license_link") if head.get(name)}
    except Exception:  # written by anybody: whatever is wrong with it, the licence is not known
        return {}


def _bytes(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
