"""A demo Space: a folder with an app that compares base and adapter, for recorded prompts on any machine.

The app (`demo_app.py`, copied as it is) knows nothing of the studio; all that it shows lies beside it in `demo.json`.
"""

import json
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

from studio.compare.column_loading import load_columns
from studio.compare.columns import ADAPTED, BASE
from studio.compare.comparison import AnswerPair
from studio.errors import ExportError, PromptError
from studio.export import adapter, card, pieces, questions, target
from studio.export.merge import Going
from studio.export.shown import Shown
from studio.export.subject import Subject
from studio.files import replace_file
from studio.generation import generate
from studio.generation.generate import PromptBatchItem, noise_key
from studio.i18n import text
from studio.model import hub_models
from studio.model.adapter import ModelHost
from studio.model.adapter_files import BASE_RECORD
from studio.reports import run_card as compare_card
from studio.reports.comparison_card import escape_inline

APP, DATA = "app.py", "demo.json"
_SDK = "gradio"
_PYTHON = "3.12"
_HARDWARE = "t4-small"
_WORDS = (
    *("afresh", "answering", "ask", "empty", "live", "no_device", "pinned", "prompt", "recorded", "too_long"),
    *("with_device", "without_device"),
)


def export(subject: Subject, folder: Path, host: ModelHost, stop: threading.Event, going: Going) -> Path:
    """Write the Space and return its folder; raises ExportError for a run whose template takes no prompt alone.

    What is shown are the saved comparisons; without any, the prompts of the film strip are answered now.
    """
    if subject.prompt.kind != "chat" and subject.prompt.chat_template() is None:
        raise ExportError("export.no_space", run=subject.run.id, columns=", ".join(subject.prompt.columns))
    pairs = Shown(subject).compared or _answered(subject, host, stop, going)
    going("saving", None)
    return target.write(folder, "space", subject.record, lambda draft: _fill(draft, subject, pairs))


def _answered(subject: Subject, host: ModelHost, stop: threading.Event, going: Going) -> tuple[AnswerPair, ...]:
    """Let base and adapter answer the prompts of the film strip, else of the settings, as in a comparison."""
    import torch

    run, config = subject.run, subject.config
    try:
        found = questions.pinned_prompts(subject)
    except PromptError as error:
        raise ExportError("export.no_space", run=run.id, columns=", ".join(subject.prompt.columns)) from error
    going("loading", None)
    with torch.no_grad(), load_columns(host, run, config, (BASE, ADAPTED), None) as models:
        pairs = []
        for number, row in enumerate(found):
            going("answering", number / len(found))
            [prompt] = row.asked
            asked = [PromptBatchItem((row.ids, row.ids), noise_key(prompt))]
            made = generate.answer(models, asked, config.generation, stop, lambda sides: going("answering", None))
            before, after = made.answers[0]
            pairs.append(AnswerPair(prompt, before.text, after.text))
    host.release()
    return tuple(pairs)


def _fill(draft: Path, subject: Subject, pairs: tuple[AnswerPair, ...]) -> None:
    (draft / "adapter").mkdir()
    adapter.fill(draft / "adapter", subject)
    record = json.dumps({"export": "adapter", **subject.record}, indent=1)
    replace_file(draft / "adapter" / BASE_RECORD, record)
    needs = (draft / "adapter" / "requirements.txt").read_text(encoding="utf-8")
    replace_file(draft / "requirements.txt", needs)
    for name in ("requirements.txt", "ask.py"):
        (draft / "adapter" / name).unlink()
    if subject.base.origin == "package":
        lines = [*sorted(pieces.imports_of_packaged(subject.base)), "from pathlib import Path", ""]
        lines += ["from transformers import AutoModelForCausalLM, GgufConfig", "", ""]
        replace_file(draft / "base.py", "\n".join(lines) + "\n" + pieces.packaged(subject.base))
    replace_file(draft / APP, Path(__file__).with_name("demo_app.py").read_text(encoding="utf-8"))
    replace_file(draft / DATA, json.dumps(_demo(subject, pairs), ensure_ascii=False, indent=1) + "\n")
    replace_file(draft / "README.md", _readme(subject))


def _demo(subject: Subject, pairs: tuple[AnswerPair, ...]) -> dict[str, Any]:
    """Return all that the app shows and needs."""
    language, settings = subject.language, subject.generation
    sampled = {"temperature": settings.temperature, "top_k": settings.top_k, "top_p": settings.top_p}
    generation = {"max_new_tokens": settings.max_new_tokens, "repetition_penalty": settings.repetition_penalty}
    generation |= {"do_sample": True, **sampled} if settings.temperature else {"do_sample": False}
    base = compare_card.base_name(subject.config.model)
    words = {name: text(f"export.space.{name}", language) for name in _WORDS}
    return {
        "title": subject.name,
        "heading": escape_inline(subject.name),
        "about": text("export.space.about", language, base=escape_inline(subject.base.id)),
        "sides": [
            f"{text('card.before', language)} · {base}",
            f"{text('card.after', language)} · {subject.name}",
        ],
        "recorded": [{"prompt": pair.prompt, "answers": [pair.before, pair.after]} for pair in pairs],
        "words": words,
        "base": {"id": subject.base.id, "revision": subject.base.revision, "origin": subject.base.origin},
        "quantization": subject.quantization,
        "attention": subject.attention,
        "system": subject.prompt.system,
        "stops": list(subject.stops),
        "generation": generation,
        "seed": settings.seed,
    }


def _readme(subject: Subject) -> str:
    from huggingface_hub import SpaceCardData

    language = subject.language
    head = SpaceCardData(
        title=subject.name[:60],
        sdk=_SDK,
        sdk_version=version(_SDK),
        python_version=_PYTHON,
        app_file=APP,
        license=card.licence_head(subject).get("license"),
        models=[subject.base.id] if subject.base.origin == "hub" else None,
        tags=["restyle-studio", "lora"],
        colorFrom="gray",
        colorTo="green",
        pinned=False,
        short_description=text("export.space.short", language),
        suggested_hardware=_HARDWARE,
    )
    known = hub_models.licence_of(subject.base.licence)
    licence = text("export.card.licence_known", language, licence=escape_inline(known)) if known else ""
    told = text(
        "export.space.readme", language, base=escape_inline(subject.base.id), hardware=_HARDWARE, sdk=version(_SDK)
    )
    parts = [f"---\n{head.to_yaml()}\n---", f"# {escape_inline(subject.name)}", told, licence]
    return "\n\n".join(part for part in parts if part) + "\n"
