"""The recipe, on the Train tab: a preset, a model, and every setting that the other tabs do not show."""

import uuid
from collections.abc import Callable
from itertools import groupby
from typing import Any

import gradio as gr

from studio import command, presets
from studio.config import BUILTIN_MODEL, RunConfig, choices, fields, value_of
from studio.errors import StudioError
from studio.ui import preset_choices, recipe_views, settings_file, uploads
from studio.ui.failures import silent
from studio.ui.form import Form, to_values
from studio.ui.frame import Frame
from studio.ui.tabs import model_choice, settings_text
from studio.ui.tabs.data_events import in_use
from studio.ui.tabs.preflight_card import PreflightCard
from studio.ui.tabs.suggesting import SuggestCard
from studio.ui.words import Words, class_of

_FIELDS = dict(fields())
_ASK = (
    "element.addEventListener('click', event => { const asked = event.target.closest('[data-do]');"
    " if (asked) trigger('click', {...asked.dataset}); });"
)
"""Makes the buttons in the list of differences events of their component. Gradio takes data with a `path` for files."""

_SETTLED = """() => {
  clearTimeout(window.formSettled);
  window.formSettled = setTimeout(() => {
    document.querySelector('#keep-draft')?.click();
    document.querySelector('#settled')?.click();
  }, 500);
}"""
"""Presses the hidden buttons once the form has not changed for half a second: filling it changes every component, and a
request for each would keep the browser busy for seconds. The second one is there once the tab was opened; till then
nobody reads what would be said."""
_AS_OF = "(draft, ...values) => [{...draft, at: Date.now()}, ...values]"
_SAVED = "draft => { window.draftKept = draft?.at; }"
"""Tell `page.js` at what time, in milliseconds, the settings that the browser has kept were taken from the form."""


