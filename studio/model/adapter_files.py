"""The files of an adapter, read without trusting them: its settings, the base it names, the shapes of its matrices.

A folder may come from anywhere. Its settings reach PEFT only as far as they are known here: PEFT would import a module
that a file names (`megatron_core`), and search with patterns that a file holds and that may never end. So the modules
and their ranks are taken from the weights, and what a file says by module holds for the modules that it names in full
or by their last parts: nothing from a file is ever a pattern here.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from studio.errors import CompareError, one_line
from studio.files import read_json
from studio.model import template
from studio.model.weight_files import list_names

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
BASE_RECORD = "restyle.json"
"""File in an adapter's folder that says which base it was made for."""
MAX_WEIGHT_BYTES = 2 * 10**9
"""Bytes of an adapter's weights at most."""
MAX_RANK = 1024
_MAX_SETTINGS_BYTES, _MAX_HEADER_BYTES = 2 * 10**6, 16 * 10**6
"""Bytes of a settings file and of the head of the weights: both are read whole."""

_MAX_NAME_CHARACTERS = 1000
"""Characters of the name of a base: names are searched with patterns of ours."""

_SUPPORTED_INITS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Ways to begin an adapter that leave the base's own weights alone; others (PiSSA, OLoRA, …) change them."""
_UNSUPPORTED = (
    *("modules_to_save", "trainable_token_indices", "layer_replication", "target_parameters", "kasa_config"),
    *("alora_invocation_tokens", "megatron_config", "use_qalora", "use_bdlora", "arrow_config", "velora_config"),
    "monteclora_config",
)
"""Settings by which an adapter does more than add low-rank matrices to linear modules."""
_PREFIX = "base_model.model."
_PARTS = re.compile(
    r"(.+)\.(lora_A\.weight|lora_B\.weight|lora_B\.bias|lora_embedding_A|lora_embedding_B"
    r"|lora_magnitude_vector(?:\.weight)?)"
)
_ModuleName = Annotated[str, StringConstraints(max_length=200, pattern=r"^(?:\^?(?:\w|[-.]|\\\.)+)$")]
"""A module's name, or the last parts of it, also as a pattern that means just that: `^model\.layers\.0`."""


_Rank = Annotated[int, Field(ge=1, le=MAX_RANK)]
_Alpha = Annotated[float, Field(gt=0, le=10**6)]


class _LoraSettings(BaseModel):
    """The checks of an adapter's settings. The keys of a table are patterns to PEFT: only plain names are accepted."""

    model_config = ConfigDict(strict=True)

    r: _Rank
    lora_alpha: _Alpha
    rank_pattern: dict[_ModuleName, _Rank] | None = None
    alpha_pattern: dict[_ModuleName, _Alpha] | None = None
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None


@dataclass(frozen=True)
class LoraShape:
    """The sizes of one module's two matrices, and so of the module."""

    inputs: int
    outputs: int
    rank: int


@dataclass(frozen=True)
class SavedAdapter:
    """An adapter in a folder."""

    folder: Path
    settings: Mapping[str, Any]
    base: Mapping[str, str | None]
    """The base it was made for: `id`, `revision`, and the hash of its `weights` where the studio has saved it."""
    modules: Mapping[str, LoraShape]
    """The modules that it sits in, by their path in the base."""

    @property
    def template(self) -> str | None:
        """The chat template that lies beside it; None without one."""
        return template.in_folder(self.folder)

    def lora_config(self) -> Any:
        """Return PEFT's configuration, from checked settings alone."""
        from peft import LoraConfig

        known = ("lora_dropout", "use_rslora", "use_dora", "lora_bias", "fan_in_fan_out")
        options = {name: self.settings[name] for name in known if self.settings.get(name)}
        ranks, alphas = {}, {}
        for path, shape in self.modules.items():
            exact = f"^{re.escape(path)}"  # by this, PEFT finds this module and no other
            if shape.rank != self.settings["r"]:
                ranks[exact] = shape.rank
            if (alpha := _of_module(path, self.settings.get("alpha_pattern") or {})) is not None:
                alphas[exact] = alpha
        options |= {"r": self.settings["r"], "lora_alpha": self.settings["lora_alpha"]}
        options |= {"target_modules": list(self.modules), "rank_pattern": ranks, "alpha_pattern": alphas}
        return LoraConfig(inference_mode=True, task_type="CAUSAL_LM", **options)


def read(folder: Path) -> SavedAdapter:
    """Return what a folder holds, by the heads of its files; raises CompareError unless it only adds LoRA to a base."""
    settings = read_settings(folder)
    if not (folder / WEIGHTS).is_file():
        raise CompareError("compare.no_safetensors", folder=folder.name)
    _require_lora(folder, settings)
    return SavedAdapter(folder, settings, recorded_base(folder), _modules(folder, settings))


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what an adapter's `adapter_config.json` says; raises CompareError when there is none that can be read."""
    settings = read_json(folder / SETTINGS, _MAX_SETTINGS_BYTES)
    if "peft_type" not in settings:
        raise CompareError("compare.not_an_adapter", folder=folder.name)
    return settings


