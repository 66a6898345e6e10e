"""The Data tab's layout: where the rows come from, what was found in them, and what the model will see of them."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import presets
from studio.config import RunConfig, SourceConfig, choices, fields
from studio.setting_text import ENCODINGS
from studio.ui import launch, templates
from studio.ui.data_state import Checked, DataState, Offer
from studio.ui.form import MAPPING, Form
from studio.ui.tabs.material import MaterialCard
from studio.ui.words import Words, class_of

FILE_TYPES = [".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".xlsx", ".txt"]
JUMPS = ("random", "longest", "shortest", "worst")
SOURCE = "data.source."
SOURCE_NAMES = tuple(SourceConfig.model_fields)
VALIDATION = "data.validation."
_FIELDS = dict(fields())
_SERVER_SIDE = [SOURCE + name for name in SOURCE_NAMES] + [VALIDATION + name for name in ("kind", "name")]
"""Settings that name a file: the controls propose, handlers decide, and the browser never sends them back."""
_JOINERS = {"\n": "ui.joiner.line", "\n\n": "ui.joiner.paragraph", ", ": "ui.joiner.comma", " ": "ui.joiner.space"}
_ASK = (
    "element.addEventListener('click', event => { const asked = event.target.closest('[data-do]');"
    " if (asked) trigger(asked.dataset.do === 'row' ? 'select' : 'click', {...asked.dataset}); });"
)
"""Makes the buttons inside the health report events of their component: rows select, the others click."""


@dataclass(frozen=True)
class Source:
    """The controls that propose a source."""

    kind: gr.Radio
    bundled: gr.Radio
    upload: gr.File
    path: gr.Textbox
    formats: gr.HTML
    encoding: gr.Dropdown
    sheet: gr.Dropdown
    hub: gr.Column
    hub_id: gr.Textbox
    revision: gr.Textbox
    token: gr.Textbox
    ask: gr.Button
    subset: gr.Dropdown
    split: gr.Dropdown
    get: gr.Button
    hub_status: gr.HTML
    offer: gr.State
    structure: gr.HTML
    material: MaterialCard


@dataclass(frozen=True)
class Split:
    """The controls that propose validation rows."""

    kind: gr.Radio
    upload: gr.File
    own: gr.Dropdown
    status: gr.HTML


@dataclass(frozen=True)
class Row:
    """One row, as it is and as the model sees it."""

    number: gr.Number
    previous: gr.Button
    following: gr.Button
    jumps: dict[str, gr.Button]
    spans: gr.HTML
    caption: gr.HTML
    raw: gr.HTML
    get_model: gr.Button


@dataclass(frozen=True)
class Health:
    """What the scan of all rows tells."""

    progress: gr.HTML
    cancel: gr.Button
    report: gr.HTML
    clean: gr.Button
    cleaned: gr.DownloadButton
    written: gr.HTML
    lengths: gr.HTML


@dataclass(frozen=True)
class DataTab:
    """The tab's components that handlers read or change."""

    state: gr.State
    checked: gr.State
    source: Source
    detected: gr.HTML
    variant: gr.Dropdown
    split: Split
    row: Row
    health: Health
    table: gr.HTML
    blocked: gr.HTML
    go_on: gr.Button

    @property
    def of_row(self) -> list[Any]:
        """What changes with the row that is shown."""
        row = self.row
        return [row.spans, row.caption, row.raw, row.get_model, self.table, self.source.structure]

    @property
    def of_scan(self) -> list[Any]:
        """What changes with the report about all rows."""
        health = self.health
        outputs = [health.progress, health.cancel, health.report, health.lengths]
        return [*outputs, self.split.status, self.blocked, self.go_on]

    @property
    def rendered(self) -> list[Any]:
        """What shows a source: its format, a row, and the report."""
        return [self.detected, *self.of_row, *self.of_scan, self.health.written]

    @property
    def of_source(self) -> list[Any]:
        """The controls that show the settings' source and split."""
        source = self.source
        chosen = [source.kind, source.bundled, source.encoding, source.sheet, source.hub_id, source.revision]
        return [*chosen, self.split.kind]