class Recipe:
    """The card's components that handlers read or change."""

    def __init__(self, words: Words, form: Form, preset_name: str | None):
        """Build the card inside the current Blocks."""
        self.language = words.language
        with gr.Column(elem_classes="card"):
            self.suggesting = SuggestCard(words)
            self.preset = words.make(
                gr.Radio,
                label="ui.recipe.preset",
                choices=preset_choices.offered(words.language),
                value=preset_name,
                elem_id="preset",
            )
            self.builtin = words.button("ui.recipe.builtin", size="sm", scale=0, visible=False, elem_id="with-builtin")
            """Loads the preset with the built-in model in the place of its own."""
            self.changed = gr.HTML(elem_id="changed", js_on_load=_ASK)
            rest = [(path, info) for path, info in _FIELDS.items() if path not in form.parts]
            basic = [
                path for path, info in rest if info.json_schema_extra["basic"] and not path.startswith("generation.")
            ]
            form.add("name")
            self.model = model_choice.ModelChoice(words, form)
            _pairs(form, [path for path in basic if path not in ("name", "model.id")])
            with words.make(gr.Accordion, label="ui.recipe.all", open=False):
                self.search = words.make(gr.Textbox, label="ui.recipe.search", max_lines=1, elem_id="search")
                self.matches = gr.HTML(elem_id="matches")
                self.searched = [path for path, _ in rest if path not in basic]
                """Paths of the settings that the search looks through."""
                for section, paths in groupby(self.searched, key=lambda path: path.split(".")[0]):
                    frame = '<h3 class="section">{}</h3>'
                    words.make(gr.HTML, text=f"ui.sections.{section}", frame=frame, elem_classes=f"section-{section}")
                    for path in paths:
                        form.add(path)
                        if path in recipe_views.AUTOMATIC:
                            form.reasons[path] = gr.HTML(elem_classes=class_of(path))
            self.text = settings_text.SettingsText(words)
            self.settled = gr.Button(visible="hidden", elem_id="settled")
        self.loaded = gr.State(None)
        """Changes whenever the form was filled as a whole, after which the data set is to be read again."""

    def connect(
        self,
        card: PreflightCard,
        frame: Frame,
        of_source: list[Any],
        show_source: Callable[[RunConfig | None], dict[Any, Any]],
        own: gr.State,
        chosen: Any,
    ) -> Any:
        """Connect the card's events; returns the one after which the data set is to be read again.

        `own` is as `SuggestCard.connect` takes it. `show_source` makes the controls `of_source` show where the rows of
        a config come from; without a config, they ask for rows of the user's own. `card` is told of every change of
        the form, so that its verdict follows. `chosen` is an event that has set the preset from elsewhere.
        """
        language = self.language
        form = frame.form
        self.model.connect(frame)

        def fill(config: RunConfig, before: RunConfig | None = None) -> dict[Any, Any]:
            """Return what shows a config in the form; where its rows are those of `before`, they are not read again."""
            read_again = {self.loaded: uuid.uuid4().hex} if before is None or before.data != config.data else {}
            return {frame.base: config, **form.show(config), **show_source(config), **read_again}

        filled = list(dict.fromkeys([frame.base, *form.components, *of_source, self.loaded, own]))

        def load(name: str, *values: Any) -> dict[Any, Any]:
            if name != presets.OWN:
                return fill(presets.load(name))
            source = in_use(form.values(values))
            if source.kind == "bundled" or not source.name:
                return {**show_source(None), self.loaded: uuid.uuid4().hex}
            return {**fill(presets.own(source, uploads.title(source))), own: uuid.uuid4().hex}

        def load_builtin(name: str) -> dict[Any, Any]:
            return fill(presets.offline_sample(presets.load(name)))

        def offer_builtin(name: str | None) -> Any:
            return gr.update(visible=name in presets.names() and presets.load(name).model.id != BUILTIN_MODEL)

        def start_of(preset: str | None, config: RunConfig) -> tuple[str, RunConfig]:
            """Return the preset that a config is compared with: its name, and its settings."""
            if preset == presets.OWN:
                return preset, presets.own(config.data.source, uploads.title(config.data.source))
            name = preset or command.nearest_preset(config)
            return name, presets.load(name)

        def reset(event: gr.EventData, base: RunConfig, preset: str | None, *values: Any) -> dict[Any, Any]:
            path = event._data.get("setting") if isinstance(event._data, dict) else None
            config = _read(values, base)
            _, then = start_of(preset, config or base)
            if path in recipe_views.WHOLE:
                config = config or base
                section = value_of(then, path)
                return fill(config.with_settings({path: section and section.model_dump()}), config)
            if path not in form.parts:
                return {self.changed: gr.skip()}
            return {form.parts[path]: gr.update(value=to_values(then)[path])}

        def _read(values: Any, base: RunConfig) -> RunConfig | None:
            try:
                return form.read(values, base)
            except StudioError:
                return None

        def show_changes(
            base: RunConfig, preset: str | None, text: str, written: str, notes: Any, *values: Any
        ) -> dict[Any, Any]:
            config = _read(values, base)
            if config is None:  # the verdict says why
                return {self.changed: gr.skip()}
            chosen = settings_file.as_chosen(config)
            name, start = start_of(preset, chosen)
            return {
                self.changed: recipe_views.differences(preset_choices.title(name, language), start, chosen, language),
                self.text.command: recipe_views.command_line(chosen, language),
                **self.text.note_text(config, text, written, notes),
            }

        @silent
        def keep_draft(draft: dict[str, Any], base: RunConfig, preset: str | None, *values: Any) -> dict[str, Any]:
            config = _read(values, base)
            saved_draft = draft if config is None else {"settings": config.to_yaml(), "preset": preset}
            return {**saved_draft, "at": draft["at"]}

        def find(query: str) -> str:
            return recipe_views.search(query or "", self.searched, language)  # None until the field was on the screen

        def take(text: str) -> dict[Any, Any]:
            config, notes = settings_file.take(text)
            return {**fill(config), self.preset: settings_file.preset_of(config), **self.text.applied(config, notes)}

        choice_inputs = [self.preset, *form.components]
        self.preset.input(load, choice_inputs, filled)
        chosen.then(load, choice_inputs, filled)
        self.builtin.click(load_builtin, self.preset, filled)
        self.preset.change(offer_builtin, self.preset, self.builtin)
        everything = [frame.base, self.preset, *form.components]
        self.changed.click(reset, everything, [*filled, self.changed])
        events = [part.change for part in form.components]
        saving = frame.keep_draft.click(
            keep_draft, [frame.draft, *everything], frame.draft, js=_AS_OF, trigger_mode="always_last"
        )
        saving.then(None, frame.draft, None, js=_SAVED)
        text_outputs = [self.text.text, self.text.written, self.text.notes]
        inputs = [frame.base, self.preset, *text_outputs, *form.components]
        outputs = [self.changed, *self.text.of_form]
        gr.on([*events, self.preset.change], None, None, None, js=_SETTLED)
        asks = [self.settled.click, *([card.tab.select] if card.tab else [])]
        changed = gr.on(asks, show_changes, inputs, outputs, trigger_mode="always_last")
        card.connect(frame, self.model.token, changed)
        self.search.change(find, self.search, self.matches)
        self.text.connect(frame, take, [*filled, self.preset])
        self.suggesting.connect(frame, fill, filled, changed, own)
        return self.loaded.change(lambda: None, None, None)


def _pairs(form: Form, paths: list[str]) -> None:
    """Make settings two in a row; what is chosen from a list stands above them by itself."""
    lists = [path for path in paths if choices(_FIELDS[path])]
    for path in lists:
        form.add(path)
    rest = [path for path in paths if path not in lists]
    for pair in zip(rest[::2], [*rest[1::2], None], strict=False):
        with gr.Row():
            for path in filter(None, pair):
                form.add(path, min_width=120)  # two beside each other on a phone too
