"""What to type to use an export: a few lines for a terminal, or for Python."""

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

from studio.export import example, script
from studio.export.made import Made

_ASKED = '"How are you?"'


def lines(made: Made, folder: str, name: str) -> str:
    """Return the lines; `folder` is where the export lies for who types them, `name` what Ollama will call it.

    Empty for a kind that has its own page elsewhere.
    """
    if made.kind in ("adapter", "example"):
        return f"{_into(folder)}\npip install -r requirements.txt\n{_ask(made.folder / example.NAME)}"
    if made.kind == "script":
        return f"{_into(folder)}\npip install -r requirements.txt\npython {script.NAME}"
    if made.kind == "space":
        return f"{_into(folder)}\npip install -r requirements.txt\npython app.py"
    if made.kind in ("ollama", "gguf"):
        return f"{_into(folder)}\nollama create {_model(name)} -f Modelfile\nollama run {_model(name)}"
    if made.kind == "merged":
        return _merged(made.folder, folder)
    return ""


def _into(folder: str) -> str:
    return f"cd {subprocess.list2cmdline([folder]) if os.name == 'nt' else shlex.quote(folder)}"


def _ask(path: Path) -> str:
    """Return the line by which the example says that it is asked: it knows how many columns its prompt has."""
    words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = re.search(rf"^ +(python {re.escape(example.NAME)} .+)$", words, re.MULTILINE)
    return line[1] if line else f"python {example.NAME} {_ASKED}"


def _model(name: str) -> str:
    """Return a name that Ollama takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "restyled"


def _merged(made: Path, folder: str) -> str:
    told = ["from transformers import pipeline", "", f'ask = pipeline("text-generation", model={folder!r})']
    if (made / "chat_template.jinja").is_file():
        told.append(f'said = ask([{{"role": "user", "content": {_ASKED}}}])[0]["generated_text"]')
        told.append('print(said[-1]["content"])')
    else:
        told.append(f'print(ask({_ASKED})[0]["generated_text"])')
    return "\n".join(told)