def recorded_base(folder: Path) -> dict[str, str | None]:
    """Return the base that an adapter's folder names, by its record or PEFT's settings; raises CompareError."""
    if not (folder / BASE_RECORD).is_file():
        settings = read_settings(folder)
        for field in ("base_model_name_or_path", "revision"):
            if len(str(settings.get(field))) > _MAX_NAME_CHARACTERS:
                raise _bad_settings(folder, SETTINGS, field, settings[field])
        named, revision = (str(settings.get(field) or "") for field in ("base_model_name_or_path", "revision"))
        return {"id": named, "revision": revision or None, "weights": None}
    base = read_json(folder / BASE_RECORD, _MAX_SETTINGS_BYTES).get("base")
    texts = [base.get(name) for name in ("id", "weights")] if isinstance(base, dict) else [None]
    if not all(isinstance(text, str) and len(text) <= _MAX_NAME_CHARACTERS for text in texts):
        raise _bad_settings(folder, BASE_RECORD, "base", base)
    return {"id": base["id"], "revision": str(base.get("revision") or "") or None, "weights": base["weights"]}


def _require_lora(folder: Path, settings: Mapping[str, Any]) -> None:
    more = [name for name in _UNSUPPORTED if settings.get(name)]
    if settings.get("bias") not in (None, "none"):
        more.append("bias")
    if settings.get("init_lora_weights", True) not in _SUPPORTED_INITS:
        more.append("init_lora_weights")
    kind = settings["peft_type"]
    if kind != "LORA" or more:
        raise CompareError("compare.more_than_lora", folder=folder.name, kind=", ".join([one_line(kind, 120), *more]))
    try:
        _LoraSettings.model_validate(settings)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        raise _bad_settings(folder, SETTINGS, field, settings.get(field)) from error


def _bad_settings(folder: Path, file: str, field: str, value: Any) -> CompareError:
    return CompareError("compare.bad_settings", folder=folder.name, file=file, field=field, value=one_line(value, 120))


def _of_module(path: str, table: Mapping[str, Any]) -> Any:
    """Return what a table says of a module, by its whole name (`^…`) or its last parts: the first entry, as in PEFT."""
    for key, value in table.items():
        name = key.removeprefix("^").replace("\\.", ".")
        if path == name or (not key.startswith("^") and path.endswith(f".{name}")):
            return value
    return None


def _modules(folder: Path, settings: Mapping[str, Any]) -> dict[str, LoraShape]:
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes(folder).items():
        match = _PARTS.fullmatch(name.removeprefix(_PREFIX))
        if match is None or not name.startswith(_PREFIX):
            raise CompareError("compare.more_than_lora", folder=folder.name, kind=one_line(name, 120))
        parts.setdefault(match[1], {})[match[2]] = shape
    if not parts:
        raise CompareError("compare.damaged", folder=folder.name, detail="0 × lora_A")
    modules = {path: _matrices(folder, path, of, settings) for path, of in sorted(parts.items())}
    targets = settings.get("target_modules")
    if isinstance(targets, list | tuple):  # PEFT takes a string for a pattern, which is not evaluated here
        ends = tuple(f".{target}" for target in targets if isinstance(target, str))
        if unlisted := [path for path in modules if not f".{path}".endswith(ends)]:
            detail = f"target_modules ∌ {list_names(unlisted)}"
            raise CompareError("compare.contradicts", folder=folder.name, detail=detail)
    return modules


def _matrices(folder: Path, path: str, parts: Mapping[str, tuple[int, ...]], settings: Mapping[str, Any]) -> LoraShape:
    first, second = (parts.get(f"lora_{side}.weight", parts.get(f"lora_embedding_{side}")) for side in "AB")
    if first is None or second is None or len(first) != 2 or len(second) != 2 or first[0] != second[1]:
        raise CompareError("compare.damaged", folder=folder.name, detail=f"{one_line(path, 120)}: {first}, {second}")
    rank = first[0]
    if not 1 <= rank <= MAX_RANK or (not settings.get("rank_pattern") and rank != settings["r"]):
        detail = f"r = {settings['r']}, {one_line(path, 120)}: {rank}"
        raise CompareError("compare.contradicts", folder=folder.name, detail=detail)
    return LoraShape(inputs=first[1], outputs=second[0], rank=rank)


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor by the head of the file; raises CompareError for a cut or too large one."""
    from safetensors import SafetensorError, safe_open

    file = folder / WEIGHTS
    try:
        size = file.stat().st_size
        if size > MAX_WEIGHT_BYTES:
            raise CompareError("compare.too_large", name=WEIGHTS, most=f"{MAX_WEIGHT_BYTES / 1e9:g} GB")
        with open(file, "rb") as opened:
            head = opened.read(8)
        if len(head) < 8 or struct.unpack("<Q", head)[0] > min(_MAX_HEADER_BYTES, size):
            raise CompareError("compare.damaged", folder=folder.name, detail=f"{size:,} B")
        with safe_open(file, framework="numpy") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CompareError("compare.damaged", folder=folder.name, detail=one_line(error, 120)) from error
