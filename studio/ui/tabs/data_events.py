"""The Data tab's events: a source is read, a row shown, and all rows scanned in the background."""

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from studio import presets
from studio.config import Fix, RunConfig, SourceConfig
from studio.errors import DataError, StudioError
from studio.i18n import text
from studio.ui import data_state, launch, scanning, templates, uploads
from studio.ui.data_state import Checked, DataState
from studio.ui.failures import ending, message_of
from studio.ui.form import MAPPING, from_component, to_values
from studio.ui.frame import Frame
from studio.ui.page import components, view
from studio.ui.tabs.data import SOURCE, SOURCE_NAMES, VALIDATION, DataTab

_SHARED = {"concurrency_limit": 8}
"""Several sessions read and scan at once."""
_LAST = {"trigger_mode": "always_last"}
"""A change during the event before it is not lost, as it is by default: the event comes once more."""
_EACH = {"trigger_mode": "multiple"}
"""Each change begins the event at once; its work takes the place of the work before it (`scanning.begin`)."""
_DOWNLOAD = "(said) => { if (said) setTimeout(() => document.querySelector('#cleaned').click(), 300); }"


def in_use(settings: dict[str, Any]) -> SourceConfig:
    """Return the source that the form's values name; it may have no name yet."""
    return SourceConfig.model_construct(**{name: settings[SOURCE + name] or None for name in SOURCE_NAMES})


