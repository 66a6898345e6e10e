"""The model card of an export, with its loss curve and before/after page."""

import math
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

from studio.config import BUILTIN_MODEL, fields, value_of
from studio.data.language import is_hangul, languages
from studio.data.tokens import IGNORED
from studio.errors import CompareError
from studio.evaluate import evaluation_store
from studio.events import Chosen, Note
from studio.export import code_snippets
from studio.export.export_context import ExportContext
from studio.export.sample_answers import SampleAnswers
from studio.files import replace_file
from studio.i18n import DEFAULT_LANGUAGE, Message, text
from studio.model import hub_models
from studio.reports import card_html, comparison_card, fonts
from studio.reports.canvas import ACCENT, LINE, MUTED, WARN, Canvas
from studio.reports.comparison_card import escape_inline
from studio.reports.fonts import Faces
from studio.runs.curve import Curve
from studio.style.headline import headline_of
from studio.train import diagnosis, recorded_rows

NAME, CURVE, PAGE = "README.md", "loss.png", "before-after.html"
_LANGUAGE_ROWS = 400  # training rows whose answers are used for language detection
_LONGEST = 700
"""Characters of a prompt or an answer in the card; the attached page has all of them."""
_LIBRARY = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}
_SIZE = (1000, 480)
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 32, 64, 64
_MAX_GRID_LINES = 5
_MAX_POINTS = 600  # points of the training loss: more would share a pixel


def write(draft: Path, context: ExportContext, kind: str) -> None:
    """Write the model card and its attachments into the folder of an export."""
    samples = SampleAnswers(context)
    picture = curve_png(samples.curve, context.language)
    if picture:
        replace_file(draft / CURVE, picture)
    if samples.card:
        replace_file(draft / PAGE, card_html.to_html(samples.card))
    replace_file(draft / NAME, _text(context, kind, samples, has_picture=picture is not None))


def _text(context: ExportContext, kind: str, samples: SampleAnswers, has_picture: bool) -> str:
    """Return the card as Markdown with a YAML head."""
    run, language, curve = context.run, context.language, samples.curve
    words = partial(_words, language)
    events = run.events()[0]
    board = evaluation_store.find_scoreboard(run, context.column, samples.adapter_sha256)
    style = headline_of(run, context.column, samples.adapter_sha256)
    last_step = int(curve.steps[-1]) if len(curve.steps) else 0
    losses, checks = comparison_card.finite(curve.losses), comparison_card.finite(curve.validation_losses)
    line = words("loss", first=f"{losses[0]:.2f}", last=f"{losses[-1]:.2f}", step=last_step) if losses else ""
    if losses and checks:
        line = f"{line} {words('validation', loss=f'{min(checks):.2f}')}"
    versions = run.resolved().get("versions", {})
    return code_snippets.render(
        NAME,
        context,
        kind=kind,
        config=context.config,
        language=language,
        text=text,
        words=words,
        head=_head(context, kind),
        start=(run.resolved().get("start") or {}).get("name"),
        samples=samples,
        card=samples.card,
        shortened=partial(comparison_card.shortened, characters=_LONGEST),
        page=PAGE,
        last_step=last_step,
        usage=code_snippets.usage(context, kind),
        data_facts=_data_facts(context, [event.message for event in events if isinstance(event, Note)]),
        losses=line,
        has_picture=has_picture,
        curve_file=CURVE,
        diagnosis=diagnosis.diagnose_run(run).text(language) if losses else [],
        style=style.text(language) if style else "",
        scoreboard=comparison_card.table(board, language) if board else "",
        settings=[(path, _setting(context, path, value_of(context.config, path))) for path in fields()],
        choices=list({event.name: event for event in events if isinstance(event, Chosen)}.values()),
        versions=", ".join(f"{name} {escape_inline(version)}" for name, version in versions.items()),
        licence=hub_models.licence_of(context.base.licence),
    )


def _words(language: str, name: str, /, **values: Any) -> str:
    return text(f"export.card.{name}", language, **values)


def languages_of(context: ExportContext) -> tuple[str, ...]:
    """Return the languages of the training rows' answers; empty if unknown."""
    from pyarrow import parquet

    path = recorded_rows.folder_of(context.run.path) / "train.parquet"
    if not path.is_file():
        return ()
    rows = next(parquet.ParquetFile(path).iter_batches(_LANGUAGE_ROWS), None)
    trained = (
        [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]
        for row in (rows.to_pylist() if rows else ())
    )
    return languages(context.tokenizer.decode(ids, skip_special_tokens=True) for ids in trained)


def _head(context: ExportContext, kind: str) -> str:
    from huggingface_hub import ModelCardData

    base, source = context.base, context.config.data.source
    on_hub = base.origin != "folder"
    relation = {"adapter": "adapter", "gguf": None}.get(kind, "finetune")
    return ModelCardData(
        base_model=base.id if on_hub else None,
        base_model_relation=relation if on_hub else None,
        datasets=[source.name] if source.kind == "hub" else None,
        language=list(languages_of(context)) or None,
        library_name=_LIBRARY[kind],
        pipeline_tag="text-generation",
        tags=["restyle-studio", "lora", context.config.train.method],
        **licence_head(context),
    ).to_yaml()


