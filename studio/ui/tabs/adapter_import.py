"""The Compare tab's way in for adapters from outside: an id of the Hub or an upload; and out again."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from studio import runs
from studio.compare import external_adapters as adapters
from studio.compare.external_adapters import ExternalAdapter
from studio.errors import CompareError
from studio.model import uploaded_adapters
from studio.ui import adapter_import_views, scanning, views
from studio.ui.failures import box_of
from studio.ui.page import components
from studio.ui.words import Words

FILE_TYPES = [".zip", ".json", ".safetensors", ".jinja"]
_SLOT = scanning.Slot("adapter")


class AdapterImport:
    """The controls, in a fold of their own."""

    def __init__(self, words: Words):
        self.language = words.language
        with words.make(gr.Accordion, label="ui.outside.title", open=False, elem_id="outside") as self.fold:
            with gr.Row(elem_classes="ask"):
                self.named = words.make(
                    gr.Textbox, label="ui.outside.id", max_lines=1, scale=4, min_width=240, elem_id="outside-id"
                )
                self.token = words.secret(
                    "ui.hub.token", info="ui.outside.token_help", scale=2, min_width=200, elem_id="outside-token"
                )
                self.fetch = words.button("ui.outside.fetch", scale=0, min_width=120, elem_id="outside-fetch")
                self.cancel = words.button("ui.model.cancel", interactive=False, scale=0, min_width=96)
            with gr.Row(elem_classes="ask"):
                with gr.Column(scale=4, min_width=240, elem_classes="files"):
                    self.files = words.make(
                        gr.File,
                        label="ui.outside.files",
                        file_count="multiple",
                        file_types=FILE_TYPES,
                        height=148,
                        elem_id="outside-files",
                    )
                    words.hint("ui.outside.files_help")
                with gr.Column(scale=2, min_width=200):
                    self.saved = words.make(gr.Dropdown, label="ui.outside.kept", choices=[], elem_id="outside-kept")
                    self.remove = words.button(
                        "ui.outside.remove", size="sm", interactive=False, elem_id="outside-remove"
                    )
            self.same_base = words.make(
                gr.Checkbox, label="ui.outside.same_base", value=False, elem_id="outside-same-base"
            )
            """The user vouches for what comes next: its base is the run's under another name."""
            self.status = words.hint("ui.outside.hint", elem_id="outside-said")
        self.column = gr.State(None)
        """What has arrived or gone last, as a column names it; None when nothing has."""
        self.outputs = components(self)

    def connect(
        self,
        whose: Sequence[Any],
        shows: Sequence[Any],
        arrived: Callable[..., dict[Any, Any]],
        gone: Callable[..., dict[Any, Any]],
    ) -> None:
        """Connect the events.

        `arrived` and `gone` take an adapter as a column names it, and the values of `whose`, of which the first is the
        run; what they return changes `shows`.
        """
        language = self.language

        def arrive(
            request: gr.Request, run_id: str | None, key: str, bring: Callable[..., ExternalAdapter]
        ) -> Iterator[dict[Any, Any]]:
            """Let something arrive in a thread of its own, and say how far it is and how it ended."""
            if not run_id:
                yield {self.status: box_of(CompareError("ui.no_run"), language), **_idle()}
                return
            run = runs.find(run_id)
            work = scanning.begin(_SLOT.of(request), lambda on_progress: bring(run, on_progress))
            yield {self.status: views.waiting(key, language), **_busy()}
            for share in scanning.follow(_SLOT.of(request), work):
                yield {self.status: views.waiting(key, language, share, "" if share is None else f"{share:.0%}")}
            if work.cancelled:
                yield {self.status: views.hint("ui.outside.cancelled", language), **_idle()}
            elif work.error:
                yield {self.status: box_of(work.error, language), **_idle()}
            else:
                adapter: ExternalAdapter = work.result
                yield {
                    self.status: adapter_import_views.here(adapter, language),
                    **_idle(),
                    self.token: "",
                    self.column: adapter.column,
                }

        def _busy() -> dict[Any, Any]:
            return {
                self.column: None,
                self.fetch: gr.update(interactive=False),
                self.cancel: gr.update(interactive=True),
            }

        def _idle() -> dict[Any, Any]:
            return {
                self.fetch: gr.update(interactive=True),
                self.cancel: gr.update(interactive=False),
                self.files: None,
                **_offer(),
            }

        def _offer() -> dict[Any, Any]:
            choices = [adapter_import_views.saved(upload) for upload in uploaded_adapters.all_uploads()]
            first = choices[0][1] if choices else None
            return {
                self.saved: gr.update(choices=choices, value=first, interactive=bool(choices)),
                self.remove: gr.update(interactive=bool(choices)),
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
                return {self.status: views.hint("ui.outside.hint", language)}
            uploaded_adapters.remove(chosen)
            return {self.status: views.hint("ui.outside.hint", language), self.column: chosen, **_offer()}

        run = whose[0]
        self.fold.expand(_offer, None, [self.saved, self.remove])
        fetch_inputs = [run, self.same_base, self.named, self.token]
        arrivals = [
            gr.on([self.fetch.click, self.named.submit, self.token.submit], fetch, fetch_inputs, self.outputs),
            self.files.upload(upload, [run, self.same_base, self.files], self.outputs),
        ]
        for event in arrivals:
            event.then(
                lambda column, *values: arrived(column, *values) if column else gr.skip(),
                [self.column, *whose],
                list(shows),
            )
        self.cancel.click(_SLOT.cancel, None, None)
        left = [self.status, self.saved, self.remove, self.column]
        self.remove.click(remove, [self.saved], left).then(gone, [self.column, *whose], list(shows))
