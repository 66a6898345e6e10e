"""The Compare tab's way in for adapters from outside: an id of the Hub or an upload; and out again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio import runs
from studio.compare import external_adapters as adapters
from studio.compare.external_adapters import ExternalAdapter
from studio.errors import CompareError
from studio.model import uploaded_adapters
from studio.ui import adapter_import_views, scanning
from studio.ui.frame import Frame
from studio.ui.words import Words

FILE_TYPES = [".zip", ".json", ".safetensors", ".jinja"]


@dataclass(frozen=True)
class AdapterImport:
    """The controls, in a fold of their own."""

    fold: gr.Accordion
    named: gr.Textbox
    token: gr.Textbox
    """Handed to the call that needs it, and kept nowhere."""
    fetch: gr.Button
    cancel: gr.Button
    files: gr.File
    same_base: gr.Checkbox
    """The user vouches for what comes next: its base is the run's under another name."""
    status: gr.HTML
    saved: gr.Dropdown
    remove: gr.Button
    column: gr.State
    """What has arrived or gone last, as a column names it; None when nothing has."""

    @property
    def of_arrival(self) -> list[Any]:
        """What changes while something arrives."""
        return [self.status, self.token, self.fetch, self.cancel, self.files, self.saved, self.remove, self.column]


def build(words: Words) -> AdapterImport:
    """Build the fold inside the current card."""
    with words.make(gr.Accordion, label="ui.outside.title", open=False, elem_id="outside") as fold:
        with gr.Row(elem_classes="ask"):
            named = words.make(
                gr.Textbox,
                label="ui.outside.id",
                info="ui.outside.id_help",
                placeholder="ui.outside.id_hint",
                max_lines=1,
                scale=4,
                min_width=240,
                elem_id="outside-id",
            )
            token = words.make(
                gr.Textbox,
                label="ui.hub.token",
                info="ui.outside.token_help",
                type="password",
                max_lines=1,
                scale=2,
                min_width=200,
                elem_id="outside-token",
            )
            fetch = words.make(gr.Button, text="ui.outside.fetch", scale=0, min_width=120, elem_id="outside-fetch")
            cancel = words.make(gr.Button, text="ui.model.cancel", interactive=False, scale=0, min_width=96)
        with gr.Row(elem_classes="ask"):
            with gr.Column(scale=4, min_width=240, elem_classes="files"):
                files = words.make(
                    gr.File,
                    label="ui.outside.files",
                    file_count="multiple",
                    file_types=FILE_TYPES,
                    height=148,
                    elem_id="outside-files",
                )
                words.make(gr.HTML, text="ui.outside.files_help", frame='<p class="hint">{}</p>')
            with gr.Column(scale=2, min_width=200):
                saved = words.make(
                    gr.Dropdown,
                    label="ui.outside.kept",
                    info="ui.outside.kept_help",
                    choices=[],
                    elem_id="outside-kept",
                )
                remove = words.make(
                    gr.Button, text="ui.outside.remove", size="sm", interactive=False, elem_id="outside-remove"
                )
        same_base = words.make(
            gr.Checkbox,
            label="ui.outside.same_base",
            info="ui.outside.same_base_help",
            value=False,
            elem_id="outside-same-base",
        )
        status = words.make(gr.HTML, text="ui.outside.hint", frame='<p class="hint">{}</p>', elem_id="outside-said")
    return AdapterImport(fold, named, token, fetch, cancel, files, same_base, status, saved, remove, gr.State(None))


