"""Check an export of any kind."""

import json
from collections.abc import Callable
from pathlib import Path

from studio.export.request import Kind
from studio.export.subject import Subject
from studio.export.verify import gguf, model, script, words
from studio.export.verify.case import Case
from studio.export.verify.result import Verification
from studio.model.adapter import ModelHost
from studio.model.adapter_files import BASE_RECORD

_CHECKS: dict[Kind, Callable[[Case], Verification]] = {
    "adapter": model.adapter,
    "merged": model.merged,
    "ollama": model.merged,
    "script": script.check,
    "example": words.ask,
    "space": words.app,
    "gguf": gguf.check,
}


def verify(subject: Subject, folder: Path, host: ModelHost, going: Callable[[str, float | None], None]) -> Verification:
    """Check the export in `folder`; the models on the host are released on the way.

    Raises ExportError when a fresh process cannot use it.
    """
    kind = json.loads((folder / BASE_RECORD).read_text(encoding="utf-8"))["export"]
    return _CHECKS[kind](Case(subject, folder, host, lambda share: going("verifying", share)))
