"""The Data tab's layout: where the rows come from, what was found in them, and what the model will see of them."""

from typing import Any

import gradio as gr

from studio import presets
from studio.config import RunConfig, SourceConfig, choices, fields
from studio.setting_text import ENCODINGS
from studio.ui import health_views, launch, row_views, style_views, templates, views
from studio.ui.data_state import Checked, DataState, Offer
from studio.ui.failures import box
from studio.ui.form import MAPPING, Form
from studio.ui.tabs.material import MaterialCard
from studio.ui.words import Words, class_of, merged

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
_OF_SHAPE = {
    "pair": ("prompt", "joiner", "joined", "completion", "system", "history"),
    "messages": ("messages", "system", "roles"),
    "text": ("text",),
}


class Source:
    """The controls that propose a source."""

    def __init__(self, words: Words, base: RunConfig):
        """Build the card inside the current Blocks; `base` is what a first visit sees."""
        current = base.data.source
        with gr.Column(elem_classes="card"):
            words.heading("ui.source.title")
            self.kind = _chosen(words, SOURCE + "kind", value=current.kind)
            names = presets.datasets()
            self.bundled = words.make(
                gr.Radio,
                label="ui.source.bundled",
                elem_classes="chips",
                choices=names,
                value=current.name if current.name in names else (names[0] if names else None),
                visible=current.kind == "bundled",
            )
            self.upload = words.make(
                gr.File,
                label="ui.source.upload",
                file_types=FILE_TYPES,
                height=148,
                visible=current.kind == "file",
                elem_id="upload",
            )
            self.path = words.make(
                gr.Textbox,
                label="ui.source.path",
                max_lines=1,
                visible=current.kind == "file" and launch.is_local(),
                elem_id="path",
            )
            self.formats = words.hint("ui.source.formats", visible=current.kind == "file")
            with gr.Row():
                self.encoding = _own_part(
                    words, "encoding", gr.Dropdown, choices=ENCODINGS, allow_custom_value=True,
                    value=current.encoding, visible=current.kind == "file", elem_id="encoding",
                )  # fmt: skip
                self.sheet = _own_part(
                    words, "sheet", gr.Dropdown, choices=[], allow_custom_value=True, value=current.sheet,
                    visible=current.sheet is not None, elem_id="sheet-name",
                )  # fmt: skip
            with gr.Column(visible=current.kind == "hub", elem_classes="inner") as self.hub:
                self.hub_id = words.make(gr.Textbox, label="ui.hub.id", max_lines=1)
                with gr.Row():
                    self.revision = _own_part(words, "revision", gr.Textbox, max_lines=1)
                    self.token = words.secret("ui.hub.token")
                self.ask = words.button("ui.hub.ask", size="sm")
                with gr.Row():
                    self.subset = _own_part(words, "subset", gr.Dropdown, choices=[], allow_custom_value=True)
                    self.split = _own_part(words, "split", gr.Dropdown, choices=[], allow_custom_value=True)
                self.get = words.button("ui.hub.get", size="sm", interactive=False)
                self.hub_status = words.hint("ui.hub.empty", elem_id="hub-said")
            self.structure = gr.HTML(elem_id="structure")
            self.material = MaterialCard(words)
        self.offer = gr.State(Offer())