def build(words: Words, form: Form, base: RunConfig) -> DataTab:
    """Build the tab inside the current Blocks; `base` is what a first visit sees."""
    for path in _SERVER_SIDE:
        section, name = path.split(".")[1:]
        form.adopt(path, gr.State(getattr(getattr(base.data, section), name)))
    with gr.Row(elem_classes="columns", elem_id="data-columns"):
        with gr.Column(scale=4, min_width=320):
            source = _source(words, base)
            detected = _detected_card(words, form)
            variant = _prompt(words, form)
            split = _split(words, form, base)
        with gr.Column(scale=7, min_width=320):
            row = _row(words)
            health = _health(words, form)
            with gr.Column(elem_classes="card"), words.fold("ui.rows.title"):
                table = words.empty("ui.rows.empty", elem_id="rows")
    with gr.Row(elem_classes="next"):
        blocked = gr.HTML(elem_id="blocked")
        go_on = words.button("ui.data.continue", variant="primary", scale=0, min_width=240)
    state, checked = gr.State(DataState()), gr.State(Checked())
    return DataTab(state, checked, source, detected, variant, split, row, health, table, blocked, go_on)


def _chosen(words: Words, path: str, **settings: Any) -> gr.Radio:
    """Make a control that proposes the setting at `path`, and is not part of the form."""
    options = {option: f"config.{path}.options.{option}" for option in choices(_FIELDS[path])}
    settings |= {"label": f"config.{path}.title", "info": f"config.{path}.help", "elem_classes": class_of(path)}
    return words.make(gr.Radio, choices=options, **settings)


def _source(words: Words, base: RunConfig) -> Source:
    current = base.data.source
    with gr.Column(elem_classes="card"):
        words.heading("ui.source.title")
        kind = _chosen(words, SOURCE + "kind", value=current.kind)
        names = presets.datasets()
        bundled = words.make(
            gr.Radio,
            label="ui.source.bundled",
            elem_classes="chips",
            choices=names,
            value=current.name if current.name in names else (names[0] if names else None),
            visible=current.kind == "bundled",
        )
        upload = words.make(
            gr.File,
            label="ui.source.upload",
            file_types=FILE_TYPES,
            height=148,
            visible=current.kind == "file",
            elem_id="upload",
        )
        path = words.make(
            gr.Textbox,
            label="ui.source.path",
            max_lines=1,
            visible=current.kind == "file" and launch.is_local(),
            elem_id="path",
        )
        formats = words.hint("ui.source.formats", visible=current.kind == "file")
        with gr.Row():
            encoding = _own_part(
                words, "encoding", gr.Dropdown, choices=ENCODINGS, allow_custom_value=True,
                value=current.encoding, visible=current.kind == "file", elem_id="encoding",
            )  # fmt: skip
            sheet = _own_part(
                words, "sheet", gr.Dropdown, choices=[], allow_custom_value=True, value=current.sheet,
                visible=current.sheet is not None, elem_id="sheet-name",
            )  # fmt: skip
        with gr.Column(visible=current.kind == "hub", elem_classes="inner") as hub:
            hub_id = words.make(gr.Textbox, label="ui.hub.id", max_lines=1)
            with gr.Row():
                revision = _own_part(words, "revision", gr.Textbox, max_lines=1)
                token = words.make(gr.Textbox, label="ui.hub.token", type="password", max_lines=1)
            ask = words.button("ui.hub.ask", size="sm")
            with gr.Row():
                subset = _own_part(words, "subset", gr.Dropdown, choices=[], allow_custom_value=True)
                split = _own_part(words, "split", gr.Dropdown, choices=[], allow_custom_value=True)
            get = words.button("ui.hub.get", size="sm", interactive=False)
            hub_status = words.hint("ui.hub.empty", elem_id="hub-said")
        structure = gr.HTML(elem_id="structure")
        material = MaterialCard(words)
    offer = gr.State(Offer())
    return Source(
        kind, bundled, upload, path, formats, encoding, sheet, hub, hub_id, revision, token, ask, subset, split, get,
        hub_status, offer, structure, material,
    )  # fmt: skip


def _own_part(words: Words, name: str, kind: type, **settings: Any) -> Any:
    return words.make(kind, label=f"config.{SOURCE}{name}.title", info=f"config.{SOURCE}{name}.help", **settings)


def _detected_card(words: Words, form: Form) -> gr.HTML:
    with gr.Column(elem_classes="card"), words.fold("ui.found.title"):
        detected = words.empty("ui.found.empty", elem_id="found")
        with words.make(gr.Accordion, label="ui.found.change", open=False):
            form.add(MAPPING + "shape")
            form.add(MAPPING + "prompt", elem_id="prompt-columns")
            with gr.Row():
                form.add(MAPPING + "joiner", gr.Dropdown, choices=_JOINERS, value="\n", allow_custom_value=True)
                form.add(MAPPING + "joined", max_lines=1)
            for name in ("completion", "system", "history", "messages", "text"):
                form.add(MAPPING + name, gr.Dropdown, choices=[], allow_custom_value=True)
            form.add(MAPPING + "roles", max_lines=2)
            form.add(MAPPING + "marks")
    return detected


