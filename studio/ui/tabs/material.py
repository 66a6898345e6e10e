"""Make rows from chats and documents, on the Data tab: whose style, how, and what must not be in them."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from studio.i18n import text
from studio.material import make, privacy
from studio.material.make import Request, Summary
from studio.ui import launch, material_views, scanning, uploads, views
from studio.ui.failures import box, message_of, shown
from studio.ui.frame import Frame
from studio.ui.words import Words

SILENCES = {"auto": 0, "30m": 1800, "1h": 3600, "3h": 10_800, "12h": 43_200, "1d": 86_400}
"""Lengths of silence that can be chosen, in seconds; 0 infers it."""
_QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}


class MaterialCard:
    """Makes rows of files that are no rows yet."""

    def __init__(self, words: Words):
        """Build the part of the card inside the current one."""
        self.language = words.language
        with words.make(gr.Accordion, label="ui.material.title", open=False):
            words.make(gr.HTML, text="ui.material.about", frame='<p class="hint">{}</p>')
            self.files = words.make(
                gr.File, label="ui.material.files", file_count="multiple", height=148, elem_id="material"
            )
            self.speaker = words.make(
                gr.Dropdown, label="ui.material.speaker", info="ui.material.speaker_help", choices=[], visible=False
            )
            with gr.Column(visible=False) as self.options:
                self.recipe = words.make(
                    gr.Dropdown,
                    label="ui.material.recipe",
                    choices={name: f"material.recipes.{name}" for name in make.RECIPES},
                )
                self.silence = words.make(
                    gr.Dropdown,
                    label="ui.material.silence",
                    choices={seconds: f"ui.material.silences.{name}" for name, seconds in SILENCES.items()},
                    value=0,
                )
            self.replaced = words.make(
                gr.CheckboxGroup,
                label="ui.material.replaced",
                info="ui.material.replaced_help",
                choices={kind: f"material.kinds.{kind}" for kind in privacy.KINDS},
                value=list(privacy.KINDS),
                visible=False,
            )
            with gr.Row():
                self.go = words.make(
                    gr.Button, text="ui.material.go", variant="primary", interactive=False, min_width=140
                )
                self.cancel = words.make(gr.Button, text="ui.before.cancel", visible=False, min_width=72)
            self.report = gr.HTML(elem_id="material-report")

    @property
    def outputs(self) -> list[Any]:
        """What changes with the files and with the rows that are made of them."""
        return [self.speaker, self.options, self.recipe, self.silence, self.replaced, self.go, self.cancel, self.report]

    def _render(self, summary: Summary | None, report: str) -> dict[Any, Any]:
        """Return what shows the files: the speakers to choose from, and what can be chosen about them."""
        speakers = summary.speakers.most_common() if summary else []
        is_chat = bool(speakers)
        return {
            self.speaker: gr.update(
                choices=[(f"{name} ({count:,})", name) for name, count in speakers], value=None, visible=is_chat
            ),
            self.options: gr.update(visible=summary is not None),
            self.recipe: make.CHAT if is_chat else "beginning",
            self.silence: gr.update(visible=is_chat),
            self.replaced: gr.update(value=list(privacy.KINDS) if is_chat else [], visible=summary is not None),
            self.go: gr.update(interactive=summary is not None and not is_chat),
            self.cancel: gr.update(visible=False),
            self.report: report,
        }

    def _follow(self, session: str, work: scanning.Work) -> Iterator[dict[Any, Any]]:
        for share in scanning.follow(session, work):
            words = text("ui.material.reading", self.language)
            yield {self.report: views.bar(share, words), self.cancel: gr.update(visible=True)}

    def connect(self, frame: Frame, show_file: dict[Any, Any], name: Any, read_again: Callable[..., Any]) -> None:
        """Connect the events: `show_file` is what makes the tab read the file that `name` names, by `read_again`."""
        language = self.language

        @shown(language)
        def read_files(request: gr.Request, files: list[str] | None) -> Iterator[dict[Any, Any]]:
            if not files:
                scanning.cancel(_session(request))
                yield self._render(None, "")
                return
            wanted = Request(paths=tuple(map(Path, files)))
            work = scanning.begin(_session(request), lambda going: make.read(wanted, going).summary)
            yield self._render(None, "")
            yield from self._follow(_session(request), work)
            if work.error:
                report = "" if work.cancelled else box(message_of(work.error), language)
                yield self._render(None, report)
                return
            yield self._render(work.result, material_views.overview(work.result, language))

        def choose(speaker: str | None) -> Any:
            return gr.update(interactive=bool(speaker))

        @shown(language)
        def make_rows(
            request: gr.Request,
            files: list[str] | None,
            speaker: str | None,
            recipe: str,
            silence: float,
            replaced: list[str],
            model: str,
        ) -> Iterator[dict[Any, Any]]:
            wanted = Request(
                paths=tuple(map(Path, files or ())),
                speaker=speaker,
                recipe=recipe,
                keep=frozenset(privacy.KINDS) - set(replaced),
                scrub=bool(replaced),
                silence=float(silence) or None,
                model=model,
            )
            work = scanning.begin(_session(request), lambda going: _make(wanted, going))
            yield {self.go: gr.update(interactive=False)}
            yield from self._follow(_session(request), work)
            again = {self.go: gr.update(interactive=True), self.cancel: gr.update(visible=False)}
            if work.error:
                yield {**again, self.report: "" if work.cancelled else box(message_of(work.error), language)}
                return
            path, summary = work.result
            yield {
                **again,
                self.report: material_views.result(summary, language),
                **show_file,
                name: str(path),
            }

        def cancel(request: gr.Request) -> None:
            scanning.cancel(_session(request))

        gr.on([self.files.upload, self.files.clear, self.files.delete], read_files, self.files, self.outputs, **_QUIET)
        self.speaker.input(choose, self.speaker, self.go, trigger_mode="always_last", **_QUIET)
        inputs = [self.files, self.speaker, self.recipe, self.silence, self.replaced, frame.form.parts["model.id"]]
        outputs = [self.go, self.cancel, self.report, name, *show_file]
        read_again(self.go.click(make_rows, inputs, outputs, **_QUIET), is_own=True)
        self.cancel.click(cancel, None, None, **_QUIET)


def _session(request: gr.Request) -> str:
    return f"{request.session_hash} material"


def _make(request: Request, on_progress: scanning.Going) -> tuple[Path, Summary]:
    """Make the rows, and keep them as an upload is kept; their name holds nobody's, unlike that of an export."""
    material = make.read(request, lambda share: on_progress(share / 2))
    formats = "-".join(name.lower() for name in material.summary.formats) or "documents"
    with tempfile.TemporaryDirectory(dir=launch.temporary()) as folder:
        rows = Path(folder) / f"{formats[:40]}.jsonl"
        summary = make.make(request, rows, material, lambda share: on_progress((1 + share) / 2))
        return uploads.keep(str(rows)), summary
