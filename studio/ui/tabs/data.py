"""The Data tab: where the rows come from, what was found in them, and what the model will see of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import presets
from studio.config import RunConfig
from studio.i18n import text
from studio.ui import look as looks
from studio.ui import views
from studio.ui.failures import box, shown
from studio.ui.form import MAPPING, Form, read
from studio.ui.frame import Frame
from studio.ui.look import Look
from studio.ui.words import Words

FILE_TYPES = [".csv", ".tsv", ".json", ".jsonl"]


@dataclass(frozen=True)
class DataTab:
    """The tab's components that handlers read or change."""

    look: gr.State
    bundled: gr.Radio
    upload: gr.File
    found: gr.HTML
    row: gr.Number
    previous: gr.Button
    following: gr.Button
    anywhere: gr.Button
    spans: gr.HighlightedText
    caption: gr.HTML
    get_model: gr.Button
    health: gr.HTML
    table: gr.Dataframe
    go_on: gr.Button


def build(words: Words, form: Form, base: RunConfig) -> DataTab:
    """Build the tab inside the current Blocks; `base` is what a first visit sees."""
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=4, min_width=320):
            bundled, upload = _source(words, form, base)
            found = _found(words, form)
            _prompt(words, form)
        with gr.Column(scale=7, min_width=320):
            row, previous, following, anywhere, spans, caption, get_model = _preview(words)
            with gr.Column(elem_classes="card"):
                words.heading("ui.health.title")
                health = words.make(gr.HTML, text="ui.health.empty", frame='<p class="empty">{}</p>', elem_id="health")
            with gr.Column(elem_classes="card"):
                words.heading("ui.rows.title")
                table = words.make(
                    gr.Dataframe,
                    label="ui.rows.title",
                    show_label=False,
                    interactive=False,
                    wrap=True,
                    max_height=320,
                    buttons=[],
                    elem_id="rows",
                )
    with gr.Row(elem_classes="next"):
        go_on = words.make(gr.Button, text="ui.data.continue", variant="primary", scale=0, min_width=240)
    return DataTab(
        look=gr.State(Look()),
        bundled=bundled,
        upload=upload,
        found=found,
        row=row,
        previous=previous,
        following=following,
        anywhere=anywhere,
        spans=spans,
        caption=caption,
        get_model=get_model,
        health=health,
        table=table,
        go_on=go_on,
    )


def _source(words: Words, form: Form, base: RunConfig) -> tuple[gr.Radio, gr.File]:
    with gr.Column(elem_classes="card"):
        words.heading("ui.source.title")
        form.add("data.source.kind")
        form.adopt("data.source.name", gr.State(base.data.source.name))
        names = presets.data_sets()
        bundled = words.make(
            gr.Radio, label="ui.source.bundled", fixed_choices=names, value=names[0] if names else None
        )
        upload = words.make(
            gr.File, label="ui.source.upload", file_types=FILE_TYPES, height=132, visible=False, elem_id="upload"
        )
        form.add("data.limit")
    return bundled, upload


def _found(words: Words, form: Form) -> gr.HTML:
    with gr.Column(elem_classes="card"):
        words.heading("ui.found.title")
        found = words.make(gr.HTML, text="ui.found.empty", frame='<p class="empty">{}</p>', elem_id="found")
        with words.make(gr.Accordion, label="ui.found.change", open=False):
            form.add(MAPPING + "shape")
            form.add(MAPPING + "prompt", gr.Dropdown, multiselect=True, fixed_choices=[])
            for name in ("completion", "system", "messages"):
                form.add(MAPPING + name, gr.Dropdown, fixed_choices=[])
    return found


def _prompt(words: Words, form: Form) -> None:
    with gr.Column(elem_classes="card"):
        words.heading("ui.prompt.title")
        form.add("data.prompt.style")
        form.add("data.prompt.template", lines=3, visible=False)
        form.add("data.prompt.system", lines=2)
        with gr.Row():
            form.add("data.max_length")
            form.add("data.validation")