def _data_facts(context: ExportContext, notes: list[Message]) -> list[str]:
    """Return what is known of the training data, as Markdown."""
    words, source = partial(_words, context.language), context.config.data.source
    name = PureWindowsPath(source.name).name if source.kind == "file" else source.name
    parts = [part for part in (name, source.subset, source.split) if part]
    facts = [words(f"source.{source.kind}", name=" · ".join(map(escape_inline, parts)))]
    if source.kind == "hub":
        facts.append(words("revision", revision=escape_inline(source.revision or "main")))
    facts.append(words("hash", sha256=context.run.resolved().get("data", "–")))
    facts += _material_facts(context)
    if names := languages_of(context):
        facts.append(words("language", languages=", ".join(names)))
    health = {note.text(): note for note in notes if note.key == "log.rows" or note.key.startswith("problems.")}
    facts += [escape_inline(note.text(context.language)) for note in health.values()]
    if not any(note.key.startswith("problems.") for note in health.values()):
        facts.append(words("healthy"))
    return facts


def _material_facts(context: ExportContext) -> list[str]:
    """Return how many rows came of which material and recipe; empty for rows that were not made of any."""
    origin = context.run.resolved().get("material")
    if not isinstance(origin, dict):
        return []
    words, language = partial(_words, context.language), context.language
    facts = []
    for name in ("recipes", "formats", "writers"):
        by_kind = origin.get(name) or {}
        titles = {kind: kind if name == "formats" else text(f"material.{name}.{kind}", language) for kind in by_kind}
        if kinds := ", ".join(f"{titles[kind]} ({count:,})" for kind, count in by_kind.items()):
            facts.append(words(f"made_of.{name}", kinds=escape_inline(kinds)))
    counts = {name: f"{origin.get(name, 0):,}" for name in ("edited", "dropped", "filtered")}
    return [*facts, words("made_of.looked", **counts)]


def _setting(context: ExportContext, path: str, value: Any) -> str:
    """Return a setting as text, without paths of this machine; empty for one that is not shown."""
    data = context.config.data
    source = {"data.source.name": data.source, "data.validation.name": data.validation}.get(path)
    if path == "name" or value is None or value in ((), {}):
        return ""
    if path == "model.adapter":
        return PureWindowsPath(value).name
    if path == "model.id" and value != BUILTIN_MODEL:
        return context.base.id
    if source and source.kind == "file":
        return PureWindowsPath(value).name
    return " · ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def licence_head(context: ExportContext) -> dict[str, Any]:
    """Return the license fields of the base's model card, with an absolute link."""
    head = dict(context.base.licence)
    link = str(head.get("license_link", ""))
    if link and "://" not in link:
        if context.base.origin == "hub":
            head["license_link"] = f"{hub_models.page(context.base.id)}/blob/{context.base.revision or 'main'}/{link}"
        else:
            head.pop("license_link")
    return head


def curve_png(curve: Curve, language: str = DEFAULT_LANGUAGE) -> bytes | None:
    """Return the loss curves as a PNG; None for a curve without a point. Losses are in nats per trained token."""
    losses, checks = _finite(curve.steps, curve.losses), _finite(curve.evaluated_steps, curve.validation_losses)
    if not losses:
        return None
    names, faces = _axes(language)
    canvas = Canvas(*_SIZE, faces)
    values = [value for _, value in (*losses, *checks)]
    rough = ((max(values) - min(values)) or abs(values[0]) or 1.0) / (_MAX_GRID_LINES - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    high = high if high > low else low + step
    first, last = losses[0][0], max(losses[-1][0], losses[0][0] + 1)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - first) / (last - first)
        up = (point[1] - low) / (high - low)
        return _LEFT + across * (_SIZE[0] - _LEFT - _RIGHT), _SIZE[1] - _BOTTOM - up * (_SIZE[1] - _TOP - _BOTTOM)

    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        _, y = place((first, value))
        canvas.line([(_LEFT, y), (_SIZE[0] - _RIGHT, y)], LINE, 1)
        words = f"{value:.{max(0, -math.floor(math.log10(step)))}f}"
        canvas.text(_LEFT - 12 - canvas.measure(words, 18), y - 14, words, 18, MUTED)
    words = f"{names[2]} {losses[-1][0]:.0f}"
    canvas.text(_LEFT, _SIZE[1] - _BOTTOM + 10, f"{first:.0f}", 18, MUTED)
    canvas.text(_SIZE[0] - _RIGHT - canvas.measure(words, 18), _SIZE[1] - _BOTTOM + 10, words, 18, MUTED)
    canvas.line([place(point) for point in _downsample(losses)], ACCENT, 3)
    right = canvas.text(_LEFT, 16, names[0], 20, ACCENT, bold=True)
    if checks:
        canvas.line([place(point) for point in checks], WARN, 2)
        for point in checks:
            canvas.dot(*place(point), 5, WARN)
        canvas.text(right + 32, 16, f"● {names[1]}" if canvas.has("●") else names[1], 20, WARN, bold=True)
    return canvas.to_png()


def _axes(language: str) -> tuple[list[str], Faces]:
    """Return the labels and fonts for them; English labels where no installed font has Hangul."""
    names = [text(f"export.card.axes.{name}", language) for name in ("training", "validation", "step")]
    try:
        return names, fonts.find(any(map(is_hangul, "".join(names))))
    except CompareError:
        return _axes(DEFAULT_LANGUAGE)


def _finite(steps: Any, values: Any) -> list[tuple[float, float]]:
    pairs = ((float(step), float(value)) for step, value in zip(steps, values, strict=True))
    return [pair for pair in pairs if math.isfinite(pair[1])]


def _downsample(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `_MAX_POINTS` points: the first, the last, and the extremes of each interval."""
    if len(points) <= _MAX_POINTS:
        return points
    width = -(-2 * len(points) // _MAX_POINTS)
    extremes = {points[0], points[-1]}
    for start in range(0, len(points), width):
        stretch = sorted(points[start : start + width], key=lambda point: point[1])
        extremes |= {stretch[0], stretch[-1]}
    return sorted(extremes)
