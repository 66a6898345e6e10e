"""The commands that use an export, for a terminal or Python."""

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

from studio.export import example, script
from studio.export.inventory import SavedExport

_PROMPT = '"How are you?"'


def instructions(export: SavedExport, folder: str, name: str) -> str:
    """Return the commands; `folder` is the export's path for the user, `name` the model's name in Ollama."""
    if export.kind == "merged":
        return _pipeline(export.folder, folder)
    enter = f"cd {subprocess.list2cmdline([folder]) if os.name == 'nt' else shlex.quote(folder)}"
    if export.kind in ("ollama", "gguf"):
        model = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "restyled"
        return f"{enter}\nollama create {model} -f Modelfile\nollama run {model}"
    run = {"script": f"python {script.NAME}", "space": "python app.py"}.get(export.kind)
    return f"{enter}\npip install -r requirements.txt\n{run or _example_command(export.folder / example.NAME)}"


def _example_command(path: Path) -> str:
    """Return the command in the example's docstring, which has a prompt for every column."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = re.search(rf"^ +(python {re.escape(example.NAME)} .+)$", docstring, re.MULTILINE)
    return line[1] if line else f"python {example.NAME} {_PROMPT}"


def _pipeline(export: Path, folder: str) -> str:
    lines = ["from transformers import pipeline", "", f'ask = pipeline("text-generation", model={folder!r})']
    if (export / "chat_template.jinja").is_file():
        lines.append(f'said = ask([{{"role": "user", "content": {_PROMPT}}}])[0]["generated_text"]')
        lines.append('print(said[-1]["content"])')
    else:
        lines.append(f'print(ask({_PROMPT})[0]["generated_text"])')
    return "\n".join(lines)
