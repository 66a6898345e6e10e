"""Find a model and load it: the built-in one, a folder, or an id of the Hub.

Only safetensors are loaded, and code from a model's repository never runs: no setting can change that. Where
transformers has the architecture itself, its own class is loaded, whatever the repository names.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.config import BUILTIN_MODEL, ModelConfig
from studio.errors import ModelError, RunError, StudioError, one_line
from studio.files import sha256
from studio.i18n import message
from studio.model import (
    architecture,
    builtin,
    hub_models,
    libraries,
    processes,
    quantization,
    template,
    tokenizer_trial,
    weight_files,
    weights,
)
from studio.model.estimate import parameters
from studio.model.hardware import Choice, device, free_memory_of_cards, max_memory, placement, precision, single_card
from studio.model.hub_models import ProgressCallback
from studio.model.subprocess_worker import is_bearable

_TRIAL_SECONDS = tokenizer_trial.SECONDS + 30
"""Seconds until a child that does not end is ended: its own limit counts only what it computes."""
_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "tokenizer_config.json")
_tried: dict[str, bool] = {}
"""Whether what was tried is bearable, by what is in its files."""


@dataclass(frozen=True)
class Located:
    """A model on this machine."""

    id: str
    path: Path
    revision: str | None

    @property
    def settings(self) -> dict[str, Any]:
        """What its `config.json` says."""
        return json.loads((self.path / "config.json").read_text(encoding="utf-8"))

    @property
    def identity(self) -> dict[str, str | None]:
        """What an adapter of this model records, and what a comparison checks: id, revision, hash of the weights."""
        files = sorted(self.path.glob("*.safetensors"))
        weights = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        return {"id": self.id, "revision": self.revision, "weights": _hash_files(weights)}


@dataclass
class Loaded:
    """A model in memory, with its tokenizer."""

    model: Any
    tokenizer: Any
    located: Located
    precision: Choice
    attention: Choice
    quantization: Choice
    placement: Choice
    pad_token: Choice

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Everything that was chosen while loading, each with its reason."""
        padding = Choice("padding", "right", message("choice.padding.right"))
        return self.precision, self.quantization, self.attention, self.placement, self.pad_token, padding


def locate(config: ModelConfig) -> Located | None:
    """Return where a model is on this machine, or None; raises ModelError for one that must not be loaded."""
    if config.id == BUILTIN_MODEL:
        if not builtin.is_here():
            return None
        return Located(builtin.HUB_ID, builtin.folder(), builtin.identity()["origin"])
    folder = Path(config.id).expanduser()
    if folder.is_dir():
        return _checked(Located(str(folder), folder, None))
    folder_in_cache = hub_models.local(config.id, config.revision)
    return folder_in_cache and _checked(Located(config.id, folder_in_cache, folder_in_cache.name))


def require(config: ModelConfig) -> Located:
    """Return where a model is; raises ModelError when it is not on this machine."""
    if located := locate(config):
        return located
    raise ModelError("model.not_here", id=config.id)


def fetch(config: ModelConfig, on_progress: ProgressCallback = lambda share: None, token: str | None = None) -> Located:
    """Return where a model is, fetched (with `token`, else the login's) if it is not here; raises ModelError."""
    if located := locate(config):
        return located
    if config.id == BUILTIN_MODEL:
        builtin.fetch(on_progress)
    else:
        hub_models.fetch(config.id, config.revision, on_progress, token)
    located = locate(config)
    if located is None:
        raise ModelError("model.no_safetensors", id=config.id)
    return located


