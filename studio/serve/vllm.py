"""The line that serves the same adapters with vLLM, on a machine with a GPU, and what vLLM would refuse.

The rules are those of vLLM's `PEFTHelper.validate_legal` and of its `--lora-modules`; a test gives both to vLLM.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from studio.compare.column_loading import find_adapter
from studio.config import BUILTIN_MODEL, PromptConfig
from studio.i18n import Message, message
from studio.model import adapter_files, load
from studio.model.adapter_files import SavedAdapter
from studio.serve.models import Catalogue

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for the largest rank, without 1."""


@dataclass(frozen=True)
class VllmCommand:
    """How vLLM serves the adapters of a catalogue."""

    line: str | None
    """`vllm serve …`; None where it would serve none of them."""
    notes: tuple[Message, ...]
    """What it leaves out, and what its clients have to send."""


def command(catalogue: Catalogue) -> VllmCommand:
    """Return `vllm serve` with the adapters at full strength, for vLLM has no others or mixes; raises CompareError."""
    folders: dict[str, Path] = {}
    ranks: list[int] = []
    notes: list[Message] = []
    for name, model in catalogue.adapters.items():
        if model.column.mix is not None:
            notes.append(message("serve.vllm.mix", name=name))
        elif folder := find_adapter(catalogue.first, model.column, None).folder:
            adapter = adapter_files.read(folder)
            if reason := refusal(adapter):
                notes.append(message("serve.vllm.refused", name=name, reason=reason))
                continue
            folders[name] = folder.resolve()
            ranks.append(_rank(adapter))
            notes += _prompt_notes(name, model.run.config().data.prompt, adapter.template is not None)
    if not folders:
        return VllmCommand(None, tuple(notes))
    base = catalogue.first.config().model
    located = str(load.locate(base).path) if base.id == BUILTIN_MODEL else base.id
    words = ["vllm", "serve", located, *(["--revision", base.revision] if base.revision else [])]
    largest = next(rank for rank in RANKS if rank >= max(ranks))
    words += ["--enable-lora", "--max-loras", str(len(folders)), "--max-lora-rank", str(largest), "--lora-modules"]
    words += [_module(name, folder) for name, folder in folders.items()]
    return VllmCommand(shlex.join(words), tuple(notes))


def refusal(adapter: SavedAdapter) -> Message | None:
    """Return why vLLM would not load an adapter that the studio serves; None for one that it loads."""
    for setting in ("use_dora", "lora_bias"):
        if adapter.settings.get(setting):
            return message(f"serve.vllm.reason.{setting}")
    if (rank := _rank(adapter)) > RANKS[-1]:
        return message("serve.vllm.reason.rank", rank=rank, most=RANKS[-1])
    return None


def _prompt_notes(name: str, prompt: PromptConfig, has_template: bool) -> list[Message]:
    """Say what a client has to do for the prompt of the training: vLLM renders the base's own template."""
    if prompt.style == "text" or (prompt.style == "auto" and not has_template):
        return [message("serve.vllm.text_template", name=name)]
    return [message("serve.vllm.system", name=name, system=prompt.system)] if prompt.system else []


def _module(name: str, folder: Path) -> str:
    """Return a value of `--lora-modules`; vLLM takes one with a comma for JSON."""
    path = str(folder)
    return json.dumps({"name": name, "path": path}, ensure_ascii=False) if "," in path else f"{name}={path}"


def _rank(adapter: SavedAdapter) -> int:
    """Return the largest rank, of its settings too, which vLLM reads."""
    return max(adapter.settings["r"], *(shape.rank for shape in adapter.modules.values()))
