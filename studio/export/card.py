"""The model card of an export, with its loss curve and its before/after page beside it: all read from the run.

The head is what the Hub reads: base, licence, language, data set. What is not known is left out, and said in the text.
"""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from studio.compare import report, report_html
from studio.compare.report import inline
from studio.config import BUILTIN_MODEL, values
from studio.data.language import languages
from studio.data.tokens import IGNORED
from studio.events import Chosen, Note
from studio.export import curve_png, example
from studio.export.shown import Shown
from studio.export.subject import Subject
from studio.files import replace_file
from studio.i18n import text
from studio.model import builtin, hub
from studio.train import recorded_rows

NAME, CURVE, PAGE = "README.md", "loss.png", "before-after.html"
_ROWS = 400
"""Rows of the training by whose answers the language is told."""
_LIBRARY = {"adapter": "peft", "merged": "transformers", "ollama": "transformers", "gguf": "gguf"}


def write(draft: Path, subject: Subject, kind: str) -> None:
    """Write the card of an export of a kind with a model, and what it shows, into its folder."""
    shown = Shown(subject)
    picture = curve_png.to_png(shown.curve, subject.language)
    if picture:
        replace_file(draft / CURVE, picture)
    if shown.card:
        replace_file(draft / PAGE, report_html.to_html(shown.card))
    replace_file(draft / NAME, _Card(subject, kind, shown, picture is not None).text())


def languages_of(subject: Subject) -> tuple[str, ...]:
    """Return the languages that the answers of the training rows are in; empty where that cannot be told."""
    from pyarrow import parquet

    path = recorded_rows.folder_of(subject.run.path) / "train.parquet"
    if not path.is_file():
        return ()
    rows = next(parquet.ParquetFile(path).iter_batches(_ROWS), None)
    trained = (
        [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]
        for row in (rows.to_pylist() if rows else ())
    )
    return languages(subject.tokenizer.decode(ids, skip_special_tokens=True) for ids in trained)