@contextlib.contextmanager
def examined_meanwhile(config: ModelConfig) -> Iterator[None]:
    """Hash a model's weights, try its tokenizer and template meanwhile; what fails fails again when it is needed."""
    located: Located | None = None
    with contextlib.suppress(StudioError):
        located = None if libraries.are_imported() else locate(config)  # here: it may import what the caller will

    def examine(located: Located) -> None:
        with contextlib.suppress(StudioError, OSError):
            check_tokenizer(located.path)
            template.check(template.in_folder(located.path), located.path.name)
            _ = located.identity

    thread = threading.Thread(target=examine, args=(located,), name="examine-model", daemon=True)
    if located:
        thread.start()
    try:
        yield
    finally:
        if located:
            thread.join()


def load_tokenizer(config: ModelConfig) -> Any:
    """Return a model's tokenizer; raises ModelError when the model is not on this machine."""
    return _tokenizer(require(config).path)[0]


@lru_cache(maxsize=4)
def _tokenizer(path: Path) -> tuple[Any, Choice]:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    check_tokenizer(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        if _has_tokens_of_its_class(tokenizer, path):
            tokenizer = PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError("model.no_tokenizer", path=path.name, detail=one_line(error)) from error
    template.check(tokenizer.chat_template, path.name)
    return tokenizer, _choose_pad_token(tokenizer, path)


def check_tokenizer(folder: Path) -> None:
    """Raise ModelError for a tokenizer that takes too much time or memory, or makes too much of a text."""
    files = [folder / name for name in _FILES]
    known = "".join(f"{file.name} {sha256(file)} " for file in files if file.is_file())
    content = hashlib.sha256(known.encode()).hexdigest()
    if content not in _tried:
        bearable = (0, tokenizer_trial.BROKEN)
        _tried[content] = is_bearable(tokenizer_trial.__file__, str(folder), seconds=_TRIAL_SECONDS, bearable=bearable)
    if not _tried[content]:
        limits = {"growth": tokenizer_trial.MOST_GROWTH, "gigabytes": tokenizer_trial.MEMORY // 1024**3}
        raise ModelError("model.tokenizer", name=folder.name, seconds=tokenizer_trial.SECONDS, **limits)


def _has_tokens_of_its_class(tokenizer: Any, path: Path) -> bool:
    """Whether transformers' class has added tokens to those of `tokenizer.json` that the model has no embedding of."""
    config, file = path / "config.json", path / "tokenizer.json"
    if not config.is_file() or not file.is_file():
        return False
    settings = json.loads(config.read_text(encoding="utf-8"))
    rows = settings.get("vocab_size") or (settings.get("text_config") or {}).get("vocab_size")
    if not rows or len(tokenizer) <= rows:
        return False
    described = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = described["model"]["vocab"]  # Unigram models list their tokens
    own = {token["id"] for token in described.get("added_tokens", ())}
    own |= set(vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary)))
    return all(number < rows for number in own)


def _choose_pad_token(tokenizer: Any, path: Path) -> Choice:
    """Give a tokenizer a padding token if it has none; raises ModelError when no token can be used."""
    if tokenizer.pad_token is not None:
        return Choice("pad_token", tokenizer.pad_token, message("choice.pad_token.own"))
    for name in ("eos", "unk"):
        token = getattr(tokenizer, f"{name}_token")
        if token is not None:
            tokenizer.pad_token = token
            return Choice("pad_token", token, message(f"choice.pad_token.{name}"))
    raise ModelError("model.no_tokenizer", path=path.name, detail="eos_token, unk_token, pad_token: none")


