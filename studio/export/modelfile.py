"""Ollama's Modelfile: the run's chat template as a Go template, the stop tokens, the parameters.

The Go template is the text between the turns of short chats that the run's template renders; then longer chats are
rendered both ways and compared.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from studio.data.prompt import adds_bos
from studio.export import code_snippets
from studio.export.export_context import ExportContext
from studio.model.template import ChatTemplate, TemplateRefusal

_SYSTEM, _FIRST, _ANSWER, _SECOND = "\x02s\x03", "\x02u\x03", "\x02a\x03", "\x02v\x03"
_CHATS = (("one",), ("one", "two", "three"), ("one", "two", "three", "four", "five"))
"""Alternating questions and answers, on which the Go template is tested."""


@dataclass(frozen=True)
class TemplateParts:
    """The text that a chat template puts around the turns."""

    before: str
    """Before the first question, without a system turn."""
    before_system: str | None
    """Before a system turn; None for a template without one."""
    after_system: str
    """Between a system turn and the first question."""
    after_question: str
    """From a question to the answer."""
    before_answer: str
    """Further text before the answers of earlier turns."""
    after_answer: str
    """Between an answer and the next question."""

    def render(self, turns: Sequence[str], system: str | None = None) -> str:
        """Render a chat as Ollama does; `turns` are questions and answers, ending with a question."""
        begin = self.before
        if system is not None and self.before_system is not None:
            begin = self.before_system + system + self.after_system
        return begin + "".join(
            self.before_answer + turn + self.after_answer if number % 2 else turn + self.after_question
            for number, turn in enumerate(turns)
        )

    def as_go_template(self) -> str:
        """Return the Go template with Ollama's variables."""
        begin = _go_literal(self.before)
        if self.before_system is not None:
            with_system = f"{_go_literal(self.before_system)}{{{{ .System }}}}{_go_literal(self.after_system)}"
            begin = f"{{{{ if .System }}}}{with_system}{{{{ else }}}}{begin}{{{{ end }}}}"
        question = f'{{{{ if eq .Role "user" }}}}{{{{ .Content }}}}{_go_literal(self.after_question)}'
        answer = f"{_go_literal(self.before_answer)}{{{{ .Content }}}}{_go_literal(self.after_answer)}"
        return (
            f'{begin}{{{{ range .Messages }}}}{question}{{{{ else if eq .Role "assistant" }}}}{answer}'
            "{{ end }}{{ end }}"
        )


def _go_literal(literal: str) -> str:
    """Escape a text for a Go template inside triple quotes."""
    return literal.replace("{{", '{{ "{{" }}').replace('"""', '{{ "\\"\\"\\"" }}')


Render = Callable[..., str | None]
"""Renders the turns of a chat, and its system prompt if it has one; None for a chat that the template refuses."""


def template_parts(context: ExportContext) -> tuple[TemplateParts | None, bool]:
    """Return the parts of the run's template, and whether they render multi-turn chats too; None if impossible."""
    tokenizer = copy.copy(context.tokenizer)
    if context.prompt.kind != "chat":
        tokenizer.chat_template = context.prompt.chat_template()
        if tokenizer.chat_template is None:
            return None, False
    template = ChatTemplate(tokenizer)
    bos = tokenizer.bos_token if adds_bos(tokenizer) else ""  # which Ollama adds

    def render(turns: Sequence[str], system: str | None = None) -> str | None:
        messages = [] if system is None else [("system", system)]
        messages += [(("user", "assistant")[number % 2], turn) for number, turn in enumerate(turns)]
        try:
            return template.render(messages, ask=True).removeprefix(bos)
        except TemplateRefusal:
            return None

    parts = _split(render)
    if parts is None:
        return None, False
    systems = [None] if parts.before_system is None else [None, "Be kind."]
    correct = [all(render(turns, system) == parts.render(turns, system) for system in systems) for turns in _CHATS]
    return (parts, all(correct)) if correct[0] else (None, False)


def _split(render: Render) -> TemplateParts | None:
    first = render([_FIRST])
    if first is None or first.count(_FIRST) != 1:
        return None
    before, after_question = first.split(_FIRST)
    before_system, after_system = None, ""
    with_system = render([_FIRST], _SYSTEM)
    if with_system is not None and with_system.count(_SYSTEM) == with_system.count(_FIRST) == 1:
        before_system, rest = with_system.split(_SYSTEM)
        after_system = rest.split(_FIRST)[0]
    before_answer = after_answer = ""
    longer = render([_FIRST, _ANSWER, _SECOND])
    if longer is not None and all(longer.count(mark) == 1 for mark in (_FIRST, _ANSWER, _SECOND)):
        between = longer.split(_FIRST)[1].split(_ANSWER)[0]
        if between.startswith(after_question):
            before_answer = between[len(after_question) :]
            after_answer = longer.split(_ANSWER)[1].split(_SECOND)[0]
    return TemplateParts(before, before_system, after_system, after_question, before_answer, after_answer)


def text(context: ExportContext, weights: str) -> str:
    """Return the Modelfile; `weights` is the path of the model, relative to the Modelfile."""
    template, _ = template_parts(context)
    return code_snippets.render(
        "Modelfile",
        context,
        model=code_snippets.ollama_name(context.name),
        weights=weights,
        template=template.as_go_template() if template else "{{ .Prompt }}",
        stops=code_snippets.stop_tokens(context),
    )