def _preview(words: Words) -> tuple[Any, ...]:
    with gr.Column(elem_classes="card"):
        with gr.Row(elem_classes="card-head", equal_height=True):
            words.heading("ui.preview.title")
            with gr.Row(elem_classes="stepper", equal_height=True):
                previous = words.make(gr.Button, text="ui.preview.previous", size="sm", min_width=40)
                row = words.make(
                    gr.Number,
                    label="ui.preview.row",
                    value=1,
                    precision=0,
                    show_label=False,
                    container=False,
                    min_width=64,
                    elem_id="row",
                )
                following = words.make(gr.Button, text="ui.preview.next", size="sm", min_width=40)
                anywhere = words.make(gr.Button, text="ui.preview.random", size="sm", min_width=80)
        spans = words.make(
            gr.HighlightedText,
            label="ui.preview.title",
            show_label=False,
            show_legend=True,
            show_inline_category=False,
            color_map=views.colours(views.LABEL_COLOURS, "ui.tokens"),
            elem_id="spans",
            elem_classes="stream",
            visible=False,
        )
        caption = words.make(
            gr.HTML,
            text="ui.preview.empty",
            frame='<div class="placeholder"><p class="empty">{}</p></div>',
            elem_id="caption",
        )
        get_model = words.make(gr.Button, text="ui.model.get", visible=False, elem_id="get-model")
    return row, previous, following, anywhere, spans, caption, get_model


def render(tab: DataTab, look: Look, language: str) -> dict[Any, Any]:
    """Return what makes the tab show `look` in `language`."""
    told = "".join(views.paragraph(message, language) for message in look.told)
    updates: dict[Any, Any] = {
        tab.found: box(look.failure, language) or told or views.empty("ui.found.empty", language),
        tab.get_model: gr.update(visible=look.model_missing),
        tab.table: _table(look, language),
        tab.health: _health(look, language),
    }
    return updates | _shown_row(tab, look, language)


def _table(look: Look, language: str) -> dict[str, Any]:
    headers = ["#", *look.columns]
    return gr.update(value={"headers": headers, "data": views.table_rows(look.rows, look.columns)})


def _health(look: Look, language: str) -> str:
    if look.report is None:
        return box(look.report_failure, language) or views.empty("ui.health.empty", language)
    report = look.report
    problems = [(problem.level, problem.message) for problem in report.problems]
    return views.problems_html(report.rows, report.usable, problems, language)


def _shown_row(tab: DataTab, look: Look, language: str) -> dict[Any, Any]:
    preview = look.preview
    if preview is not None and preview.problem is None:
        colours = views.colours(views.LABEL_COLOURS, "ui.tokens", language)
        spans = gr.update(value=views.labelled(preview.spans, language), color_map=colours, visible=True)
        return {
            tab.spans: spans,
            tab.caption: views.tokens_line(preview.tokens, preview.trained, preview.ends, language),
        }
    if preview is not None:
        words = views.paragraph(preview.problem, language, "bad")
    else:
        waiting = "ui.preview.waiting" if look.columns else "ui.preview.empty"
        empty = views.empty("ui.model.missing" if look.model_missing else waiting, language)
        words = box(look.preview_failure, language) or empty
    return {tab.spans: gr.update(visible=False), tab.caption: f'<div class="placeholder">{words}</div>'}


