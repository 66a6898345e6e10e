"""The model card of an export, with its loss curve and before/after page.

Unknown metadata is left out of the YAML head, and the text says so.
"""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from studio.compare.columns import ADAPTED
from studio.config import BUILTIN_MODEL, values
from studio.data.language import languages
from studio.data.tokens import IGNORED
from studio.events import Chosen, Note
from studio.export import curve_png, example
from studio.export.export_context import ExportContext
from studio.export.sample_answers import SampleAnswers
from studio.files import replace_file
from studio.i18n import text
from studio.model import builtin, hub_models
from studio.reports import card_html, comparison_card
from studio.reports.comparison_card import escape_inline
from studio.train import diagnosis, recorded_rows

NAME, CURVE, PAGE = "README.md", "loss.png", "before-after.html"
_LANGUAGE_ROWS = 400
"""Training rows whose answers are used for language detection."""
_LIBRARY = {"adapter": "peft", "merged": "transformers", "ollama": "transformers", "gguf": "gguf"}


def write(draft: Path, context: ExportContext, kind: str) -> None:
    """Write the model card and its attachments into the folder of an export."""
    samples = SampleAnswers(context)
    picture = curve_png.to_png(samples.curve, context.language)
    if picture:
        replace_file(draft / CURVE, picture)
    if samples.card:
        replace_file(draft / PAGE, card_html.to_html(samples.card))
    replace_file(draft / NAME, _Card(context, kind, samples, picture is not None).text())


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


