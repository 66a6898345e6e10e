"""Adapters that others have made: real ones of PEFT, on the tiny model or on another, without the studio's record."""

import json
import zipfile
from pathlib import Path
from typing import Any

FILES = ("adapter_config.json", "adapter_model.safetensors")


def make(folder: Path, model: Path, base: str, pickled: bool = False, **settings: Any) -> Path:
    """Save a LoRA adapter that changes what `model` says, for a base that its settings call `base`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model)
    settings = {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8} | settings
    wrapped = get_peft_model(loaded, LoraConfig(task_type="CAUSAL_LM", **settings))
    torch.manual_seed(7)
    for name, weights in wrapped.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(0, 0.5)
    wrapped.save_pretrained(folder)
    change(folder, base_model_name_or_path=base)
    (folder / "README.md").unlink(missing_ok=True)
    if pickled:
        (folder / FILES[1]).rename(folder / "adapter_model.bin")
    return folder


def change(folder: Path, **settings: Any) -> Path:
    """Change what an adapter's settings say."""
    path = folder / FILES[0]
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8")
    return folder


def zipped(folder: Path, file: Path, top: str = "") -> Path:
    """Pack a folder."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, top + path.name)
    return file
