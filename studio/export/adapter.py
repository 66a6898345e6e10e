"""Export the adapter as a folder that PEFT loads, with its tokenizer, model card and example."""

import json
import shutil
from copy import deepcopy
from pathlib import Path

from studio.export import code_snippets, export_folder, model_card
from studio.export.export_context import ExportContext
from studio.files import replace_file
from studio.model.adapter_files import SETTINGS, WEIGHTS

TEXT_TEMPLATE = "prompt_template.txt"
_LOCAL_SETTINGS = ("is_local", "local_files_only")


def export(context: ExportContext, folder: Path) -> Path:
    """Write the adapter's folder and return it; raises ExportError when the folder holds something else."""
    return export_folder.write(folder, "adapter", context.metadata, lambda draft: fill(draft, context))


def fill(draft: Path, context: ExportContext) -> None:
    """Write the adapter's files into a folder."""
    write_weights(draft, context)
    save_tokenizer(draft, context)
    model_card.write(draft, context, "adapter")
    replace_file(draft / code_snippets.EXAMPLE, code_snippets.example(context))
    replace_file(draft / "requirements.txt", "\n".join(code_snippets.requirements(context, training=False)) + "\n")


def write_weights(draft: Path, context: ExportContext) -> None:
    """Write the adapter's weights and settings into a folder: its strength is a factor of `lora_alpha`."""
    shutil.copy2(context.run.adapter / WEIGHTS, draft / WEIGHTS)
    settings = json.loads((context.run.adapter / SETTINGS).read_text(encoding="utf-8"))
    settings |= {"base_model_name_or_path": context.base.id, "revision": context.base.revision}
    if context.strength != 1:
        settings["lora_alpha"] *= context.strength
        pattern = settings.get("alpha_pattern") or {}
        settings["alpha_pattern"] = {name: alpha * context.strength for name, alpha in pattern.items()}
    replace_file(draft / SETTINGS, json.dumps(settings, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def save_tokenizer(draft: Path, context: ExportContext) -> None:
    """Save the tokenizer with a chat template that renders prompts as the run does, or none."""
    tokenizer = deepcopy(context.tokenizer)
    if context.prompt.kind != "chat":
        tokenizer.chat_template = context.prompt.chat_template()
    tokenizer.save_pretrained(draft)
    path = draft / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name in _LOCAL_SETTINGS:
        settings.pop(name, None)
    replace_file(path, json.dumps(settings, ensure_ascii=False, indent=2) + "\n")
    if context.prompt.kind == "text":
        replace_file(draft / TEXT_TEMPLATE, context.config.data.prompt.template or "")


def fill_subfolder(draft: Path, context: ExportContext) -> None:
    """Write the adapter into the subfolder `adapter`, without an example; its requirements are put beside it."""
    folder = draft / "adapter"
    folder.mkdir()
    fill(folder, context)
    export_folder.write_metadata(folder, "adapter", context.metadata)
    (folder / code_snippets.EXAMPLE).unlink()
    (folder / "requirements.txt").rename(draft / "requirements.txt")


def export_example(context: ExportContext, folder: Path) -> Path:
    """Write a folder with the example script and the adapter in a subfolder."""

    def fill_both(draft: Path) -> None:
        fill_subfolder(draft, context)
        replace_file(draft / code_snippets.EXAMPLE, code_snippets.example(context, "adapter"))

    return export_folder.write(folder, "example", context.metadata, fill_both)
