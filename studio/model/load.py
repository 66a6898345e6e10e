"""Find a model and load it: the built-in one, a folder, or an id of the Hub.

Only safetensors are loaded, and code from a model's repository never runs: no setting can change that.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.config import BUILTIN_MODEL, ModelConfig
from studio.errors import ModelError
from studio.files import sha256
from studio.i18n import message
from studio.model import builtin, hub
from studio.model.hardware import Choice, device, precision

Going = Callable[[float], None]


@dataclass(frozen=True)
class Located:
    """A model on this machine."""

    id: str
    path: Path
    revision: str | None

    @property
    def identity(self) -> dict[str, str | None]:
        """What an adapter of this model records, and what a comparison checks: id, revision, hash of the weights."""
        return {"id": self.id, "revision": self.revision, "weights": _weights_hash(self.path)}


@dataclass
class Loaded:
    """A model in memory, with its tokenizer."""

    model: Any
    tokenizer: Any
    located: Located
    precision: Choice
    attention: Choice

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Everything that was chosen while loading, each with its reason."""
        return self.precision, self.attention


def locate(config: ModelConfig) -> Located | None:
    """Return where a model is on this machine, or None; raises ModelError for one that must not be loaded."""
    if config.id == BUILTIN_MODEL:
        if not builtin.is_here():
            return None
        return Located(builtin.HUB_ID, builtin.folder(), builtin.identity()["origin"])
    folder = Path(config.id).expanduser()
    if folder.is_dir():
        return _checked(Located(str(folder), folder, None))
    found = hub.local(config.id, config.revision)
    return found and _checked(Located(config.id, found, found.name))


def fetch(config: ModelConfig, going: Going = lambda share: None, token: str | None = None) -> Located:
    """Return where a model is, fetched first if it is not on this machine; raises ModelError."""
    if located := locate(config):
        return located
    if config.id == BUILTIN_MODEL:
        builtin.fetch(going)
    else:
        hub.fetch(config.id, config.revision, going)
    located = locate(config)
    if located is None:
        raise ModelError("model.no_safetensors", id=config.id)
    return located


def load_tokenizer(config: ModelConfig) -> Any:
    """Return a model's tokenizer; raises ModelError when the model is not on this machine."""
    located = locate(config)
    if located is None:
        raise ModelError("model.not_here", id=config.id)
    return _tokenizer(located.path)


@lru_cache(maxsize=4)
def _tokenizer(path: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError("model.no_tokenizer", path=path.name, detail=str(error)[:200]) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load(config: ModelConfig, located: Located) -> Loaded:
    """Load a model onto the device, frozen and in evaluation mode; raises ModelError."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # progress goes to the run's status
    settings = json.loads((located.path / "config.json").read_text(encoding="utf-8"))
    chosen = precision(config.precision, settings.get("model_type", ""))
    dtype = getattr(torch, chosen.value)
    quantized = None if settings.get("quantization_config") else _quantization(config.quantization, dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            located.path,
            dtype=dtype,
            attn_implementation=None if config.attention == "auto" else config.attention,
            quantization_config=quantized,
            device_map={"": device()} if quantized else None,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelError("model.cannot_load", id=located.id, detail=str(error)[:300]) from error
    if quantized is None:
        model.to(device())
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            # bitsandbytes packs 4-bit weights at the first pass without gradients, and cannot train on them afterwards
            part.support_avx512bf16_for_cpu = False
    model.requires_grad_(False)
    model.eval()
    reason = "choice.attention.auto" if config.attention == "auto" else "choice.attention.asked"
    attention = Choice("attention", model.config._attn_implementation, message(reason, model=settings["model_type"]))
    return Loaded(model, _tokenizer(located.path), located, chosen, attention)


def _quantization(wanted: str, dtype: Any) -> Any:
    """Return what bitsandbytes is told, or None.

    NF4 with double quantization, computed in the chosen precision (Dettmers et al. 2023, QLoRA); or 8-bit weights
    (Dettmers et al. 2022, LLM.int8()). Raises ModelError on devices that bitsandbytes does not support.
    """
    if wanted == "none":
        return None
    if device() == "mps":
        raise ModelError("model.no_quantization", wanted=wanted, device="MPS")
    from transformers import BitsAndBytesConfig

    if wanted == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _checked(located: Located) -> Located:
    """Refuse a repository that wants to run code of its own, or that has no safetensors."""
    try:
        settings = json.loads((located.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError("model.no_config", id=located.id) from error
    if settings.get("auto_map"):
        raise ModelError("model.remote_code", id=located.id)
    if not any(located.path.glob("*.safetensors")):
        raise ModelError("model.no_safetensors", id=located.id)
    return located


def _weights_hash(path: Path) -> str:
    """Return one hash over all weight files of a folder, remembered while the files stay as they are."""
    files = sorted(path.glob("*.safetensors"))
    return _hash_files(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=8)
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    hashes = [sha256(file) for file, _, _ in files]
    if len(hashes) == 1:
        return hashes[0]
    import hashlib

    return hashlib.sha256("".join(hashes).encode()).hexdigest()
