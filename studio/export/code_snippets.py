"""The files of exports, from the templates in `templates/`. The Python files do not import the studio."""

import re
import shlex
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio.export.export_context import ExportContext
from studio.model import builtin
from studio.reports import comparison_card

EXAMPLE = "ask.py"


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


def _escape_docstring(text: str) -> str:
    escapes = {"\n": "\n", '"': '\\"', "\\": "\\\\"}
    return "".join(escapes.get(each, each if each.isprintable() else repr(each)[1:-1]) for each in text)


def quote_argument(text: str) -> str:
    """Quote an argument of a command line for any shell."""
    return f'"{text}"' if re.fullmatch(r"[\w .,:?-]+", text) else shlex.quote(text)


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {
    "literal": literal,
    "docstring": _escape_docstring,
    "inline": comparison_card.escape_inline,
    "fenced": comparison_card.fenced_block,
    "code": comparison_card.inline_code,
    "wrap": lambda paragraph: textwrap.fill(paragraph, 100),
}


def render(name: str, context: ExportContext, **values: Any) -> str:
    """Return the text of `templates/<name>.jinja` for a run."""
    quantized = context.quantization != "none"
    shared = {"context": context, "base": context.base, "quantized": quantized}
    shared |= {"package": builtin.PACKAGE, "gguf": builtin.GGUF}
    return _TEMPLATES.get_template(f"{name}.jinja").render(shared | values)


def requirements(context: ExportContext, *, training: bool) -> list[str]:
    """Return the pinned requirements of an exported file, in the run's versions."""
    versions = context.run.resolved()["versions"]
    names = ["torch", "transformers", "peft", "accelerate"]
    names += ["trl", "datasets"] if training else []
    pinned = [f"{name}=={versions[name].partition('+')[0]}" for name in names]
    if training:
        pinned += [f"{name}=={version(name)}" for name in ("pyarrow", "numpy", "huggingface_hub")]
    if context.base.origin == "package":
        pinned.append(f"gguf=={version('gguf')}")
    optimizer = context.run.resolved().get("carried_out", {}).get("optimizer", "")
    if context.quantization != "none" or (training and "8bit" in optimizer):
        pinned.append(f"bitsandbytes=={version('bitsandbytes')}")
    return pinned


def example(context: ExportContext, adapter: str = "") -> str:
    """Return the script that loads an adapter and streams an answer; `adapter` is its folder beside the script."""
    settings = context.config.generation
    return render(
        EXAMPLE,
        context,
        adapter=adapter,
        requirements=requirements(context, training=False),
        prompt_arguments=_prompt_arguments(context),
        stop_tokens=stop_tokens(context),
        answer_settings=settings.model_dump(include={"max_new_tokens", "repetition_penalty"}),
        sampling_settings=context.sampling,
    )


def _prompt_arguments(context: ExportContext) -> str:
    return " ".join(map(quote_argument, context.prompt.columns)) or '"How are you?"'


def usage(context: ExportContext, kind: str) -> str:
    """Return the usage of an adapter, a merged model or a GGUF file for its model card, as Markdown."""
    if kind == "adapter":
        commands = f"pip install -r requirements.txt\npython {EXAMPLE} {_prompt_arguments(context)}"
        return comparison_card.fenced_block(commands, "sh")
    system = [] if context.prompt.system is None else [{"role": "system", "content": context.prompt.system}]
    messages = [*system, {"role": "user", "content": "How are you?"}]
    code = render(f"{kind}_usage.py", context, messages=messages, stops=stop_tokens(context))
    python = comparison_card.fenced_block(code.rstrip("\n"), "python")
    if kind == "merged":
        return python
    name = ollama_name(context.name)
    commands = f"ollama create {name} -f Modelfile\nollama run {name}"
    return f"{comparison_card.fenced_block(commands, 'sh')}\n\n{python}"


def stop_tokens(context: ExportContext) -> list[str]:
    """Return the tokens that end an answer."""
    return context.tokenizer.convert_ids_to_tokens(context.stop_ids)


def ollama_name(name: str) -> str:
    """Return a model name that Ollama takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "restyled"
