"""The Export tab: a run, what can be made of it, how that goes on, and what lies there. Here what it is made of."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.compare.columns import MAX_STRENGTH
from studio.export.request import DTYPES
from studio.ui import export_views
from studio.ui.tabs.card_comparisons import CardComparisons
from studio.ui.tabs.compare import COPY
from studio.ui.words import Words

EVERY = 1.0
"""Seconds between two looks at the exports, while the tab is on the screen."""
FIRST = "adapter"


@dataclass(frozen=True)
class Push:
    """What sends an export to the Hub."""

    panel: gr.Accordion
    repository: gr.Textbox
    token: gr.Textbox
    public: gr.Checkbox
    go: gr.Button


@dataclass(frozen=True)
class ExportTab:
    """The tab's components."""

    timer: gr.Timer
    state: gr.State
    """What this session has on the screen (`ExportSeen`); None before the tab was looked at."""
    run: gr.Dropdown
    facts: gr.HTML
    kind: gr.Radio
    title: gr.HTML
    holds: gr.HTML
    precision: gr.Dropdown
    strength: gr.Slider
    comparisons: CardComparisons
    verify: gr.Checkbox
    go: gr.Button
    stop: gr.Button
    why: gr.HTML
    progress: gr.HTML
    result_card: gr.Column
    verified: gr.HTML
    check: gr.Button
    result: gr.HTML
    download: gr.Button
    packing: gr.HTML
    usage: gr.HTML
    push: "Push"
    file: gr.DownloadButton
    packed: gr.Textbox
    """The name of the last zip, for the browser alone; empty when none could be made."""

    @property
    def inputs(self) -> list[Any]:
        """What says what is to be exported."""
        return [self.run, self.kind, self.precision]

    @property
    def outputs(self) -> list[Any]:
        """Everything that a look at the exports may change."""
        chosen = [self.timer, self.state, self.run, self.facts, self.kind, self.title, self.holds]
        form = [self.precision, self.strength, self.verify, self.go, self.stop, self.why, self.progress]
        results = [self.result_card, self.verified, self.check, self.result, self.download, self.packing, self.usage]
        return [*chosen, *form, *results, self.push.panel, self.push.go]


def build(words: Words) -> ExportTab:
    """Build the tab inside the current Blocks."""
    with gr.Column(elem_classes="card"):
        words.heading("ui.export.title")
        run = words.make(gr.Dropdown, label="ui.export.run", choices=[], elem_id="export-run")
        facts = gr.HTML(elem_id="export-facts")
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=5, min_width=320, elem_classes="card"):
            kind = words.make(
                gr.Radio,
                label="ui.export.kind",
                choices=export_views.offered(),
                value=FIRST,
                elem_id="export-kind",
            )
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes="card"):
                title = gr.HTML(elem_id="export-title")
                holds = gr.HTML(elem_id="export-holds")
                with gr.Row(elem_classes="export-form"):
                    precision = words.make(
                        gr.Dropdown,
                        label="ui.export.precision",
                        choices={name: f"config.model.precision.options.{name}" for name in DTYPES},
                        value=DTYPES[0],
                        visible=False,
                        elem_id="export-precision",
                    )
                strength = words.make(
                    gr.Slider,
                    label="ui.export.strength",
                    minimum=5,
                    maximum=round(100 * MAX_STRENGTH),
                    step=5,
                    value=100,
                    elem_id="export-strength",
                )
                comparisons = CardComparisons(words)
                verify = words.make(gr.Checkbox, label="ui.export.verify", value=True, visible=False)
                with gr.Row(elem_classes="actions"):
                    go = words.button("ui.export.go", variant="primary", min_width=140, elem_id="export-go")
                    stop = words.button("ui.export.stop", interactive=False, min_width=96)
                why = gr.HTML(elem_id="export-why")
                progress = gr.HTML(elem_id="export-progress")
            with gr.Column(elem_classes=["card", "away"], elem_id="export-result") as result_card:
                words.heading("ui.export.there")
                verified = gr.HTML(elem_id="export-verified")
                with gr.Row(elem_classes="actions"):
                    download = words.button("ui.export.download", min_width=160, elem_id="export-download")
                    check = words.button("ui.export.check", visible=False, min_width=120)
                packing = gr.HTML(elem_id="export-packing")
                result = gr.HTML(elem_id="export-files", js_on_load=COPY)
                words.section("ui.export.next")
                usage = gr.HTML(elem_id="export-usage", js_on_load=COPY)
                push = _push(words)
    file = words.make(gr.DownloadButton, label="ui.export.download", visible="hidden", elem_id="export-file")
    return ExportTab(
        timer=gr.Timer(EVERY, active=False),
        state=gr.State(None),
        run=run,
        facts=facts,
        kind=kind,
        title=title,
        holds=holds,
        precision=precision,
        strength=strength,
        comparisons=comparisons,
        verify=verify,
        go=go,
        stop=stop,
        why=why,
        progress=progress,
        result_card=result_card,
        verified=verified,
        check=check,
        result=result,
        download=download,
        packing=packing,
        usage=usage,
        push=push,
        file=file,
        packed=gr.Textbox(visible=False),
    )


def _push(words: Words) -> Push:
    with words.make(gr.Accordion, label="ui.export.push.title", open=False, visible=False, elem_id="push") as panel:
        repository = words.make(gr.Textbox, label="ui.export.push.repository", max_lines=1, elem_id="push-repository")
        token = words.make(gr.Textbox, label="ui.export.push.token", type="password", max_lines=1, elem_id="push-token")
        public = words.make(gr.Checkbox, label="ui.export.push.public", value=False)
        go = words.button("ui.export.push.go", min_width=160, elem_id="push-go")
    return Push(panel, repository, token, public, go)
