"""The card that trains on a job of the Hugging Face Hub, beside Start on the Train tab."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.config import RunConfig
from studio.errors import ConfigError, RunError, StudioError
from studio.i18n import Message
from studio.remote.record import FLAVOR, TIMEOUT
from studio.ui import remote_views
from studio.ui.failures import box
from studio.ui.following import follow
from studio.ui.frame import Frame
from studio.ui.page import components, view
from studio.ui.words import Words

if TYPE_CHECKING:
    from studio.remote.hub_jobs import HubJobs, Offers
_CONTROL = {
    "errors.remote.flavor": "flavor",
    "errors.remote.timeout": "timeout",
    "errors.remote.no_token": "token",
    "errors.remote.refused": "token",
}
"""The control that an error is about; any other error stands beside the buttons."""


class RemoteCard:
    """What a job takes and costs, and the button that starts it. The token is handed on, and kept nowhere."""

    def __init__(self, words: Words):
        """Build the card, folded, inside the current Blocks."""
        self.language = words.language
        self.failures: dict[str, gr.HTML] = {}
        with words.make(gr.Accordion, label="ui.remote.title", open=False, elem_id="remote-card") as self.card:
            words.hint("ui.remote.about")
            with gr.Row():
                with self._control("flavor"):
                    self.flavor = words.make(
                        gr.Dropdown, label="ui.remote.flavor", choices=[FLAVOR], value=FLAVOR, elem_id="remote-flavor"
                    )
                with self._control("timeout"):
                    self.timeout = words.make(
                        gr.Textbox,
                        label="ui.remote.timeout",
                        value=TIMEOUT,
                        max_lines=1,
                        max_length=20,
                        elem_id="remote-timeout",
                    )
                with self._control("token"):
                    self.token = words.secret("ui.hub.token", info="ui.remote.token_help", elem_id="remote-token")
            self.delete = words.make(gr.Checkbox, label="ui.remote.delete", elem_id="remote-delete")
            self.status = gr.HTML(elem_id="remote-said")
            self._failure("card")
            with gr.Row(elem_classes="actions"):
                self.ask = words.button("ui.remote.ask", min_width=140, elem_id="remote-ask")
                self.start = words.button("ui.remote.start", interactive=False, min_width=200, elem_id="remote-start")
        self.offers = gr.State(None)
        self.outputs = components(self)

    @contextmanager
    def _control(self, name: str) -> Iterator[None]:
        """Put a control into a column of its own, above what is wrong with it."""
        with gr.Column(min_width=200):
            yield
            self._failure(name)

    def _failure(self, name: str) -> None:
        self.failures[name] = gr.HTML(elem_id=f"remote-{name}-failure", elem_classes="at-control")

    def render(self, offers: "Offers | None", flavor: str, timeout: str) -> dict[Any, Any]:
        """Return what shows the price of the choice, by offers that are known; raises RunError for a wrong choice."""
        from studio.remote import hub_jobs

        seconds = hub_jobs.parse_duration(timeout)
        quote = offers.quote(flavor, seconds) if offers else None
        quote_html = remote_views.quoted(quote, self.language) if quote else ""
        button = {"value": remote_views.start_label(quote, self.language), "interactive": quote is not None}
        choices = {"choices": remote_views.offered(offers.prices, self.language)} if offers else {}
        clear = dict.fromkeys(self.failures.values(), "")
        return {self.status: quote_html, self.start: gr.update(**button), self.flavor: gr.update(**choices), **clear}

    def fail(self, message: Message) -> dict[Any, Any]:
        """Return what shows an error at its control, and takes the price away."""
        at = _CONTROL.get(message.key, "card")
        boxes = {part: box(message, self.language) if name == at else "" for name, part in self.failures.items()}
        button = gr.update(value=remote_views.start_label(None, self.language), interactive=False)
        return {self.status: "", self.start: button, **boxes}

    def connect(
        self,
        frame: Frame,
        check_states: list[gr.State],
        looks: list[Any],
        show_run: Callable[..., Any],
        run_outputs: list[Any],
    ) -> None:
        """Connect the events. `check_states` hold the result of the check before a start, and its settings."""

        def ask(base: RunConfig, *values_in: Any) -> dict[Any, Any]:
            *values, checked, config_of_check, token, flavor, timeout = values_in
            config = frame.form.read(values, base)
            if problem := _problem(config, checked, config_of_check):
                return self.fail(problem)
            offers = _jobs(token).offers()
            return {self.offers: offers, **self.render(offers, flavor or "", timeout or "")}

        @view(self.offers)
        def ask_again(offers: "Offers | None", flavor: str, timeout: str) -> dict[Any, Any]:
            return self.render(offers, flavor or "", timeout or "")

        def forget() -> dict[Any, Any]:
            button = gr.update(value=remote_views.start_label(None, self.language), interactive=False)
            return {self.offers: None, self.status: "", self.start: button, self.failures["token"]: ""}

        def start(offers: "Offers", base: RunConfig, *values_in: Any) -> dict[Any, Any]:
            from studio.remote import follow as remote
            from studio.remote import hub_jobs

            *values, checked, config_of_check, token, flavor, timeout, deletes, curve_settings, log_filter = values_in
            config = frame.form.read(values, base)
            if problem := _problem(config, checked, config_of_check):
                return self.fail(problem)
            jobs = _jobs(token)
            now = jobs.offers()
            quote = now.quote(flavor or "", hub_jobs.parse_duration(timeout or ""))
            if (now.account, now.prices[flavor]) != (offers.account, offers.prices.get(flavor)):
                changed = box(RunError("remote.price_changed").message, self.language)
                return {self.offers: now, **self.render(now, flavor, timeout), self.failures["card"]: changed}
            run = remote.start(jobs, config, quote.model_copy(update={"delete_repository": bool(deletes)}))
            priced = {**self.render(now, flavor, timeout), self.card: gr.update(open=False)}
            return {**priced, **show_run(follow(run.id), curve_settings, log_filter)}

        def at_control(handler: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
            def handle(*values_in: Any) -> dict[Any, Any]:
                try:
                    return handler(*values_in)
                except StudioError as error:
                    problems = error.problems if isinstance(error, ConfigError) else ()
                    return self.fail(problems[0] if problems else error.message)

            handle.view_of = getattr(handler, "view_of", [])  # type: ignore[attr-defined]
            return handle

        choice = [self.token, self.flavor, self.timeout]
        inputs = [*frame.config_inputs, *check_states, *choice]
        self.ask.click(at_control(ask), inputs, self.outputs, concurrency_limit=None)
        gr.on(
            [self.flavor.input, self.timeout.change],
            at_control(ask_again),
            [self.offers, self.flavor, self.timeout],
            self.outputs,
        )
        self.token.change(forget, None, self.outputs)
        started = [self.offers, *inputs, self.delete, *looks]
        both = list(dict.fromkeys([self.card, *self.outputs, *run_outputs]))
        self.start.click(at_control(start), started, both, concurrency_limit=1)


def _problem(config: RunConfig, checked: Any, config_of_check: RunConfig | None) -> Message | None:
    """Return what keeps any machine from carrying out a run, as far as that is known here; raises RunError too.

    What the check before the start says about this machine counts for no other.
    """
    from studio.remote import bundle

    bundle.require_sendable(config)
    report = checked[0].report if isinstance(checked, tuple) and config == config_of_check else None
    return report.blocks[0] if report and report.blocks else None


def _jobs(token: str | None) -> "HubJobs":
    from studio.remote.hub_jobs import HubJobs

    return HubJobs((token or "").strip() or None)
