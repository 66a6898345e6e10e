"""Ollama's Modelfile: the run's own template in Go's language, the words that end an answer, the parameters.

The pieces of the template are found by rendering short chats with the run's template and looking at what stands between
the turns; then longer chats are put together from the pieces and compared with what the template makes of them.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.data.prompt import adds_bos
from studio.export.subject import Subject
from studio.model.template import ChatTemplate, TemplateRefusal

_SYSTEM, _FIRST, _ANSWER, _SECOND = "\x02s\x03", "\x02u\x03", "\x02a\x03", "\x02v\x03"
_CHATS = (("one",), ("one", "two", "three"), ("one", "two", "three", "four", "five"))
"""Questions and answers by turns, on which the pieces are tried."""


@dataclass(frozen=True)
class Pieces:
    """What a template puts around the turns of a chat."""

    before: str
    """In front of the first question, without a system turn."""
    before_system: str | None
    """In front of a system turn; None for a template that knows none."""
    after_system: str
    """Between a system turn and the first question."""
    after_question: str
    """Up to where the model begins to answer."""
    before_answer: str
    """What stands in front of an answer besides, once it is given."""
    after_answer: str
    """Between an answer and the next question."""

    def put_together(self, turns: Sequence[str], system: str | None = None) -> str:
        """Return a chat as Ollama will render it; `turns` are questions and answers, a question at the end."""
        begin = self.before
        if system is not None and self.before_system is not None:
            begin = self.before_system + system + self.after_system
        return begin + "".join(
            self.before_answer + turn + self.after_answer if number % 2 else turn + self.after_question
            for number, turn in enumerate(turns)
        )

    def as_go(self) -> str:
        """Return the template in Go's language, with Ollama's names."""
        begin = _go(self.before)
        if self.before_system is not None:
            with_system = f"{_go(self.before_system)}{{{{ .System }}}}{_go(self.after_system)}"
            begin = f"{{{{ if .System }}}}{with_system}{{{{ else }}}}{begin}{{{{ end }}}}"
        question = f'{{{{ if eq .Role "user" }}}}{{{{ .Content }}}}{_go(self.after_question)}'
        answer = f"{_go(self.before_answer)}{{{{ .Content }}}}{_go(self.after_answer)}"
        return (
            f'{begin}{{{{ range .Messages }}}}{question}{{{{ else if eq .Role "assistant" }}}}{answer}'
            "{{ end }}{{ end }}"
        )


def _go(literal: str) -> str:
    """Return a piece of text as it stands in a Go template inside of three quotes."""
    return literal.replace("{{", '{{ "{{" }}').replace('"""', '{{ "\\"\\"\\"" }}')


class _Template:
    """Renders chats with the template that the export has."""

    def __init__(self, subject: Subject):
        tokenizer = copy.copy(subject.tokenizer)
        if subject.prompt.kind != "chat":
            tokenizer.chat_template = subject.prompt.chat_template()
        self._template = ChatTemplate(tokenizer)
        self._begin = tokenizer.bos_token if adds_bos(tokenizer) else ""

    def render(self, turns: Sequence[str], system: str | None = None) -> str:
        """Return a chat without the token that begins a text, where Ollama adds that itself."""
        roles = ("user", "assistant")
        messages = [(roles[number % 2], turn) for number, turn in enumerate(turns)]
        if system is not None:
            messages.insert(0, ("system", system))
        return self._template.render(messages, ask=True).removeprefix(self._begin)


def pieces(subject: Subject) -> tuple[Pieces | None, bool]:
    """Return the pieces of the run's template, and whether they hold for chats of more than one question.

    None for a template that cannot be taken apart: one of more columns than a question, or one that rewrites what is
    said.
    """
    if subject.prompt.kind != "chat" and subject.prompt.chat_template() is None:
        return None, False
    template = _Template(subject)
    found = _taken_apart(template)
    if found is None:
        return None, False
    systems = [None] if found.before_system is None else [None, "Be kind."]
    right = [
        all(_renders(template, turns, system) == found.put_together(turns, system) for system in systems)
        for turns in _CHATS
    ]
    return (found, all(right)) if right[0] else (None, False)


def _renders(template: _Template, turns: Sequence[str], system: str | None) -> str | None:
    try:
        return template.render(turns, system)
    except TemplateRefusal:
        return None


def _taken_apart(template: _Template) -> Pieces | None:
    first = _renders(template, [_FIRST], None)
    if first is None or first.count(_FIRST) != 1:
        return None
    before, after_question = first.split(_FIRST)
    before_system, after_system = None, ""
    told = _renders(template, [_FIRST], _SYSTEM)
    if told is not None and told.count(_SYSTEM) == told.count(_FIRST) == 1:
        before_system, rest = told.split(_SYSTEM)
        after_system = rest.split(_FIRST)[0]
    before_answer = after_answer = ""
    longer = _renders(template, [_FIRST, _ANSWER, _SECOND], None)
    if longer is not None and all(longer.count(held) == 1 for held in (_FIRST, _ANSWER, _SECOND)):
        between = longer.split(_FIRST)[1].split(_ANSWER)[0]
        if between.startswith(after_question):
            before_answer = between[len(after_question) :]
            after_answer = longer.split(_ANSWER)[1].split(_SECOND)[0]
    return Pieces(before, before_system, after_system, after_question, before_answer, after_answer)


def text(subject: Subject, found: Pieces | None, weights: str) -> str:
    """Return the Modelfile; `weights` is what it is made from, as seen from its own folder."""
    settings = subject.generation
    lines = [
        f"# ollama create {_name(subject.name)} -f Modelfile && ollama run {_name(subject.name)}",
        f"# Written by Restyle Studio for its run {subject.run.id}.",
        f"FROM {weights}",
        "",
        f'TEMPLATE """{found.as_go() if found else "{{ .Prompt }}"}"""',
        "",
    ]
    if subject.prompt.system:
        lines += [f'SYSTEM """{subject.prompt.system.replace(chr(34) * 3, chr(39) * 3)}"""', ""]
    for stop in subject.tokenizer.convert_ids_to_tokens(subject.stops):
        lines.append(f"PARAMETER stop {_quoted(stop)}")
    parameters: dict[str, Any] = {
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "repeat_penalty": settings.repetition_penalty,
        "num_predict": settings.max_new_tokens,
    }
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _name(name: str) -> str:
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())
    return kept.strip("-") or "restyled"
