"""The card of the endpoint on the Export tab: it is started for the chosen run, and says how it is reached."""

import html
from typing import Any

import gradio as gr

from studio.errors import ExportError
from studio.i18n import text
from studio.ui import export_views, serving
from studio.ui.compare_views import COPY
from studio.ui.views import hint
from studio.ui.words import Words

PORT = 8000


class ServingCard:
    """The switch, and what serves."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card", elem_id="serving"), words.fold("ui.serve.title"):
            words.paragraph("ui.serve.about")
            with gr.Row(elem_classes="export-form"):
                self.port = words.make(
                    gr.Number,
                    label="ui.serve.port",
                    value=PORT,
                    precision=0,
                    minimum=0,
                    maximum=65535,
                    elem_id="serving-port",
                )
            with gr.Row(elem_classes="actions"):
                self.start = words.button("ui.serve.start", min_width=140, elem_id="serving-start")
                self.stop = words.button("ui.serve.stop", interactive=False, min_width=96)
            self.state = gr.HTML(elem_id="serving-state", js_on_load=COPY)

    @property
    def outputs(self) -> list[Any]:
        """What changes with the endpoint."""
        return [self.stop, self.state]

    def render(self) -> list[Any]:
        """Return the card as it stands, in the order of `outputs`."""
        server = serving.current()
        return [gr.update(interactive=server is not None), state(server, self.language)]

    def connect(self, run: gr.Dropdown, item: gr.Tab) -> None:
        """Connect the buttons; `run` is the chosen one, `item` the tab."""

        def start_serving(run_id: str | None, port: float | None) -> list[Any]:
            if not run_id:
                raise ExportError("ui.no_run_to_export")
            serving.start(run_id, int(port or 0))
            return self.render()

        def stop_serving() -> list[Any]:
            serving.stop()
            return self.render()

        item.select(self.render, None, self.outputs)
        self.start.click(start_serving, [run, self.port], self.outputs, concurrency_limit=1)
        self.stop.click(stop_serving, None, self.outputs)


def state(server: Any, language: str) -> str:
    """Say what serves, where, and how vLLM would; that nothing does without a server."""
    from studio.serve import vllm

    if server is None:
        return hint("ui.serve.off", language)
    models = server.engine.catalogue
    names = ", ".join(f"<code>{html.escape(name)}</code>" for name in models.listed)
    return "".join(
        [
            f'<p role="status">{html.escape(text("ui.serve.on", language, run=models.first.id))}</p>',
            export_views.code_block(server.url, language),
            f"<p>{html.escape(text('ui.serve.models', language))} {names}</p>",
            f"<p>{html.escape(text('ui.serve.vllm', language))}</p>",
            export_views.code_block(vllm.command(models), language),
        ]
    )