class Split:
    """The controls that propose validation rows."""

    def __init__(self, words: Words, form: Form, base: RunConfig):
        """Build the card inside the current Blocks; the parameters are those of `DataTab`."""
        current = base.data.validation
        with gr.Column(elem_classes="card"), words.fold("ui.split.title"):
            with gr.Row():
                form.add("data.limit")
                form.add("data.pick")
            self.kind = _chosen(words, VALIDATION + "kind", value=current.kind, elem_id="split-kind")
            self.upload = words.make(
                gr.File,
                label="ui.split.upload",
                file_types=FILE_TYPES,
                height=148,
                visible=False,
                elem_id="split-upload",
            )
            self.own = words.make(
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
            self.status = gr.HTML(elem_id="split")


class Row:
    """One row, as it is and as the model sees it."""

    def __init__(self, words: Words):
        with gr.Column(elem_classes="card", elem_id="row-card"):
            with words.head("ui.preview.title", "steps"):
                self.previous = words.button("ui.preview.previous", size="sm", min_width=40)
                self.number = words.make(
                    gr.Number,
                    label="ui.preview.row",
                    value=1,
                    precision=0,
                    show_label=False,
                    container=False,
                    min_width=64,
                    elem_id="row",
                )
                self.following = words.button("ui.preview.next", size="sm", min_width=40)
            with gr.Row(elem_classes="jumps"):
                self.jumps = {
                    name: words.button(f"ui.preview.{name}", size="sm", min_width=72, elem_id=f"jump-{name}")
                    for name in JUMPS
                }
            self.spans = gr.HTML(elem_id="spans", visible=False)
            self.caption = words.make(
                gr.HTML,
                text="ui.preview.empty",
                frame='<div class="placeholder"><p class="empty">{}</p></div>',
                elem_id="caption",
            )
            self.get_model = words.button("ui.model.get", visible=False, elem_id="get-model")
            self.raw = gr.HTML(elem_id="raw", visible=False)


class Health:
    """What the scan of all rows tells."""

    def __init__(self, words: Words, form: Form):
        """Build the card inside the current Blocks; the parameters are those of `DataTab`."""
        with gr.Column(elem_classes="card"):
            with gr.Row(elem_classes="card-head", equal_height=True):
                words.heading("ui.health.title")
                self.cancel = words.button("ui.health.cancel", size="sm", scale=0, visible=False, min_width=96)
            self.progress = gr.HTML(elem_id="scan")
            self.report = words.empty("ui.health.empty", elem_id="health", js_on_load=_ASK)
            with words.make(gr.Accordion, label="ui.health.fixes", open=False):
                form.add("data.fixes")
            with gr.Row(elem_classes="ask"):
                self.written = gr.HTML(elem_id="written")
                self.clean = words.button("ui.clean.go", size="sm", scale=0, min_width=220, elem_id="clean")
                self.cleaned = words.make(gr.DownloadButton, label="ui.clean.go", visible="hidden", elem_id="cleaned")
        with gr.Column(elem_classes="card"), words.fold("ui.lengths.title"):
            self.lengths = words.empty("ui.lengths.empty", elem_id="lengths")


class DataTab:
    """The tab: a source, what was found in it, and what the model will see of it."""

    def __init__(self, words: Words, form: Form, base: RunConfig):
        """Build the tab inside the current Blocks; `base` is what a first visit sees."""
        self.language, self.form = words.language, form
        for path in _SERVER_SIDE:
            section, name = path.split(".")[1:]
            form.adopt(path, gr.State(getattr(getattr(base.data, section), name)))
        with gr.Row(elem_classes="columns", elem_id="data-columns"):
            with gr.Column(scale=4, min_width=320):
                self.source = Source(words, base)
                self.detected = _detected_card(words, form)
                self.variant = _prompt(words, form)
                self.split = Split(words, form, base)
            with gr.Column(scale=7, min_width=320):
                self.row = Row(words)
                self.health = Health(words, form)
                with gr.Column(elem_classes="card"), words.fold("ui.rows.title"):
                    self.table = words.empty("ui.rows.empty", elem_id="rows")
        with gr.Row(elem_classes="next"):
            self.blocked = gr.HTML(elem_id="blocked")
            self.go_on = words.button("ui.data.continue", variant="primary", scale=0, min_width=240)
        self.state, self.checked = gr.State(DataState()), gr.State(Checked())
        nothing = DataState()
        self.of_row = list(self.render_row(nothing))
        """What changes with the row that is shown."""
        self.of_scan = list(self.render_report(nothing, Checked()))
        """What changes with the report about all rows."""
        self.rendered = list(self.render(nothing, Checked()))
        """What shows a source: its format, a row, and the report."""

    @property
    def of_source(self) -> list[Any]:
        """The controls that show the settings' source and split."""
        source = self.source
        chosen = [source.kind, source.bundled, source.encoding, source.sheet, source.hub_id, source.revision]
        return [*chosen, self.split.kind]

    def render(self, state: DataState, checked: Checked) -> dict[Any, Any]:
        """Return what shows all of a source."""
        return self.render_detected(state) | self.render_row(state) | self.render_report(state, checked)

    def render_detected(self, state: DataState) -> dict[Any, Any]:
        """Return what was found in the source."""
        notes = "".join(views.paragraph(message, self.language) for message in state.notes)
        return {
            self.detected: box(state.failure, self.language) or notes or views.empty("ui.found.empty", self.language)
        }

    def render_row(self, state: DataState) -> dict[Any, Any]:
        """Return the row that is shown, with the table and the columns around it."""
        preview, language = state.preview, self.language
        changes = {
            self.row.get_model: gr.update(visible=state.model_missing),
            self.table: row_views.table_html(state, language),
            self.source.structure: row_views.structure_html(state, language),
            self.row.raw: gr.update(visible=False),
            self.row.spans: gr.update(visible=False),
        }
        if preview is not None:
            changes[self.row.raw] = gr.update(
                value=row_views.raw_row(preview.row, state.columns, language), visible=True
            )
        if preview is not None and preview.problem is None:
            spans = row_views.answers_html(preview, language)
            line = row_views.tokens_line(preview.tokens, preview.trained, preview.ends, language)
            notes = "".join(views.paragraph(note, language, "hint") for note in preview.notes)
            return {**changes, self.row.spans: gr.update(value=spans, visible=True), self.row.caption: line + notes}
        if preview is not None:
            words = views.paragraph(preview.problem, language, "bad")
        else:
            waits = "ui.preview.waiting" if state.columns else "ui.preview.empty"
            key = "ui.model.missing" if state.model_missing else waits
            words = box(state.preview_failure, language) or views.empty(key, language)
        return {**changes, self.row.caption: f'<div class="placeholder">{words}</div>'}

    def render_report(self, state: DataState, checked: Checked) -> dict[Any, Any]:
        """Return the report about all rows; without one, what will be there."""
        health, language = self.health, self.language
        changes = {
            health.progress: "",
            health.cancel: gr.update(visible=False),
            health.report: box(checked.failure, language)
            or health_views.health_html(checked, language) + style_views.words_of_data(checked.style, language),
            health.lengths: health_views.lengths_html(checked, language),
            health.written: health_views.written_html(checked, language),
            self.split.status: health_views.split_html(checked, language),
            self.blocked: health_views.blocked_html(state, checked, language),
            self.go_on: gr.update(interactive=not health_views.blocks(state, checked)),
        }
        if state.rows is None and checked.report is not None:
            changes[self.source.structure] = row_views.structure_html(state, language, checked.report.rows)
        return changes

    def render_progress(self, share: float | None) -> dict[Any, Any]:
        """Return how far the scan is; what was found before stays until it is done."""
        return {
            self.health.progress: health_views.progress_html(share, self.language),
            self.health.cancel: gr.update(visible=True),
        }

    def render_source(self, config: RunConfig) -> dict[Any, Any]:
        """Return what makes the controls show the settings' source and split."""
        chosen, controls = config.data.source, self.source
        updates: dict[Any, Any] = {controls.kind: chosen.kind, self.split.kind: config.data.validation.kind}
        updates |= {controls.encoding: chosen.encoding, controls.sheet: chosen.sheet}
        if chosen.kind == "bundled":
            updates[controls.bundled] = chosen.name
        if chosen.kind == "hub":
            updates |= {controls.hub_id: chosen.name, controls.revision: chosen.revision or ""}
        return updates

    def render_columns(self, state: DataState, chosen: Any) -> dict[Any, Any]:
        """Return what puts the table's columns, and the mapping that is in use, into the mapping's controls.

        Where the table cannot be read, the columns are those that the mapping names.
        """
        names = [column.name for column in state.columns] or (chosen.columns if chosen else [])
        values = chosen.model_dump() if chosen else {"shape": "pair", "prompt": (), "joiner": "\n", "joined": "prompt"}
        roles = ", ".join(f"{name}: {role}" for name, role in (values.get("roles") or {}).items())
        parts = self.form.parts
        updates = {
            parts[MAPPING + "shape"]: gr.update(value=values["shape"]),
            parts[MAPPING + "prompt"]: gr.update(choices=names, value=list(values["prompt"])),
            parts[MAPPING + "joiner"]: gr.update(value=values["joiner"]),
            parts[MAPPING + "joined"]: gr.update(value=values["joined"]),
            parts[MAPPING + "roles"]: gr.update(value=roles),
            parts[MAPPING + "marks"]: gr.update(value=values.get("marks", "follow")),
            parts[VALIDATION + "group"]: gr.update(choices=names),
        }
        for name in ("completion", "system", "history", "messages", "text"):
            updates[parts[MAPPING + name]] = gr.update(choices=names, value=values.get(name))
        return merged(updates, self.render_shape(values["shape"]))

    def render_shape(self, chosen: str) -> dict[Any, Any]:
        """Return what leaves only the controls visible that the shape of a row has a use for."""
        names = dict.fromkeys(name for names in _OF_SHAPE.values() for name in names)
        return {self.form.parts[MAPPING + name]: gr.update(visible=name in _OF_SHAPE[chosen]) for name in names}


def _chosen(words: Words, path: str, **settings: Any) -> gr.Radio:
    """Make a control that proposes the setting at `path`, and is not part of the form."""
    options = {option: f"config.{path}.options.{option}" for option in choices(_FIELDS[path])}
    settings |= {"label": f"config.{path}.title", "info": f"config.{path}.help", "elem_classes": class_of(path)}
    return words.make(gr.Radio, choices=options, **settings)


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