def connect(
    part: AdapterImport,
    frame: Frame,
    whose: Sequence[Any],
    shows: Sequence[Any],
    arrived: Callable[..., dict[Any, Any]],
    gone: Callable[..., dict[Any, Any]],
) -> None:
    """Connect the events.

    `arrived` and `gone` are told the language, an adapter as a column names it, and the values of `whose`, of which the
    first is the run; what they return changes `shows`.
    """
    language = frame.language

    def arrive(
        request: gr.Request, run_id: str | None, key: str, bring: Callable[..., ExternalAdapter]
    ) -> Iterator[dict[Any, Any]]:
        """Let something arrive in a thread of its own, and say how far it is and how it ended."""
        if not run_id:
            yield {part.status: adapter_import_views.failure(CompareError("ui.no_run"), language), **_idle()}
            return
        run = runs.find(run_id)
        work = scanning.begin(_session(request), lambda on_progress: bring(run, on_progress))
        yield {part.status: adapter_import_views.progress(key, None, language), **_busy()}
        for share in scanning.follow(_session(request), work):
            yield {part.status: adapter_import_views.progress(key, share, language)}
        if work.cancelled:
            yield {part.status: adapter_import_views.cancelled(language), **_idle()}
        elif work.error:
            yield {part.status: adapter_import_views.failure(work.error, language), **_idle()}
        else:
            adapter: ExternalAdapter = work.result
            yield {
                part.status: adapter_import_views.here(adapter, language),
                **_idle(),
                part.token: "",
                part.column: adapter.column,
            }

    def _busy() -> dict[Any, Any]:
        return {
            part.column: None,
            part.fetch: gr.update(interactive=False),
            part.cancel: gr.update(interactive=True),
        }

    def _idle() -> dict[Any, Any]:
        return {
            part.fetch: gr.update(interactive=True),
            part.cancel: gr.update(interactive=False),
            part.files: None,
            **_offer(),
        }

    def _offer() -> dict[Any, Any]:
        choices = [adapter_import_views.saved(upload) for upload in uploaded_adapters.all_uploads()]
        first = choices[0][1] if choices else None
        return {
            part.saved: gr.update(choices=choices, value=first, interactive=bool(choices)),
            part.remove: gr.update(interactive=bool(choices)),
        }

    def fetch(
        request: gr.Request, run_id: str | None, same_base: bool, named: str, token: str
    ) -> Iterator[dict[Any, Any]]:
        clean_token = (token or "").strip() or None
        yield from arrive(
            request,
            run_id,
            "phase.fetching",
            lambda run, on_progress: adapters.fetch(
                (named or "").strip(), run, on_progress, clean_token, same_base=same_base or None
            ),
        )

    def upload(
        request: gr.Request, run_id: str | None, same_base: bool, files: list[str] | None
    ) -> Iterator[dict[Any, Any]]:
        if files:
            paths = [Path(file) for file in files]
            yield from arrive(
                request,
                run_id,
                "ui.outside.checking",
                lambda run, on_progress: adapters.upload(paths, run, same_base=same_base or None),
            )

    def remove(chosen: str | None) -> dict[Any, Any]:
        if not chosen:
            return {part.status: adapter_import_views.hint(language)}
        uploaded_adapters.remove(chosen)
        return {part.status: adapter_import_views.hint(language), part.column: chosen, **_offer()}

    def cancel(request: gr.Request) -> None:
        scanning.cancel(_session(request))

    run = whose[0]
    part.fold.expand(_offer, None, [part.saved, part.remove])
    fetch_inputs = [run, part.same_base, part.named, part.token]
    arrivals = [
        gr.on([part.fetch.click, part.named.submit, part.token.submit], fetch, fetch_inputs, part.of_arrival),
        part.files.upload(upload, [run, part.same_base, part.files], part.of_arrival),
    ]
    for event in arrivals:
        event.then(
            lambda column, *values: arrived(column, *values) if column else gr.skip(),
            [part.column, *whose],
            list(shows),
        )
    part.cancel.click(cancel, None, None)
    left = [part.status, part.saved, part.remove, part.column]
    part.remove.click(remove, [part.saved], left).then(gone, [part.column, *whose], list(shows))


def _session(request: gr.Request) -> str:
    return f"{request.session_hash} adapter"
