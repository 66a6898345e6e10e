"""Make rows from chats and documents, on the Data tab: whose style, how, and what must not be in them."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from studio import gpu
from studio.config import BUILTIN_MODEL
from studio.errors import DataError
from studio.generation.answer_store import Stopped
from studio.i18n import message, text
from studio.material import make, privacy, reading, rewriting
from studio.material.endpoint import ConfirmationRequired, Cost, Endpoint, EndpointWriter
from studio.material.reading import Request, Summary
from studio.material.rewriting import BaseModelWriter, Writer
from studio.ui import launch, material_views, scanning, views
from studio.ui.failures import box_of
from studio.ui.frame import Frame
from studio.ui.page import components
from studio.ui.tabs.material_review import ReviewCard, keep_rows
from studio.ui.words import Words

SILENCES = {"auto": 0, "30m": 1800, "1h": 3600, "3h": 10_800, "12h": 43_200, "1d": 86_400}
"""Lengths of silence that can be chosen, in seconds; 0 infers it."""
PASSAGES = 200
"""Passages that a model is asked about, unless another number is chosen."""
_BASE, _ENDPOINT = "base", "endpoint"
_SLOT = scanning.Slot("material")


class MaterialCard:
    """Makes rows of files that are no rows yet."""

    def __init__(self, words: Words):
        self.language = words.language
        with words.make(gr.Accordion, label="ui.material.title", open=False):
            words.hint("ui.material.about")
            self.files = words.make(
                gr.File, label="ui.material.files", file_count="multiple", height=148, elem_id="material"
            )
            self.speaker = words.make(gr.Dropdown, label="ui.material.speaker", choices=[], visible=False)
            with gr.Column(visible=False) as self.options:
                self.recipes = words.make(
                    gr.Dropdown,
                    label="ui.material.recipe",
                    choices={name: f"material.recipes.{name}" for name in reading.RECIPES},
                    multiselect=True,
                    elem_id="recipes",
                )
                self.every_way = words.make(
                    gr.Radio,
                    label="ui.material.every_way",
                    choices={
                        is_every: f"ui.material.every_ways.{name}"
                        for is_every, name in ((False, "share"), (True, "every"))
                    },
                    value=False,
                    visible=False,
                )
                self._build_asking(words)
                self.silence = words.make(
                    gr.Dropdown,
                    label="ui.material.silence",
                    choices={seconds: f"ui.material.silences.{name}" for name, seconds in SILENCES.items()},
                    value=0,
                )
            self.replaced = words.make(
                gr.CheckboxGroup,
                label="ui.material.replaced",
                choices={kind: f"material.kinds.{kind}" for kind in privacy.KINDS},
                value=list(privacy.KINDS),
                visible=False,
            )
            with gr.Row():
                self.go = words.button("ui.material.go", variant="primary", interactive=False, min_width=140)
                self.cancel = words.button("ui.before.cancel", visible=False, min_width=72)
            self.send = words.button("ui.material.send", variant="primary", visible=False)
            self.report = gr.HTML(elem_id="material-report")
            self.review = ReviewCard(words)
        self.spoken, self.cost = gr.State("en"), gr.State(None)
        self.outputs = components(self)

    def _build_asking(self, words: Words) -> None:
        """Build what the recipes need that ask a model."""
        with gr.Column(visible=False, elem_classes="inner") as self.asking:
            self.instructions = {
                name: words.make(
                    gr.Textbox,
                    label=f"ui.material.instructions.{name}",
                    info="ui.material.instruction_help",
                    lines=4,
                    max_lines=10,
                    max_length=4000,
                    visible=False,
                )
                for name in rewriting.NAMES
            }
            self.limit = words.make(gr.Number, label="ui.material.limit", value=PASSAGES, minimum=1, precision=0)
            self.writer = words.make(
                gr.Radio,
                label="ui.material.writer",
                choices={name: f"ui.material.writers.{name}" for name in (_BASE, _ENDPOINT)},
                value=_BASE,
            )
            self.poor = words.make(gr.HTML, text="ui.material.poor", frame='<p class="hint">⚠ {}</p>', visible=False)
            with gr.Column(visible=False) as self.endpoint:
                self.address = words.make(gr.Textbox, label="ui.material.address", max_lines=1)
                with gr.Row():
                    self.endpoint_model = words.make(gr.Textbox, label="ui.material.endpoint_model", max_lines=1)
                    self.key = words.secret("ui.material.key")

    def _render(self, summary: Summary | None, report: str) -> dict[Any, Any]:
        """Return what shows the files: the speakers to choose from, and what can be chosen about them."""
        speakers = summary.speakers.most_common() if summary else []
        is_chat = bool(speakers)
        return {
            self.speaker: gr.update(
                choices=[(f"{name} ({count:,})", name) for name, count in speakers], value=None, visible=is_chat
            ),
            self.options: gr.update(visible=summary is not None),
            self.recipes: [reading.CHAT if is_chat else "beginning"],
            self.every_way: gr.update(value=False, visible=False),
            self.asking: gr.update(visible=False),
            **dict.fromkeys(self.instructions.values(), ""),
            self.spoken: summary.language if summary else "en",
            self.silence: gr.update(visible=is_chat),
            self.replaced: gr.update(value=list(privacy.KINDS) if is_chat else [], visible=summary is not None),
            self.go: gr.update(interactive=summary is not None and not is_chat),
            self.cancel: gr.update(visible=False),
            self.send: gr.update(visible=False),
            self.cost: None,
            self.report: report,
        }

    def _show_recipes(self, recipes: list[str], writer: str, spoken: str, model: str, *written: str) -> dict[Any, Any]:
        """Return what the recipes need; an instruction is in the language of the material until somebody changes it."""
        instructions = {
            part: gr.update(visible=name in recipes, value=before or rewriting.INSTRUCTIONS[name][spoken])
            for (name, part), before in zip(self.instructions.items(), written, strict=True)
        }
        return {
            self.asking: gr.update(visible=make.asks_model(recipes)),
            self.every_way: gr.update(visible=len(recipes) > 1),
            **instructions,
            **self._show_writer(writer, model),
        }

    def _show_writer(self, writer: str, model: str) -> dict[Any, Any]:
        return {
            self.poor: gr.update(visible=writer == _BASE and model == BUILTIN_MODEL),
            self.endpoint: gr.update(visible=writer == _ENDPOINT),
            self.send: gr.update(visible=False),
            self.cost: None,
        }

    def _follow(self, session: str, work: scanning.Work, phase: str) -> Iterator[dict[Any, Any]]:
        for share in scanning.follow(session, work):
            words = text(phase, self.language)
            yield {self.report: views.bar(share, words), self.cancel: gr.update(visible=True)}

    def connect(self, frame: Frame, show_file: dict[Any, Any], name: Any, read_again: Callable[..., Any]) -> None:
        """Connect the events: `show_file` is what makes the tab read the file that `name` names, by `read_again`."""
        language = self.language

        def read_files(request: gr.Request, files: list[str] | None) -> Iterator[dict[Any, Any]]:
            if not files:
                scanning.cancel(_SLOT.of(request))
                yield self._render(None, "")
                return
            wanted = Request(paths=tuple(map(Path, files)))
            work = scanning.begin(_SLOT.of(request), lambda on_progress: reading.read(wanted, on_progress).summary)
            yield self._render(None, "")
            yield from self._follow(_SLOT.of(request), work, "ui.material.reading")
            if work.error:
                report = "" if work.cancelled else box_of(work.error, language)
                yield self._render(None, report)
                return
            yield self._render(work.result, material_views.overview(work.result, language))

        def choose(speaker: str | None) -> Any:
            return gr.update(interactive=bool(speaker))

        def make_rows(
            request: gr.Request,
            confirmed: Cost | None,
            files: list[str] | None,
            speaker: str | None,
            recipes: list[str],
            every_way: bool,
            silence: float,
            replaced: list[str],
            model: str,
            limit: float | None,
            writer: str,
            *rest: str,
        ) -> Iterator[dict[Any, Any]]:
            if not recipes:
                raise DataError("ui.recipe")
            asks_model = make.asks_model(recipes)
            instructions, endpoint = rest[: len(self.instructions)], rest[len(self.instructions) :]
            wanted = Request(
                paths=tuple(map(Path, files or ())),
                speaker=speaker,
                recipes=tuple(recipes),
                every_way=every_way,
                keep=frozenset(privacy.KINDS) - set(replaced),
                scrub=bool(replaced),
                silence=float(silence) or None,
                model=model,
                instructions=dict(zip(self.instructions, map(str.strip, instructions), strict=True)),
                limit=int(limit) if asks_model and limit else None,
            )
            chosen = _writer(writer, model, endpoint, confirmed) if asks_model else None
            work = scanning.begin(_SLOT.of(request), lambda on_progress: _make(wanted, on_progress, chosen))
            yield {self.go: gr.update(interactive=False), self.send: gr.update(visible=False)}
            phase = "phase.rewriting" if asks_model else "ui.material.reading"
            yield from self._follow(_SLOT.of(request), work, phase)
            again = {self.go: gr.update(interactive=True), self.cancel: gr.update(visible=False), self.cost: None}
            if isinstance(work.error, ConfirmationRequired):
                cost = work.error.cost
                report = material_views.cost(cost, model, language)
                yield {**again, self.cost: cost, self.send: gr.update(visible=True), self.report: report}
                return
            again[self.key] = ""
            if work.cancelled or isinstance(work.error, Stopped):
                stopped = views.paragraph(message("ui.material.stopped"), language) if asks_model else ""
                yield {**again, self.report: stopped}
                return
            if work.error:
                yield {**again, self.report: box_of(work.error, language)}
                return
            path, summary = work.result
            yield {
                **again,
                self.report: material_views.result(summary, language),
                **show_file,
                **self.review.render(path),
                name: str(path),
            }

        gr.on([self.files.upload, self.files.clear, self.files.delete], read_files, self.files, self.outputs)
        self.speaker.input(choose, self.speaker, self.go)
        model = frame.form.parts["model.id"]
        writer_controls = [self.poor, self.endpoint, self.send, self.cost]
        written = list(self.instructions.values())
        self.recipes.input(
            self._show_recipes,
            [self.recipes, self.writer, self.spoken, model, *written],
            [self.asking, self.every_way, *written, *writer_controls],
        )
        self.writer.input(self._show_writer, [self.writer, model], writer_controls)
        inputs = [self.files, self.speaker, self.recipes, self.every_way, self.silence, self.replaced, model]
        inputs += [self.limit, self.writer, *written, self.address, self.endpoint_model, self.key]
        outputs = [*self.outputs, name, *show_file, *self.review.outputs]
        read_again(self.go.click(make_rows, [gr.State(None), *inputs], outputs), is_own=True)
        read_again(self.send.click(make_rows, [self.cost, *inputs], outputs), is_own=True)
        self.cancel.click(_SLOT.cancel, None, None)
        self.review.connect(frame, show_file, name, read_again)


def _writer(writer: str, model: str, endpoint: tuple[str, ...], confirmed: Cost | None) -> Writer:
    """Return what writes the prompts; an endpoint is named by address, model and key. Raises StudioError."""
    if writer == _ENDPOINT:
        return EndpointWriter(Endpoint(*endpoint, public_only=not launch.is_local()), confirmed)
    launch.refuse_folder(model)
    return BaseModelWriter(model, lambda request: gpu.thread().answer_prompts(request))


def _make(request: Request, on_progress: scanning.OnProgress, writer: Writer | None) -> tuple[Path, Summary]:
    """Make the rows, and keep them as an upload is kept; their name holds nobody's, unlike that of an export."""
    material = reading.read(request, lambda share: on_progress(share / 2))
    formats = "-".join(name.lower() for name in material.summary.formats) or "documents"
    with tempfile.TemporaryDirectory(dir=launch.temporary()) as folder:
        rows = Path(folder) / f"{formats[:40]}.jsonl"
        summary = make.make(request, rows, material, lambda share: on_progress((1 + share) / 2), writer)
        return keep_rows(rows), summary