def connect(tab: DataTab, frame: Frame) -> Callable[[Any], Any]:
    """Connect the tab's events; returns a function that reads the data set again after an event."""
    form, parts = frame.form, frame.form.parts
    mapping = [part for path, part in parts.items() if path.startswith(MAPPING)]
    shown_parts = [tab.look, tab.found, tab.get_model, tab.table, tab.health, tab.spans, tab.caption]

    @shown
    def read_source(language: str, base: RunConfig, bundled: str, upload: str | None, *values: Any) -> dict[Any, Any]:
        settings = form.values(values)
        kind = settings["data.source.kind"]
        name = looks.source_name(kind, bundled, upload, base)
        visible = {tab.bundled: gr.update(visible=kind == "bundled"), tab.upload: gr.update(visible=kind == "file")}
        if name is None:
            look = Look()
            return {tab.look: look, parts["data.source.name"]: "", **visible, **render(tab, look, language)}
        look, columns = looks.read(read({**settings, "data.source.name": name}, base), base)
        return {
            tab.look: look,
            parts["data.source.name"]: name,
            tab.row: 1,
            **visible,
            **_columns(parts, look, columns),
            **render(tab, look, language),
        }

    @shown
    def show_row(language: str, base: RunConfig, look: Look, row: float | None, *values: Any) -> dict[Any, Any]:
        if not look.columns:
            return {tab.look: look}
        look, number = looks.preview(look, lambda: form.read(values, base), int(row or 1))
        return {tab.look: look, tab.row: number, **_shown_row(tab, look, language)} | {
            tab.get_model: gr.update(visible=look.model_missing)
        }

    @shown
    def check_rows(language: str, base: RunConfig, look: Look, *values: Any) -> dict[Any, Any]:
        if not look.columns:
            return {tab.look: look}
        look = looks.check(look, lambda: form.read(values, base))
        return {tab.look: look, tab.health: _health(look, language)}

    @shown
    def fetch_model(language: str, progress: gr.Progress = gr.Progress()) -> None:
        from studio.model import builtin

        builtin.fetch(lambda share: progress(share, desc=text("phase.fetching", language)))

    quiet = {"show_progress": "hidden", "api_visibility": "undocumented"}

    def look_again(event: Any) -> Any:
        event = event.then(
            show_row,
            [frame.language, frame.base, tab.look, tab.row, *form.components],
            [tab.look, tab.row, tab.spans, tab.caption, tab.get_model],
            **quiet,
        )
        return event.then(
            check_rows, [frame.language, frame.base, tab.look, *form.components], [tab.look, tab.health], **quiet
        )

    def read_again(event: Any) -> Any:
        event = event.then(
            read_source,
            [frame.language, frame.base, tab.bundled, tab.upload, *form.components],
            [*shown_parts, parts["data.source.name"], tab.row, tab.bundled, tab.upload, *mapping],
            **quiet,
        )
        return look_again(event)

    def nothing() -> None:
        """Begin a chain of events."""

    sources = [parts["data.source.kind"].input, tab.bundled.input, tab.upload.upload, tab.upload.clear]
    read_again(gr.on([*sources, parts["data.limit"].blur], nothing, **quiet))
    chosen = [part.input for part in [*mapping, parts["data.prompt.style"]]]
    typed = [parts[f"data.{name}"] for name in ("prompt.template", "prompt.system", "max_length", "validation")]
    look_again(gr.on([*chosen, *(part.blur for part in typed), *(part.submit for part in typed)], nothing, **quiet))
    parts["data.prompt.style"].change(
        lambda style: gr.update(visible=style == "text"),
        parts["data.prompt.style"],
        parts["data.prompt.template"],
        **quiet,
    )
    steps = {tab.previous.click: -1, tab.following.click: 1}
    for event, step in steps.items():
        look_again(event(lambda row, step=step: int(row or 1) + step, tab.row, tab.row, **quiet))
    look_again(tab.anywhere.click(_any_row, tab.look, tab.row, **quiet))
    look_again(tab.row.submit(nothing, **quiet))
    look_again(tab.get_model.click(fetch_model, frame.language, tab.caption, api_visibility="undocumented"))
    return read_again


def _columns(parts: dict[str, Any], look: Look, chosen: Any) -> dict[Any, Any]:
    """Return what puts the table's columns, and the mapping that is in use, into the mapping's dropdowns."""
    columns = list(look.columns)
    values = chosen.model_dump() if chosen else {"shape": "pair", "prompt": ()}
    updates = {parts[MAPPING + "shape"]: gr.update(value=values["shape"])}
    updates[parts[MAPPING + "prompt"]] = gr.update(choices=columns, value=list(values["prompt"]))
    for name in ("completion", "system", "messages"):
        updates[parts[MAPPING + name]] = gr.update(choices=columns, value=values.get(name))
    return updates


def _any_row(look: Look) -> int:
    rows = look.preview.rows if look.preview else len(look.rows)
    return random.randint(1, max(rows, 1))