def _prompt(words: Words, form: Form) -> gr.Dropdown:
    variants = {name: f"ui.templates.{name}" for name in (templates.OWN, *templates.NAMED)}
    with gr.Column(elem_classes="card"), words.fold("ui.prompt.title"):
        form.add("data.prompt.style")
        variant = words.make(
            gr.Dropdown, label="ui.templates.title", choices=variants, value=None, visible=False, elem_id="variant"
        )
        form.add("data.prompt.template", lines=3, visible=False)
        form.add("data.prompt.system", lines=2)
        form.add("data.max_length")
        with words.make(gr.Accordion, label="ui.prompt.more", open=False):
            form.add("data.train_on")
            form.add("data.turns")
    return variant


def _split(words: Words, form: Form, base: RunConfig) -> Split:
    current = base.data.validation
    with gr.Column(elem_classes="card"), words.fold("ui.split.title"):
        with gr.Row():
            form.add("data.limit")
            form.add("data.pick")
        kind = _chosen(words, VALIDATION + "kind", value=current.kind, elem_id="split-kind")
        upload = words.make(
            gr.File, label="ui.split.upload", file_types=FILE_TYPES, height=148, visible=False, elem_id="split-upload"
        )
        own = words.make(
            gr.Dropdown,
            label=f"config.{VALIDATION}name.title",
            info=f"config.{VALIDATION}name.help",
            choices=[],
            value=None,
            allow_custom_value=True,
            visible=False,
        )
        is_fraction = current.kind == "fraction"
        with gr.Row():
            form.add(VALIDATION + "fraction", visible=is_fraction)
            form.add("data.seed")
        form.add(VALIDATION + "group", gr.Dropdown, choices=[], allow_custom_value=True, visible=is_fraction)
        status = gr.HTML(elem_id="split")
    return Split(kind, upload, own, status)


def _row(words: Words) -> Row:
    with gr.Column(elem_classes="card", elem_id="row-card"):
        with gr.Row(elem_classes="card-head", equal_height=True):
            words.heading("ui.preview.title")
            with gr.Row(elem_classes=["stepper", "steps"]):
                previous = words.button("ui.preview.previous", size="sm", min_width=40)
                number = words.make(
                    gr.Number,
                    label="ui.preview.row",
                    value=1,
                    precision=0,
                    show_label=False,
                    container=False,
                    min_width=64,
                    elem_id="row",
                )
                following = words.button("ui.preview.next", size="sm", min_width=40)
        with gr.Row(elem_classes="jumps"):
            jumps = {
                name: words.button(f"ui.preview.{name}", size="sm", min_width=72, elem_id=f"jump-{name}")
                for name in JUMPS
            }
        spans = gr.HTML(elem_id="spans", visible=False)
        caption = words.make(
            gr.HTML,
            text="ui.preview.empty",
            frame='<div class="placeholder"><p class="empty">{}</p></div>',
            elem_id="caption",
        )
        get_model = words.button("ui.model.get", visible=False, elem_id="get-model")
        raw = gr.HTML(elem_id="raw", visible=False)
    return Row(number, previous, following, jumps, spans, caption, raw, get_model)


def _health(words: Words, form: Form) -> Health:
    with gr.Column(elem_classes="card"):
        with gr.Row(elem_classes="card-head", equal_height=True):
            words.heading("ui.health.title")
            cancel = words.button("ui.health.cancel", size="sm", scale=0, visible=False, min_width=96)
        progress = gr.HTML(elem_id="scan")
        report = words.empty("ui.health.empty", elem_id="health", js_on_load=_ASK)
        with words.make(gr.Accordion, label="ui.health.fixes", open=False):
            form.add("data.fixes")
        with gr.Row(elem_classes="ask"):
            written = gr.HTML(elem_id="written")
            clean = words.button("ui.clean.go", size="sm", scale=0, min_width=220, elem_id="clean")
            cleaned = words.make(gr.DownloadButton, label="ui.clean.go", visible="hidden", elem_id="cleaned")
    with gr.Column(elem_classes="card"), words.fold("ui.lengths.title"):
        lengths = words.empty("ui.lengths.empty", elem_id="lengths")
    return Health(progress, cancel, report, clean, cleaned, written, lengths)