def mapped(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the mapping's values by field name."""
    return {path.removeprefix(MAPPING): value for path, value in settings.items() if path.startswith(MAPPING)}


def connect(tab: DataTab, frame: Frame, preset: gr.Radio) -> tuple[Callable[..., Any], gr.State]:
    """Connect the tab's events; returns what reads the data set again after an event, and a state.

    The state changes when rows of the user's own (`is_own`) have got a recipe of their own. `preset` is the control
    that names the preset in use.
    """
    language = frame.language
    form, parts = frame.form, frame.form.parts
    controls, row, health = tab.source, tab.row, tab.health
    sources = {name: parts[SOURCE + name] for name in SOURCE_NAMES}
    mapping = [part for path, part in parts.items() if path.startswith(MAPPING)]

    def read_source(
        request: gr.Request,
        base: RunConfig,
        kind: str,
        bundled: str,
        upload: str | None,
        encoding: str | None,
        sheet: str | None,
        *values: Any,
    ) -> dict[Any, Any]:
        _drop(request)
        settings = form.values(values)
        before = in_use(settings)
        source = data_state.source(kind, bundled, upload, before, base)
        if source.kind == "file" and source.name == before.name:
            source = source.model_copy(update={"encoding": encoding or None, "sheet": sheet or None})
        updates = {part: getattr(source, name) for name, part in sources.items()} | {
            controls.bundled: gr.update(visible=kind == "bundled"),
            controls.upload: gr.update(visible=kind == "file"),
            controls.path: gr.update(visible=kind == "file" and launch.is_local()),
            controls.formats: gr.update(visible=kind == "file"),
            controls.encoding: gr.update(value=source.encoding, visible=kind == "file"),
            controls.hub: gr.update(visible=kind == "hub"),
        }
        state, chosen = DataState(), None
        if source.name:
            kept_values = {
                path: from_component(path, value)
                for path, value in settings.items()
                if not path.startswith((MAPPING, SOURCE))
            }
            wanted = {**kept_values, "data.source": source.model_dump(), "data.mapping": None}
            state, chosen = data_state.read(lambda: base.with_settings(wanted), base)
        several = len(state.sheets) > 1 or source.sheet is not None
        updates[controls.sheet] = gr.update(choices=list(state.sheets), value=source.sheet, visible=several)
        page_updates = tab.render(state, Checked())
        _drop(request)  # begun meanwhile
        return (
            {tab.state: state, tab.checked: Checked(), row.number: 1, **updates}
            | tab.render_columns(state, chosen)
            | page_updates
        )

    def own_recipe(chosen: str | None, base: RunConfig, *values: Any) -> Any:
        """Replace the quickstart's recipe by the one for the user's own rows, with its model and what the user changed.

        So it does with any other recipe once that one is `chosen`; the model is the built-in one then.
        """
        settings = form.values(values)
        source = in_use(settings)
        is_replaced = base.preset in (presets.QUICKSTART, presets.OWN)
        if not (is_replaced or chosen == presets.OWN) or source.kind == "bundled" or not source.name:
            return gr.skip()
        before = to_values(base)
        changed = {
            path: from_component(path, value)
            for path, value in settings.items()
            if not path.startswith((MAPPING, SOURCE))
            and from_component(path, value) != from_component(path, before[path])
        }
        recipe = presets.own(source, uploads.title(source))
        config = recipe.with_settings(({"model": base.model.model_dump()} if is_replaced else {}) | changed)
        updates = {form.parts[path]: value for path, value in to_values(config).items() if path in setting_paths}
        return {frame.base: config, preset: presets.OWN, own: uuid.uuid4().hex, **updates}

    @ending(language)
    def take_path(typed: str) -> dict[Any, Any]:
        if not launch.is_local():
            raise DataError("ui.no_paths")
        path = Path(typed.strip()).expanduser()
        if not path.is_file():
            raise DataError("data.no_file", path=typed)
        chosen = {sources["kind"]: "file", sources["name"]: str(path.resolve())}
        return {**chosen, controls.upload: None, controls.encoding: None, controls.sheet: None}

    def _drop(request: gr.Request) -> None:
        """End what goes on about rows that are not shown any more."""
        for work in (str(request.session_hash), _of_row(request)):
            scanning.drop(work)

    @view(tab.state)
    def show_row(request: gr.Request, base: RunConfig, state: DataState, number: float | None, *values: Any) -> Any:
        if not state.columns or state.file_format == "hub":
            return gr.skip()
        state = data_state.using(state, mapped(form.values(values)))
        work = scanning.begin(
            _of_row(request),
            lambda on_progress: data_state.preview(state, lambda: form.read_rows(values, base), int(number or 1)),
        )
        for _ in scanning.follow(_of_row(request), work):
            pass
        if work.error:
            raise work.error
        return {row.number: work.result.row, **tab.render_row(work.result)}

    @view(tab.state)
    def scan(request: gr.Request, base: RunConfig, state: DataState, *values: Any) -> Iterator[dict[Any, Any]]:
        session = str(request.session_hash)
        state = data_state.using(state, mapped(form.values(values)))
        if not state.columns or state.file_format == "hub":
            scanning.cancel(session)
            yield {tab.checked: Checked()} | tab.render_report(state, Checked())
            return
        try:
            config = form.read_rows(values, base)
        except Exception as error:  # shown in the place of the report
            scanning.cancel(session)
            checked = Checked(failure=message_of(error))
            yield {tab.checked: checked} | tab.render_report(state, checked)
            return
        work = scanning.begin(session, lambda on_progress: _inspect(config, on_progress))
        for share in scanning.follow(session, work):
            yield tab.render_progress(share)
        failure = message_of(work.error) if work.error and not work.cancelled else None
        checked = Checked(work.result, failure, work.cancelled, config.train.length_grouping, style=_style(config))
        yield {tab.checked: checked} | tab.render_report(state, checked)

    def clean(
        request: gr.Request, base: RunConfig, state: DataState, checked: Checked, *values: Any
    ) -> Iterator[dict[Any, Any]]:
        yield {health.written: "", tab.checked: replace(checked, written=None)}
        if not state.columns or state.file_format == "hub":
            raise DataError("ui.no_data")
        config = form.read(values, base)
        session = f"{request.session_hash} clean"
        work = scanning.begin(session, lambda on_progress: _clean(config, str(request.session_hash), on_progress))
        for share in scanning.follow(session, work):
            yield {health.progress: tab.render_progress(share)[health.progress]}
        yield {health.progress: ""}
        if work.error:
            raise work.error
        path, rows = work.result
        checked = replace(checked, written=rows)
        yield {
            tab.checked: checked,
            health.cleaned: gr.update(value=path),
            health.written: tab.render_report(state, checked)[health.written],
        }

    def cancel(request: gr.Request) -> None:
        scanning.cancel(str(request.session_hash))

    def jump(state: DataState, checked: Checked, kind: str) -> Any:
        if kind == "random":
            counted = state.rows or (checked.report and checked.report.rows) or len(state.cells)
            return random.randint(1, max(counted, 1))
        number = data_state.jump(kind, checked.report)
        if number is None:
            raise DataError("ui.no_report")
        return number

    def row_of_problem(event: gr.EventData) -> Any:
        number = str(event._data.get("row", "")) if isinstance(event._data, dict) else ""
        return int(number) if number.isdecimal() else gr.skip()

    def mend(fixes: list[str], event: gr.EventData) -> Any:
        """Add the fix that a problem offers, or take it back."""
        wanted = event._data.get("fix") if isinstance(event._data, dict) else None
        if wanted not in get_args(Fix):
            return gr.skip()
        return [fix for fix in fixes if fix != wanted] if wanted in fixes else [*fixes, wanted]

    def fill_template(name: str | None, style: str, template: str, *values: Any) -> Any:
        if style != "text" or (name is None and template):
            return gr.skip()
        chosen = mapped(form.values(values))
        return templates.template(name or templates.OWN, chosen["prompt"] or [], chosen["joined"], chosen["completion"])

    def fetch_model(base: RunConfig, *values: Any, progress: gr.Progress = gr.Progress()) -> None:
        from studio.model import load

        load.fetch(form.read(values, base).model, lambda share: progress(share, desc=text("phase.fetching", language)))

    setting_paths = [path for path in form.parts if not path.startswith((MAPPING, SOURCE))]
    own = gr.State(None)
    recipe = [frame.base, preset, own, *(form.parts[path] for path in setting_paths)]
    settings = [frame.base]

    def show_again(event: Any) -> Any:
        outputs = [row.number, *tab.of_row]  # not the look: it would come back while another source is read
        return event.then(show_row, [*settings, tab.state, row.number, *form.components], outputs, **_SHARED, **_EACH)

    def scan_again(event: Any) -> Any:
        outputs = [tab.checked, *tab.of_scan, controls.structure]
        inputs = [*settings, tab.state, *form.components]
        return event.then(scan, inputs, outputs, **_EACH)

    def show_and_scan(event: Any) -> Any:
        return scan_again(show_again(event))

    def read_again(event: Any, is_own: bool = False) -> Any:
        source_inputs = [controls.kind, controls.bundled, controls.upload, controls.encoding, controls.sheet]
        inputs = [*settings, *source_inputs, *form.components]
        parts_to_show = [*components(controls), parts[VALIDATION + "group"], row.number]
        outputs = [tab.state, tab.checked, *sources.values(), *parts_to_show, *mapping, *tab.rendered]
        read = event.success(read_source, inputs, list(dict.fromkeys(outputs)), **_SHARED, **_LAST)
        if is_own:
            read = read.then(own_recipe, [preset, *frame.config_inputs], recipe, **_LAST)
        return show_and_scan(read)

    def nothing() -> None:
        """Begin a chain of events."""

    chosen_again = [part.input for part in (controls.kind, controls.bundled, controls.encoding, controls.sheet)]
    read_again(gr.on([*chosen_again, controls.upload.clear], nothing))
    # what was chosen for the file before is forgotten at once, in the browser: another event may read this one too
    forget = controls.upload.upload(None, None, [controls.encoding, controls.sheet], js="() => [null, null]")
    read_again(forget, is_own=True)
    source_inputs = [sources["kind"], sources["name"], controls.upload, controls.encoding, controls.sheet]
    read_again(controls.path.submit(take_path, [controls.path], source_inputs), is_own=True)
    names = ("prompt.style", "pick", "train_on", "turns", "fixes", VALIDATION.split(".")[1] + ".group")
    chosen = [part.input for part in [*mapping, *(parts[f"data.{name}"] for name in names)]]
    typed = [
        parts[f"data.{name}"]
        for name in ("prompt.template", "prompt.system", "max_length", "limit", "seed", "validation.fraction")
    ]
    filled = parts["data.prompt.style"].input(
        fill_template,
        [gr.State(None), parts["data.prompt.style"], parts["data.prompt.template"], *form.components],
        parts["data.prompt.template"],
    )
    show_and_scan(filled)
    show_and_scan(
        tab.variant.input(
            fill_template,
            [tab.variant, parts["data.prompt.style"], parts["data.prompt.template"], *form.components],
            parts["data.prompt.template"],
        )
    )
    chosen.remove(parts["data.prompt.style"].input)
    changed = [*chosen, *(part.blur for part in typed), *(part.submit for part in typed)]
    show_and_scan(gr.on(changed, nothing))
    parts["data.prompt.style"].change(
        lambda style: [gr.update(visible=style == "text")] * 2,
        parts["data.prompt.style"],
        [parts["data.prompt.template"], tab.variant],
    )
    parts[MAPPING + "shape"].change(tab.render_shape, parts[MAPPING + "shape"], mapping)
    for event, by in {row.previous.click: -1, row.following.click: 1}.items():

        def go_on(state: DataState, number: float | None, by: int = by) -> int:
            return data_state.step(state, int(number or 1), by)

        show_again(event(go_on, [tab.state, row.number], row.number))
    for kind, button in row.jumps.items():
        job_inputs = [tab.state, tab.checked, gr.State(kind)]
        show_again(button.click(jump, job_inputs, row.number))
    show_again(row.number.submit(nothing, **_LAST))
    show_again(health.report.select(row_of_problem, None, row.number))
    show_and_scan(health.report.click(mend, parts["data.fixes"], parts["data.fixes"]))
    show_and_scan(row.get_model.click(fetch_model, [*settings, *form.components], row.caption))
    health.cancel.click(cancel, None, None)
    cleaned = health.clean.click(
        clean,
        [*settings, tab.state, tab.checked, *form.components],
        [tab.checked, health.progress, health.cleaned, health.written],
    )
    cleaned.then(None, health.written, None, js=_DOWNLOAD)
    from studio.ui.tabs import data_sources

    data_sources.connect(tab, frame, read_again, show_and_scan)
    return read_again, own


def _of_row(request: gr.Request) -> str:
    return f"{request.session_hash} row"


def _inspect(config: RunConfig, on_progress: scanning.OnProgress) -> Any:
    from studio.data import prepare

    return prepare.inspect(config, on_progress)


def _style(config: RunConfig) -> Any:
    """Return the run and the report of the meter that has measured the style of these rows; None without one."""
    from studio.style import style_store

    try:
        mapping = config.data.mapping
        return mapping and style_store.of_rows(config.data, mapping.model_dump(mode="json"))
    except (StudioError, OSError):  # said where the rows are shown
        return None


def _clean(config: RunConfig, session: str, on_progress: scanning.OnProgress) -> tuple[str, int]:
    """Write the cleaned rows where Gradio may serve them from; return the path and the number of rows."""
    from studio.data import clean

    name = hashlib.sha256(session.encode()).hexdigest()[:16]
    folder = launch.temporary() / f"cleaned-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    source = config.data.source
    stem = "cleaned" if source.kind == "file" else f"{source.name.replace('/', '-')}-cleaned"
    path = folder / f"{stem}.jsonl"
    return str(path), clean.write(config, path, on_progress)
