"""The adapter as a folder that PEFT loads without the studio, with all that is needed to ask it rightly."""

import json
from pathlib import Path

from studio.export import card, example, pieces, target
from studio.export.subject import Subject
from studio.files import replace_file
from studio.model.adapter_files import BASE_RECORD, SETTINGS, WEIGHTS

TEXT_TEMPLATE = "prompt_template.txt"
"""The run's text template as it was written."""
_OF_THIS_MACHINE = ("is_local", "local_files_only")


def export(subject: Subject, folder: Path) -> Path:
    """Write the adapter's folder and return it; raises ExportError when something else is there."""
    return target.write(folder, "adapter", subject.record, lambda draft: fill(draft, subject))


def fill(draft: Path, subject: Subject) -> None:
    """Put the adapter's files into a folder."""
    target.copy([subject.run.adapter / WEIGHTS], draft)
    settings = json.loads((subject.run.adapter / SETTINGS).read_text(encoding="utf-8"))
    settings |= {"base_model_name_or_path": subject.base.id, "revision": subject.base.revision}
    replace_file(draft / SETTINGS, json.dumps(settings, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    save_tokenizer(draft, subject)
    card.write(draft, subject, "adapter")
    replace_file(draft / example.NAME, example.script(subject))
    replace_file(draft / "requirements.txt", "\n".join(pieces.requirements(subject, training=False)) + "\n")


def save_tokenizer(draft: Path, subject: Subject) -> None:
    """Save the tokenizer with a template that asks as the run did, and no other."""
    from copy import deepcopy

    tokenizer = deepcopy(subject.tokenizer)
    if subject.prompt.kind != "chat":
        tokenizer.chat_template = subject.prompt.chat_template()
    tokenizer.save_pretrained(draft)
    path = draft / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name in _OF_THIS_MACHINE:
        settings.pop(name, None)
    replace_file(path, json.dumps(settings, ensure_ascii=False, indent=2) + "\n")
    if subject.prompt.kind == "text":
        replace_file(draft / TEXT_TEMPLATE, subject.config.data.prompt.template or "")


def export_example(subject: Subject, folder: Path) -> Path:
    """Write a folder with the example script, and the adapter in a folder beside it."""

    def fill_both(draft: Path) -> None:
        (draft / "adapter").mkdir()
        fill(draft / "adapter", subject)
        replace_file(draft / "adapter" / BASE_RECORD, json.dumps({"export": "adapter", **subject.record}, indent=1))
        (draft / "adapter" / example.NAME).unlink()
        (draft / "adapter" / "requirements.txt").rename(draft / "requirements.txt")
        replace_file(draft / example.NAME, example.script(subject, "adapter"))

    return target.write(folder, "example", subject.record, fill_both)