class _Card:
    def __init__(self, context: ExportContext, kind: str, samples: SampleAnswers, has_picture: bool):
        self._context, self._kind, self._samples, self._has_picture = context, kind, samples, has_picture
        self._events = context.run.events()[0]

    def text(self) -> str:
        """Return the card as Markdown with a YAML head."""
        parts = [
            f"---\n{self._head()}\n---",
            f"# {escape_inline(self._context.name)}",
            *self._intro(),
            *self._sample_answers(),
            *self._use(),
            *self._data(),
            *self._curve(),
            *self._board(),
            *self._settings(),
            *self._licence(),
            f"*{self._text('made', run=self._context.run.id)}*",
        ]
        return "\n\n".join(parts) + "\n"

    def _text(self, name: str, /, **values: Any) -> str:
        return text(f"export.card.{name}", self._context.language, **values)

    def _head(self) -> str:
        from huggingface_hub import ModelCardData

        base, source = self._context.base, self._context.config.data.source
        on_hub = base.origin != "folder"
        relation = {"adapter": "adapter", "gguf": None}.get(self._kind, "finetune")
        head = ModelCardData(
            base_model=base.id if on_hub else None,
            base_model_relation=relation if on_hub else None,
            datasets=[source.name] if source.kind == "hub" else None,
            language=list(languages_of(self._context)) or None,
            library_name=_LIBRARY[self._kind],
            pipeline_tag="text-generation",
            tags=["restyle-studio", "lora", "sft"],
            **licence_head(self._context),
        )
        return head.to_yaml()

    def _intro(self) -> Iterator[str]:
        context, base = self._context, self._context.base
        kind = "adapter" if self._kind == "adapter" else "merged"
        yield self._text(kind, base=escape_inline(base.id), rank=context.config.lora.r)
        values = {"base": escape_inline(base.id), "revision": base.revision or "–", "weights": base.weights}
        yield self._text(f"base.{base.origin}", package=builtin.PACKAGE, **values)

    def _sample_answers(self) -> Iterator[str]:
        card = self._samples.card
        if card is None:
            return
        yield f"## {self._text('samples')}"
        steps = len(self._samples.curve.steps) and int(self._samples.curve.steps[-1])
        yield self._text(f"samples_from.{self._samples.source}", step=self._samples.curve.best_step or steps, page=PAGE)
        for pair in card.pairs:
            yield f"**{card.words('prompt')}**\n\n{comparison_card.fenced_block(pair.prompt)}"
            for side in ("before", "after"):
                answer = getattr(pair, side).strip()
                quoted = comparison_card.fenced_block(answer) if answer else f"*{card.words('empty')}*"
                yield f"**{card.words(side)}** · {escape_inline(getattr(card, _SIDES[side]))}\n\n{quoted}"

    def _use(self) -> Iterator[str]:
        yield f"## {self._text('use')}"
        if self._kind in ("gguf", "ollama"):
            yield self._text("use_ollama")
        else:
            yield self._text(f"use_{self._kind}")
            yield example.usage(self._context, self._kind)
        if self._context.prompt.system is not None:
            yield f"{self._text('system')}\n\n{comparison_card.fenced_block(self._context.prompt.system)}"

    def _data(self) -> Iterator[str]:
        source, run = self._context.config.data.source, self._context.run
        yield f"## {self._text('data')}"
        name = escape_inline(_without_folders(source.name) if source.kind == "file" else source.name)
        parts = [part for part in (source.subset, source.split) if part]
        facts = [self._text(f"source.{source.kind}", name=" · ".join([name, *map(escape_inline, parts)]))]
        if source.kind == "hub":
            facts.append(self._text("revision", revision=escape_inline(source.revision or "main")))
        facts.append(self._text("hash", sha256=run.resolved().get("data", "–")))
        if names := languages_of(self._context):
            facts.append(self._text("language", languages=", ".join(names)))
        notes = [event.message for event in self._events if isinstance(event, Note)]
        health = {note.text(): note for note in notes if note.key == "log.rows" or note.key.startswith("problems.")}
        facts += [escape_inline(note.text(self._context.language)) for note in health.values()]
        if not any(note.key.startswith("problems.") for note in health.values()):
            facts.append(self._text("healthy"))
        yield _list(facts)

    def _curve(self) -> Iterator[str]:
        curve = self._samples.curve
        losses, checks = comparison_card.finite(curve.losses), comparison_card.finite(curve.validation_losses)
        if not losses:
            return
        yield f"## {self._text('curve')}"
        words = self._text("loss", first=f"{losses[0]:.2f}", last=f"{losses[-1]:.2f}", step=int(curve.steps[-1]))
        if checks:
            words = f"{words} {self._text('validation', loss=f'{min(checks):.2f}')}"
        if self._has_picture:
            yield f"![{words}]({CURVE})"
        yield words
        lines = diagnosis.diagnose_run(self._context.run).text(self._context.language)
        yield _list(map(escape_inline, lines))

    def _board(self) -> Iterator[str]:
        run, language = self._context.run, self._context.language
        from studio.evaluate import evaluation_store

        board = evaluation_store.find_scoreboard(run, ADAPTED, self._samples.adapter_sha256)
        if board is not None:
            yield f"## {text('card.scoreboard', language)}"
            yield comparison_card.table(board, language)

    def _settings(self) -> Iterator[str]:
        context, language = self._context, self._context.language
        yield f"## {self._text('settings')}"
        rows = [(path, self._value(path, value)) for path, value in values(context.config).items() if path != "name"]
        lines = [
            f"| {escape_inline(text(f'config.{path}.title', language))} | `{path}` | {_code(value)} |"
            for path, value in rows
            if value
        ]
        heads = " | ".join(self._text(f"head.{name}") for name in ("setting", "path", "value"))
        yield _folded(self._text("all_settings"), [f"| {heads} |", "| :-- | :-- | :-- |", *lines])
        chosen = {event.name: event for event in self._events if isinstance(event, Chosen)}
        if chosen:
            reasons = [
                f"- `{name}`: {_code(one.value)}. {escape_inline(one.reason.text(language))}"
                for name, one in chosen.items()
            ]
            yield _folded(self._text("chosen"), reasons)
        if versions := context.run.resolved().get("versions", {}):
            listed = ", ".join(f"{name} {escape_inline(version)}" for name, version in versions.items())
            yield self._text("versions", versions=listed)

    def _value(self, path: str, value: Any) -> str:
        """Return a setting as text, without paths of this machine."""
        config = self._context.config
        if value is None or value == () or value == {}:
            return ""
        if path == "model.id" and value != BUILTIN_MODEL:
            return self._context.base.id
        is_file = {"data.source.name": config.data.source, "data.validation.name": config.data.validation}.get(path)
        if is_file and is_file.kind == "file":
            return _without_folders(value)
        if isinstance(value, (list, tuple)):
            return " · ".join(map(str, value))
        return str(value)

    def _licence(self) -> Iterator[str]:
        yield f"## {self._text('licence')}"
        name = hub_models.licence_of(self._context.base.licence)
        yield self._text("licence_known", licence=escape_inline(name)) if name else self._text("licence_unknown")


_SIDES = {"before": "base", "after": "adapter"}


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


def _without_folders(path: str) -> str:
    return PureWindowsPath(path).name


def _code(value: str) -> str:
    """Return a value as inline code on one line."""
    flat = " ".join(comparison_card.remove_control_characters(value).split())
    return escape_inline(flat) if "`" in flat or "|" in flat else f"`{flat}`"


def _list(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _folded(title: str, lines: list[str]) -> str:
    body = "\n".join(lines)
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
