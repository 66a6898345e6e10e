"""The choice of the base model on the Train tab: what is here, what is known of any other, and fetching it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.context import Context

from studio.config import BUILTIN_MODEL, ModelConfig
from studio.model.catalogue import ModelFacts
from studio.ui import launch, model_views, scanning, views
from studio.ui.failures import message_of
from studio.ui.form import Form
from studio.ui.frame import Frame
from studio.ui.page import components, view
from studio.ui.words import Words

_SLOT = scanning.Slot("model")


class ModelChoice:
    """The controls under the model's name."""

    def __init__(self, words: Words, form: Form):
        """Build the controls inside the current Blocks."""
        self.language = words.language
        form.add(
            "model.id",
            gr.Dropdown,
            choices=[BUILTIN_MODEL],
            allow_custom_value=True,
            filterable=True,
            elem_id="model",
        )
        self.status = gr.HTML(elem_id="model-said")
        self.token = words.secret("ui.hub.token", info="ui.model.token_help", visible=False, elem_id="model-token")
        with gr.Row(elem_classes="ask", elem_id="model-fetch"):
            self.progress = gr.HTML(elem_id="model-progress")
            self.fetch = words.button("ui.model.fetch", size="sm", scale=0, min_width=140, visible=False)
            self.cancel = words.button("ui.model.cancel", size="sm", scale=0, min_width=96, visible=False)
        self.facts = gr.State(None)
        self.outputs = components(self)

    def connect(self, frame: Frame) -> None:
        """Connect the events; the Hub is asked when the choice has changed, not at each keystroke."""
        language = self.language
        model, revision = (frame.form.parts[f"model.{name}"] for name in ("id", "revision"))
        root = Context.root_block
        assert root is not None

        @view(self.facts)
        def describe_model(request: gr.Request, model_id: str, revision: str, token: str) -> Iterator[dict[Any, Any]]:
            from studio.model import catalogue

            config = _config(model_id, revision)
            if config is not None and config == scanning.subject(_SLOT.of(request)):  # it is being fetched
                yield {self.progress: gr.skip()}
                return
            scanning.drop(_SLOT.of(request))  # a fetch of the model that was chosen before
            if config is None:
                yield {self.facts: None, self.status: views.hint("ui.model.empty", language), **_idle(None)}
                return
            facts = catalogue.describe_here(config)
            if facts is None:
                yield {self.status: views.waiting("ui.model.asking", language), **_idle(None)}
                facts = catalogue.describe(config, (token or "").strip() or None)
            yield _show(facts)

        def offer_models() -> dict[str, Any]:
            return gr.update(choices=_offered(language))

        def pull_model(
            request: gr.Request, facts: ModelFacts, model_id: str, revision: str, token: str
        ) -> Iterator[dict[Any, Any]]:
            from studio.model import catalogue

            config = _config(model_id, revision)
            if config is None:
                return
            clean_token = (token or "").strip() or None
            if facts.bytes is None:  # what the Hub would not tell without the token
                facts = catalogue.describe(config, clean_token)
                if facts.where == "nowhere":
                    yield _show(facts)
                    return
            work = scanning.begin(
                _SLOT.of(request), lambda on_progress: _fetch(config, on_progress, clean_token), config
            )
            yield {
                self.facts: facts,  # what an earlier look at the model shows is late
                self.progress: model_views.progress(0.0, facts, language),
                self.fetch: gr.update(visible=False),
                self.cancel: gr.update(visible=True),
            }
            for share in scanning.follow(_SLOT.of(request), work):
                yield {self.progress: model_views.progress(share, facts, language)}
            if work.error is None:
                here = catalogue.describe(config)
                yield {**_show(here), self.token: gr.update(value="", visible=False)}
            else:
                problem = facts.problem if work.cancelled else message_of(work.error)
                note = views.hint("ui.model.cancelled", language) if work.cancelled else ""
                yield {**_show(replace(facts, problem=problem)), self.progress: note}

        def _show(facts: ModelFacts) -> dict[Any, Any]:
            return {self.facts: facts, self.status: model_views.facts(facts, language), **_idle(facts)}

        def _idle(facts: ModelFacts | None) -> dict[Any, Any]:
            missing = facts is not None and not facts.here
            return {
                self.token: gr.update(visible=missing and facts.where != "builtin"),
                self.fetch: gr.update(visible=missing),
                self.cancel: gr.update(visible=False),
                self.progress: "",
            }

        model_inputs = [model, revision, self.token]
        chosen = [model.change, revision.blur, revision.submit, self.token.submit, root.load]
        gr.on(chosen, describe_model, model_inputs, self.outputs)
        root.load(offer_models, None, model)
        fetched = self.fetch.click(pull_model, [self.facts, *model_inputs], self.outputs)
        fetched.then(offer_models, None, model)
        self.cancel.click(_SLOT.cancel, None, None)


def _config(model_id: str | None, revision: str | None) -> ModelConfig | None:
    """Return the settings of the model that is named; None while none is. Raises ModelError for a folder of others."""
    if not (name := (model_id or "").strip()):
        return None
    launch.refuse_folder(name)
    return ModelConfig(id=name, revision=(revision or "").strip() or None)


def _offered(language: str) -> list[tuple[str, str]]:
    from studio.model import catalogue

    return [model_views.choice(model, language) for model in catalogue.cached() if model.loadable]


def _fetch(config: ModelConfig, on_progress: scanning.OnProgress, token: str | None) -> None:
    from studio.model import load

    load.fetch(config, on_progress, token)
