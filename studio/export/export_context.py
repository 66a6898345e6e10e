"""What an export reads from a run: its adapter, its base model and its prompt format."""

import json
import string
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from studio.compare.columns import ADAPTED, Column
from studio.config import BUILTIN_MODEL, RunConfig
from studio.data import tokens
from studio.data.conversation import Turn
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer, PromptRenderer, TextRenderer
from studio.errors import ExportError
from studio.events import Chosen
from studio.i18n import DEFAULT_LANGUAGE
from studio.model import adapter_files, builtin, catalogue, compatibility, load
from studio.runs import Run, metadata


@dataclass(frozen=True)
class BaseInfo:
    """The base model of an adapter."""

    id: str
    """Its id on the Hub, or the name of its folder: an export holds no path of this machine."""
    revision: str | None
    weights: str
    origin: Literal["hub", "package", "folder"]
    """`package`: the weights are those of the Python package, not those on the Hub."""
    path: Path
    licence: dict[str, Any] = field(default_factory=dict)
    """The license fields of its model card; empty if unknown."""

    @property
    def settings(self) -> dict[str, Any]:
        """Its `config.json`."""
        return json.loads((self.path / "config.json").read_text(encoding="utf-8"))

    @property
    def metadata(self) -> dict[str, str | None]:
        """Its entry in `restyle.json`."""
        revision = builtin.PACKAGE if self.origin == "package" else self.revision
        return {"id": self.id, "revision": revision, "weights": self.weights}


@dataclass(frozen=True)
class PromptFormat:
    """How the run renders a prompt: by the tokenizer's chat template, by a text template, or as plain text."""

    kind: Literal["chat", "text", "plain"]
    system: str | None = None
    """The system message of a chat that has none of its own."""
    columns: tuple[str, ...] = ()
    """The prompt columns, in the order of the fields of `before`."""
    before: str = ""
    """Text up to the answer: a format string with the numbers of the columns as fields."""
    space: str = ""
    """White space that the answer begins with."""
    after: str = ""
    """Text after the answer, with its end token."""

    def chat_template(self) -> str | None:
        """Return a Jinja chat template that renders a prompt as the run does; None for more than one column."""
        if len(self.columns) != 1:
            return None
        prompt = "".join(
            _as_jinja(literal) + ("{{ message['content'] }}" if name is not None else "")
            for literal, name, _, _ in string.Formatter().parse(self.before)
        )
        answer = f"{_as_jinja(self.space)}{{{{ message['content'] }}}}{_as_jinja(self.after)}"
        return (
            f"{{% for message in messages %}}{{% if message['role'] == 'user' %}}{prompt}"
            f"{{% elif message['role'] == 'assistant' %}}{answer}{{% endif %}}{{% endfor %}}"
        )


def _as_jinja(literal: str) -> str:
    return f"{{{{ {json.dumps(literal, ensure_ascii=False)} }}}}" if literal else ""


@dataclass(frozen=True)
class ExportContext:
    """A run to export."""

    run: Run
    config: RunConfig
    base: BaseInfo
    tokenizer: Any
    """The tokenizer saved with the adapter."""
    prompt: PromptFormat
    stop_ids: tuple[int, ...]
    language: str = DEFAULT_LANGUAGE
    comparisons: tuple[str, ...] | None = None
    """Ids of the saved comparisons in the model card; None takes those of pinned and held-out prompts."""
    strength: float = 1.0
    """Factor of the adapter's scaling in the export."""

    @property
    def column(self) -> Column:
        """The column of a comparison that answers as the export does."""
        return replace(ADAPTED, strength=self.strength)

    @property
    def name(self) -> str:
        """The display name of the run."""
        return metadata.name_of(self.run)

    @property
    def sampling(self) -> dict[str, float]:
        """The settings of sampling, for transformers; empty for greedy decoding."""
        settings = self.config.generation
        sampled = {"temperature": settings.temperature, "top_k": settings.top_k, "top_p": settings.top_p}
        return sampled if settings.temperature else {}

    @cached_property
    def choices(self) -> dict[str, str]:
        """The run's automatic choices by name: precision, quantization, attention, and so on."""
        return {event.name: event.value for event in self.run.events()[0] if isinstance(event, Chosen)}

    @property
    def precision(self) -> str:
        """The dtype that the run computed in."""
        return self.choices["precision"]

    @property
    def quantization(self) -> str:
        """How the base was quantized: `none`, `nf4`, `fp4` or `int8`."""
        return self.choices["quantization"]

    @property
    def metadata(self) -> dict[str, Any]:
        """The common part of an export's `restyle.json`."""
        data = self.run.resolved().get("data")
        return {"base": self.base.metadata, "run": self.run.id, "data": data, "strength": self.strength}