class _Card:
    def __init__(self, subject: Subject, kind: str, shown: Shown, has_picture: bool):
        self._subject, self._kind, self._shown, self._has_picture = subject, kind, shown, has_picture
        self._events = subject.run.events()[0]

    def text(self) -> str:
        """Return the card as Markdown, with its head."""
        parts = [
            f"---\n{self._head()}\n---",
            f"# {inline(self._subject.name)}",
            *self._intro(),
            *self._samples(),
            *self._use(),
            *self._data(),
            *self._curve(),
            *self._board(),
            *self._settings(),
            *self._licence(),
            f"*{self._say('made', run=self._subject.run.id)}*",
        ]
        return "\n\n".join(parts) + "\n"

    def _say(self, name: str, /, **given: Any) -> str:
        return text(f"export.card.{name}", self._subject.language, **given)

    def _head(self) -> str:
        from huggingface_hub import ModelCardData

        base, source = self._subject.base, self._subject.config.data.source
        on_hub = base.origin != "folder"
        relation = {"adapter": "adapter", "gguf": None}.get(self._kind, "finetune")
        head = ModelCardData(
            base_model=base.id if on_hub else None,
            base_model_relation=relation if on_hub else None,
            datasets=[source.name] if source.kind == "hub" else None,
            language=list(languages_of(self._subject)) or None,
            library_name=_LIBRARY[self._kind],
            pipeline_tag="text-generation",
            tags=["restyle-studio", "lora", "sft"],
            **licence_head(self._subject),
        )
        return head.to_yaml()

    def _intro(self) -> Iterator[str]:
        subject, base = self._subject, self._subject.base
        told = "adapter" if self._kind == "adapter" else "merged"
        yield self._say(told, base=inline(base.id), rank=subject.config.lora.r)
        named = {"base": inline(base.id), "revision": base.revision or "–", "weights": base.weights}
        yield self._say(f"base.{base.origin}", package=builtin.PACKAGE, **named)

    def _samples(self) -> Iterator[str]:
        made = self._shown.card
        if made is None:
            return
        yield f"## {self._say('samples')}"
        steps = len(self._shown.curve.steps) and int(self._shown.curve.steps[-1])
        yield self._say(f"samples_from.{self._shown.where}", step=self._shown.curve.best_step or steps, page=PAGE)
        for pair in made.pairs:
            yield f"**{made.words('prompt')}**\n\n{report.fenced(pair.prompt)}"
            for side in ("before", "after"):
                answer = getattr(pair, side).strip()
                said = report.fenced(answer) if answer else f"*{made.words('empty')}*"
                yield f"**{made.words(side)}** · {inline(getattr(made, _SIDES[side]))}\n\n{said}"

    def _use(self) -> Iterator[str]:
        yield f"## {self._say('use')}"
        if self._kind in ("gguf", "ollama"):
            yield self._say("use_ollama")
        else:
            yield self._say(f"use_{self._kind}")
            yield example.usage(self._subject, self._kind)
        if self._subject.prompt.system is not None:
            yield f"{self._say('system')}\n\n{report.fenced(self._subject.prompt.system)}"

    def _data(self) -> Iterator[str]:
        source, run = self._subject.config.data.source, self._subject.run
        yield f"## {self._say('data')}"
        name = inline(_without_folders(source.name) if source.kind == "file" else source.name)
        parts = [part for part in (source.subset, source.split) if part]
        facts = [self._say(f"source.{source.kind}", name=" · ".join([name, *map(inline, parts)]))]
        if source.kind == "hub":
            facts.append(self._say("revision", revision=inline(source.revision or "main")))
        facts.append(self._say("hash", sha256=run.resolved().get("data", "–")))
        if found := languages_of(self._subject):
            facts.append(self._say("language", languages=", ".join(found)))
        notes = [event.message for event in self._events if isinstance(event, Note)]
        health = {note.text(): note for note in notes if note.key == "log.rows" or note.key.startswith("problems.")}
        facts += [inline(note.text(self._subject.language)) for note in health.values()]
        if not any(note.key.startswith("problems.") for note in health.values()):
            facts.append(self._say("healthy"))
        yield _list(facts)

    def _curve(self) -> Iterator[str]:
        curve = self._shown.curve
        losses, checks = report.finite(curve.losses), report.finite(curve.validation_losses)
        if not losses:
            return
        yield f"## {self._say('curve')}"
        words = self._say("loss", first=f"{losses[0]:.2f}", last=f"{losses[-1]:.2f}", step=int(curve.steps[-1]))
        if checks:
            words = f"{words} {self._say('validation', loss=f'{min(checks):.2f}')}"
        if self._has_picture:
            yield f"![{words}]({CURVE})"
        yield words
        from studio.train import diagnosis

        yield _list(inline(line) for line in diagnosis.diagnose_run(self._subject.run).text(self._subject.language))

    def _board(self) -> Iterator[str]:
        from studio.compare import standing
        from studio.compare.columns import ADAPTED

        run, language = self._subject.run, self._subject.language
        board = standing.board_of(run, ADAPTED, self._shown.adapter_sha256)
        if board is not None:
            yield f"## {text('card.scoreboard', language)}"
            yield report.table(board, language)

    def _settings(self) -> Iterator[str]:
        subject, language = self._subject, self._subject.language
        yield f"## {self._say('settings')}"
        rows = [(path, self._value(path, value)) for path, value in values(subject.config).items() if path != "name"]
        lines = [
            f"| {inline(text(f'config.{path}.title', language))} | `{path}` | {_code(shown)} |"
            for path, shown in rows
            if shown
        ]
        heads = " | ".join(self._say(f"head.{name}") for name in ("setting", "path", "value"))
        yield _folded(self._say("all_settings"), [f"| {heads} |", "| :-- | :-- | :-- |", *lines])
        chosen = {event.name: event for event in self._events if isinstance(event, Chosen)}
        if chosen:
            told = [
                f"- `{name}`: {_code(one.value)}. {inline(one.reason.text(language))}" for name, one in chosen.items()
            ]
            yield _folded(self._say("chosen"), told)
        had = subject.run.resolved().get("versions", {})
        if had:
            yield self._say("versions", versions=", ".join(f"{name} {inline(said)}" for name, said in had.items()))

    def _value(self, path: str, value: Any) -> str:
        """Return a setting for the card, without folders of this machine."""
        config = self._subject.config
        if value is None or value == () or value == {}:
            return ""
        if path == "model.id" and value != BUILTIN_MODEL:
            return self._subject.base.id
        is_file = {"data.source.name": config.data.source, "data.validation.name": config.data.validation}.get(path)
        if is_file and is_file.kind == "file":
            return _without_folders(value)
        if isinstance(value, (list, tuple)):
            return " · ".join(map(str, value))
        return str(value)

    def _licence(self) -> Iterator[str]:
        yield f"## {self._say('licence')}"
        known = hub.licence_of(self._subject.base.licence)
        yield self._say("licence_known", licence=inline(known)) if known else self._say("licence_unknown")


_SIDES = {"before": "base", "after": "adapter"}


def licence_head(subject: Subject) -> dict[str, Any]:
    """Return what a card's head says of the licence: what the base's own says, and nothing where that is not known."""
    head = dict(subject.base.licence)
    link = str(head.get("license_link", ""))
    if link and "://" not in link:
        if subject.base.origin == "hub":
            head["license_link"] = f"{hub.page(subject.base.id)}/blob/{subject.base.revision or 'main'}/{link}"
        else:
            head.pop("license_link")
    return head


def _without_folders(path: str) -> str:
    return PureWindowsPath(path).name


def _code(value: str) -> str:
    """Return a value as code in one line, in a table too."""
    flat = " ".join(report.clean(value).split())
    return inline(flat) if "`" in flat or "|" in flat else f"`{flat}`"


def _list(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _folded(title: str, lines: list[str]) -> str:
    body = "\n".join(lines)
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
