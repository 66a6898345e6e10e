"""What an export knows of a run: its adapter, the base that it was made for, and how it is asked."""

import json
import string
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from studio.compare.proof import run_renderer
from studio.config import BUILTIN_MODEL, GenerationConfig, RunConfig
from studio.data import tokens
from studio.data.formats import Turn
from studio.data.prompt import ChatRenderer, PromptRenderer, TextRenderer
from studio.errors import ExportError, ModelError
from studio.events import Chosen
from studio.i18n import DEFAULT_LANGUAGE
from studio.model import builtin, catalogue, fit, load, saved
from studio.runs import Run, metadata


@dataclass(frozen=True)
class Base:
    """The model that the adapter was made for."""

    id: str
    """Its id on the Hub, or the name of its folder: no path of this machine goes into an export."""
    revision: str | None
    """The commit on the Hub, where that is known."""
    weights: str
    """SHA-256 of its weights."""
    origin: Literal["hub", "package", "folder"]
    """`package`: the weights come from the Python package index and are not the Hub's."""
    path: Path
    """Where it lies on this machine."""
    licence: dict[str, Any] = field(default_factory=dict)
    """What its card says of its licence, under the names of the card's head; empty where it is not known."""

    @property
    def settings(self) -> dict[str, Any]:
        """What its `config.json` says."""
        return json.loads((self.path / "config.json").read_text(encoding="utf-8"))

    @property
    def record(self) -> dict[str, str | None]:
        """What an export says of it."""
        revision = builtin.PACKAGE if self.origin == "package" else self.revision
        return {"id": self.id, "revision": revision, "weights": self.weights}


@dataclass(frozen=True)
class Prompt:
    """How the run asks: with the tokenizer's chat template, with a text template, or with the bare beginning."""

    kind: Literal["chat", "text", "plain"]
    system: str | None = None
    """What a chat begins with, unless it has a system turn of its own."""
    columns: tuple[str, ...] = ()
    """What is asked for, in order: one of the fields of `before` each."""
    before: str = ""
    """Text up to the answer, in Python's format with the numbers of the columns as fields."""
    space: str = ""
    """White space that the answer begins with."""
    after: str = ""
    """Text behind the answer, its end included."""

    def chat_template(self) -> str | None:
        """Return the Jinja template that asks as the run did; None for more columns than a question.

        With it, every program that knows chats asks a text template rightly.
        """
        if len(self.columns) != 1:
            return None
        asked = "".join(
            _as_jinja(literal) + ("{{ message['content'] }}" if field is not None else "")
            for literal, field, _, _ in string.Formatter().parse(self.before)
        )
        answer = f"{_as_jinja(self.space)}{{{{ message['content'] }}}}{_as_jinja(self.after)}"
        return (
            f"{{% for message in messages %}}{{% if message['role'] == 'user' %}}{asked}"
            f"{{% elif message['role'] == 'assistant' %}}{answer}{{% endif %}}{{% endfor %}}"
        )


def _as_jinja(literal: str) -> str:
    return f"{{{{ {json.dumps(literal, ensure_ascii=False)} }}}}" if literal else ""


@dataclass(frozen=True)
class Subject:
    """A run as something to export."""

    run: Run
    config: RunConfig
    base: Base
    tokenizer: Any
    """The one that lies beside the adapter."""
    prompt: Prompt
    stops: tuple[int, ...]
    """Tokens that end an answer."""
    language: str = DEFAULT_LANGUAGE
    """The language of what is written for people."""

    @property
    def name(self) -> str:
        """What people call the result."""
        return metadata.name_of(self.run)

    @property
    def generation(self) -> GenerationConfig:
        """How answers are made by default."""
        return self.config.generation

    @cached_property
    def chosen(self) -> dict[str, str]:
        """What the studio chose for the run, by name: precision, quantization, attention, and so on."""
        return {event.name: event.value for event in self.run.events()[0] if isinstance(event, Chosen)}

    @property
    def precision(self) -> str:
        """The number format that the run computed in."""
        return self.chosen["precision"]

    @property
    def quantization(self) -> str:
        """How the base was quantized: `none`, `nf4`, `fp4` or `int8`."""
        return self.chosen["quantization"]

    @property
    def attention(self) -> str:
        """The implementation of attention that the run computed with."""
        return self.chosen["attention"]

    @property
    def record(self) -> dict[str, Any]:
        """What `restyle.json` says of an export, besides what it is."""
        return {"base": self.base.record, "run": self.run.id, "data": self.run.resolved().get("data")}


def of(run: Run, language: str = DEFAULT_LANGUAGE) -> Subject:
    """Return what is to be known of a run; raises ExportError without a result, StudioError without its base."""
    from transformers import AutoTokenizer

    if not run.has_adapter:
        raise ExportError("export.no_adapter", run=run.id)
    config = run.config()
    located = load.locate(config.model)
    if located is None:
        raise ModelError("model.not_here", id=config.model.id)
    fit.judge(saved.read(run.adapter), located)
    tokenizer = AutoTokenizer.from_pretrained(run.adapter, trust_remote_code=False, local_files_only=True)
    stops = tokens.stop_ids(tokenizer, _generation_config(located.path))
    prompt = _prompt(run_renderer(run, tokenizer), config)
    return Subject(run, config, _base(config, located), tokenizer, prompt, tuple(sorted(stops)), language)


def _generation_config(folder: Path) -> Any:
    from transformers import GenerationConfig as Defaults

    return Defaults.from_pretrained(folder) if (folder / "generation_config.json").is_file() else None


def _base(config: RunConfig, located: load.Located) -> Base:
    weights = str(located.identity["weights"])
    if config.model.id == BUILTIN_MODEL:
        packaged = located.revision == builtin.PACKAGE
        return Base(
            builtin.HUB_ID, None, weights, "package" if packaged else "hub", located.path, {"license": builtin.LICENCE}
        )
    licence = catalogue.licence_head(located.path)
    if Path(config.model.id).expanduser().is_dir():
        return Base(located.path.resolve().name, None, weights, "folder", located.path, licence)
    return Base(located.id, located.revision, weights, "hub", located.path, licence)


_HELD = "\x02{}\x03"
"""Stands for a value while a template is taken apart: no template holds such characters."""


def _prompt(made: PromptRenderer, config: RunConfig) -> Prompt:
    if isinstance(made, ChatRenderer):
        return Prompt("chat", config.data.prompt.system)
    held = _HELD.format("answer")
    if isinstance(made, TextRenderer):
        columns = tuple(dict.fromkeys(made.columns))
        row = {name: _HELD.format(number) for number, name in enumerate(columns)}
        begin, end = made.example((), row | {made.answer: held}).text.split(held)
        before = begin.rstrip()
        return Prompt("text", None, columns, _as_format(before, len(columns)), begin[len(before) :], end)
    before, after = made.example([Turn("user", held)], {}).text.split(held)
    return Prompt("plain", None, ("text",), _as_format(before, 0) + "{0}", "", after)


def _as_format(text: str, fields: int) -> str:
    escaped = text.replace("{", "{{").replace("}", "}}")
    for number in range(fields):
        escaped = escaped.replace(_HELD.format(number), f"{{{number}}}")
    return escaped
