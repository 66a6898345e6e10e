"""Export a demo Space: an app that compares base and adapter, with recorded answers for any machine."""

import json
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

from studio.compare.column_loading import load_columns
from studio.compare.columns import BASE
from studio.compare.comparison import AnswerPair
from studio.errors import ExportError, PromptError
from studio.export import adapter, code_snippets, export_folder, model_card
from studio.export.export_context import ExportContext
from studio.export.request import OnProgress
from studio.export.sample_answers import SampleAnswers
from studio.export.verify.reference_answers import sample_prompts
from studio.files import replace_file
from studio.generation import generate
from studio.generation.generate import PromptBatchItem, noise_key
from studio.i18n import text
from studio.model import hub_models
from studio.model.adapter import ModelHost
from studio.reports import run_card
from studio.reports.comparison_card import escape_inline
from studio.style.headline import headline_of

APP, DATA = "app.py", "demo.json"
_SDK = "gradio"
_PYTHON = "3.12"
_HARDWARE = "t4-small"
_WORDS = (
    *("afresh", "answering", "ask", "empty", "live", "no_device", "pinned", "prompt", "recorded", "too_long"),
    *("with_device", "without_device"),
)


def export(
    context: ExportContext, folder: Path, host: ModelHost, stop: threading.Event, on_progress: OnProgress
) -> Path:
    """Write the Space and return its folder; raises ExportError for a template with several prompt columns."""
    if context.prompt.kind != "chat" and context.prompt.chat_template() is None:
        raise ExportError("export.no_space", run=context.run.id, columns=", ".join(context.prompt.columns))
    pairs = SampleAnswers(context).from_comparisons or _generate_pairs(context, host, stop, on_progress)
    on_progress("saving", None)
    return export_folder.write(folder, "space", context.metadata, lambda draft: _fill(draft, context, pairs))


def _generate_pairs(
    context: ExportContext, host: ModelHost, stop: threading.Event, on_progress: OnProgress
) -> tuple[AnswerPair, ...]:
    """Let base and adapter answer the sample prompts, as a comparison does."""
    import torch

    run, config = context.run, context.config
    try:
        rows = sample_prompts(context)
    except PromptError as error:
        raise ExportError("export.no_space", run=run.id, columns=", ".join(context.prompt.columns)) from error
    on_progress("loading", None)
    with torch.no_grad(), load_columns(host, run, config, (BASE, context.column), None) as models:
        pairs = []
        for number, row in enumerate(rows):
            on_progress("answering", number / len(rows))
            [prompt] = row.texts
            batch = [PromptBatchItem((row.ids, row.ids), noise_key(prompt))]
            answers = generate.answer(
                models, batch, config.generation, stop, lambda sides: on_progress("answering", None)
            )
            before, after = answers.answers[0]
            pairs.append(AnswerPair(prompt, before.text, after.text))
    host.release()
    return tuple(pairs)


def _fill(draft: Path, context: ExportContext, pairs: tuple[AnswerPair, ...]) -> None:
    adapter.fill_subfolder(draft, context)
    if context.base.origin == "package":
        replace_file(draft / "base.py", code_snippets.render("base.py", context))
    replace_file(draft / APP, Path(__file__).with_name("demo_app.py").read_text(encoding="utf-8"))
    replace_file(draft / DATA, json.dumps(_demo(context, pairs), ensure_ascii=False, indent=1) + "\n")
    replace_file(draft / "README.md", _readme(context))


def _demo(context: ExportContext, pairs: tuple[AnswerPair, ...]) -> dict[str, Any]:
    language, settings = context.language, context.config.generation
    generation = {"max_new_tokens": settings.max_new_tokens, "repetition_penalty": settings.repetition_penalty}
    sides = {"before": run_card.base_name(context.config.model), "after": context.name}
    about = text("export.space.about", language, base=escape_inline(context.base.id))
    if style := headline_of(context.run, context.column, SampleAnswers(context).adapter_sha256):
        about = f"{about} {escape_inline(style.text(language))}"
    return {
        "title": context.name,
        "heading": escape_inline(context.name),
        "about": about,
        "sides": [f"{text(f'card.{side}', language)} · {name}" for side, name in sides.items()],
        "recorded": [{"prompt": pair.prompt, "answers": [pair.before, pair.after]} for pair in pairs],
        "words": {name: text(f"export.space.{name}", language) for name in _WORDS},
        "base": {"id": context.base.id, "revision": context.base.revision, "origin": context.base.origin},
        "quantization": context.quantization,
        "attention": context.choices["attention"],
        "system": context.prompt.system,
        "stops": list(context.stop_ids),
        "generation": generation | {"do_sample": bool(context.sampling), **context.sampling},
        "seed": settings.seed,
    }


def _readme(context: ExportContext) -> str:
    from huggingface_hub import SpaceCardData

    base, language = escape_inline(context.base.id), context.language
    head = SpaceCardData(
        title=context.name[:60],
        sdk=_SDK,
        sdk_version=version(_SDK),
        python_version=_PYTHON,
        app_file=APP,
        license=model_card.licence_head(context).get("license"),
        models=[context.base.id] if context.base.origin == "hub" else None,
        tags=["restyle-studio", "lora"],
        colorFrom="gray",
        colorTo="green",
        pinned=False,
        short_description=text("export.space.short", language),
        suggested_hardware=_HARDWARE,
    )
    name = hub_models.licence_of(context.base.licence)
    licence = text("export.card.licence_known", language, licence=escape_inline(name)) if name else ""
    about = text("export.space.readme", language, base=base, hardware=_HARDWARE, sdk=version(_SDK))
    parts = [f"---\n{head.to_yaml()}\n---", f"# {escape_inline(context.name)}", about, licence]
    return "\n\n".join(part for part in parts if part) + "\n"