def load(config: ModelConfig, located: Located) -> Loaded:
    """Load a model onto the device, frozen, for evaluation; raises ModelError, and RunError for quantized shards."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # progress goes to the run's status
    settings = located.settings
    number_format = precision(config.precision, settings.get("model_type", ""))
    dtype = getattr(torch, number_format.value)
    quantized = quantization.choose(config.quantization, settings, located.id)
    tokenizer, pad_token = _tokenizer(located.path)
    weights.check(located.path, located.id)
    sharded = processes.sharded()
    if sharded and quantized.value != "none":
        raise RunError("run.sharded_quantized", quantization=quantized.value)
    try:
        placed, where = _place(located.path, dtype.itemsize, quantized.value)
        own = quantization.saved_quantization(settings)
        described = AutoConfig.from_pretrained(located.path, trust_remote_code=False, local_files_only=True)
        if own in ("nf4", "fp4"):  # the precision that it was saved with may be one that this device lacks
            described.quantization_config["bnb_4bit_compute_dtype"] = number_format.value
        split = where is None
        model, info = AutoModelForCausalLM.from_pretrained(
            located.path,
            config=described,
            dtype=dtype,
            attn_implementation=None if config.attention == "auto" else config.attention,
            quantization_config=None if own else quantization.quantization_config(quantized.value, dtype),
            device_map="auto" if split else {"": where} if quantized.value != "none" else None,
            max_memory=_limits(located, dtype.itemsize, quantized.value) if split else None,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # files from outside can break a library in any way
        raise ModelError("model.cannot_load", id=located.id, detail=one_line(error, 300)) from error
    weights.check_loading(model, info, located.id)
    if not split and not sharded and quantized.value == "none":
        model.to(where)
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            # bitsandbytes packs 4-bit weights at the first pass without gradients, and cannot train on them afterwards
            part.support_avx512bf16_for_cpu = False
    model.requires_grad_(False)
    model.eval()
    reason = "choice.attention.auto" if config.attention == "auto" else "choice.attention.asked"
    attention = Choice("attention", model.config._attn_implementation, message(reason, model=settings["model_type"]))
    return Loaded(model, tokenizer, located, number_format, attention, quantized, placed, pad_token)


QUANTIZED_BYTES = {"int8": 1.1, "nf4": 0.65, "fp4": 0.65}
"""Bytes per quantized weight; embeddings and norms, which stay in the chosen precision, are reckoned in."""


def _limits(located: Located, width: int, quantized: str) -> dict[int, int]:
    """Return the bytes of weights that each card may take, so that each keeps room for its part of the training."""
    text = located.settings.get("text_config") or located.settings
    embedding = width * text.get("vocab_size", 0) * text.get("hidden_size", 0)
    layers = text.get("num_hidden_layers") or 1
    return max_memory(_weights(located.path, width, quantized), embedding, layers, free_memory_of_cards())


def _weights(folder: Path, width: int, quantized: str) -> int:
    return int(parameters(folder) * QUANTIZED_BYTES.get(quantized, width))


def card(folder: Path, width: int, quantized: str, free: Sequence[float]) -> int | None:
    """Return the card that `load` will take, of these with `free` bytes; None where it will spread the layers."""
    return single_card(_weights(folder, width, quantized), free)


def _place(folder: Path, width: int, quantized: str) -> tuple[Choice, str | None]:
    """Choose where the weights go: torch's device, or None for all; `width` is the bytes of an unquantized one."""
    if processes.sharded():
        reason = message("choice.placement.sharded", processes=processes.world_size())
        return Choice("placement", "sharded", reason), device()
    if device() != "cuda":
        return Choice("placement", "one device", message("choice.placement.only")), device()
    need, free = _weights(folder, width, quantized), free_memory_of_cards()
    number = single_card(need, free)
    only = len(free) == 1  # it is the process's own, whatever its number
    return placement(need, free), device() if only else number if number is None else f"cuda:{number}"


def _checked(located: Located) -> Located:
    """Refuse a repository that needs its own code, and one whose files are missing, cut off or not fetched."""
    try:
        if weight_files.is_pointer(located.path / "config.json"):
            raise ModelError("model.lfs_pointer", id=located.id, files="config.json")
        settings = located.settings
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict):
        raise ModelError("model.no_config", id=located.id)
    architecture.require(settings, located.id)
    weight_files.require_whole(located.path, located.id)
    return located


@lru_cache(maxsize=8)
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Return one hash over weight files, remembered while they keep their size and time."""
    hashes = [sha256(file) for file, _, _ in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