def load_context(
    run: Run,
    language: str = DEFAULT_LANGUAGE,
    comparisons: tuple[str, ...] | None = None,
    strength: float = 1.0,
) -> ExportContext:
    """Load the context of a run; raises ExportError without an adapter, StudioError without its base."""
    from transformers import AutoTokenizer
    from transformers import GenerationConfig as ModelGenerationConfig

    located, config = locate_base(run), run.config()
    compatibility.check(adapter_files.read(run.adapter), located)
    tokenizer = AutoTokenizer.from_pretrained(run.adapter, trust_remote_code=False, local_files_only=True)
    has_defaults = (located.path / "generation_config.json").is_file()
    defaults = ModelGenerationConfig.from_pretrained(located.path) if has_defaults else None
    stop_ids = tuple(sorted(tokens.stop_ids(tokenizer, defaults)))
    prompt = _prompt_format(run_renderer(run, tokenizer), config)
    base = _base_info(config, located)
    return ExportContext(run, config, base, tokenizer, prompt, stop_ids, language, comparisons, strength)


def locate_base(run: Run) -> load.Located:
    """Return the base of a run on this machine; raises ExportError without an adapter, ModelError without a base."""
    if not run.has_adapter:
        raise ExportError("export.no_adapter", run=run.id)
    return load.require(run.config().model)


def _base_info(config: RunConfig, located: load.Located) -> BaseInfo:
    weights, path = str(located.identity["weights"]), located.path
    if config.model.id == BUILTIN_MODEL:
        origin = "package" if located.revision == builtin.PACKAGE else "hub"
        return BaseInfo(builtin.HUB_ID, None, weights, origin, path, {"license": builtin.LICENCE})
    licence = catalogue.licence_head(path)
    if Path(config.model.id).expanduser().is_dir():
        return BaseInfo(path.resolve().name, None, weights, "folder", path, licence)
    return BaseInfo(located.id, located.revision, weights, "hub", path, licence)


_PLACEHOLDER = "\x02{}\x03"
"""Stands for a value when a template is rendered: no template holds these characters."""


def _prompt_format(renderer: PromptRenderer, config: RunConfig) -> PromptFormat:
    if isinstance(renderer, ChatRenderer):
        return PromptFormat("chat", config.data.prompt.system)
    answer = _PLACEHOLDER.format("answer")
    if isinstance(renderer, TextRenderer):
        columns = tuple(dict.fromkeys(renderer.columns))
        row = {name: _PLACEHOLDER.format(number) for number, name in enumerate(columns)}
        begin, end = renderer.example((), row | {renderer.answer: answer}).text.split(answer)
        before = begin.rstrip()
        return PromptFormat("text", None, columns, _as_format(before, len(columns)), begin[len(before) :], end)
    before, after = renderer.example([Turn("user", answer)], {}).text.split(answer)
    return PromptFormat("plain", None, ("text",), _as_format(before, 0) + "{0}", "", after)


def _as_format(text: str, fields: int) -> str:
    escaped = text.replace("{", "{{").replace("}", "}}")
    for number in range(fields):
        escaped = escaped.replace(_PLACEHOLDER.format(number), f"{{{number}}}")
    return escaped
