"""Renders chat templates as transformers does, with a date that the caller gives. It imports nothing of the studio.

`python render.py < template` tries a template out in a process of its own, with limits of memory and time where the
system knows them. It ends with 0 when the template was rendered or has refused its turns by itself, and with
`TOO_MUCH` when it needed more than the limits.
"""

import json
import sys
from datetime import date, datetime
from functools import lru_cache
from typing import Any

MEMORY, SECONDS = 256 * 1024**2, 5
LONGEST = MEMORY // 16
"""Characters that a rendered conversation may have at most."""
TOO_MUCH = 7
TURNS = (
    [{"role": "user", "content": "Question"}],
    [{"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant")],
)


def render(template: str, messages: list[dict[str, Any]], ask: bool, today: date, special: dict[str, Any]) -> str:
    """Return the text that `apply_chat_template` gives; raises whatever the template raises.

    `special` are the tokenizer's special tokens by name, `today` is what a template gets that writes the date. It is
    given without the time of day, so that a template that writes that too says midnight.
    """
    midnight = datetime(today.year, today.month, today.day)
    values = {"strftime_now": midnight.strftime, "tools": None, "documents": None}
    text = compiled(template).render(messages=messages, add_generation_prompt=ask, **values, **special)
    if len(text) > LONGEST:
        raise MemoryError(f"the rendered conversation has {len(text):,} characters")
    return text


@lru_cache(16)
def compiled(template: str) -> Any:
    """Return a template ready to be rendered; raises jinja2.TemplateSyntaxError."""
    return _environment().from_string(template)


@lru_cache(1)
def _environment() -> Any:
    """Return what transformers renders templates in, as far as a template can tell."""
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(reason: str) -> None:
        raise TemplateError(reason)

    extensions = [Generation, "jinja2.ext.loopcontrols"]
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = refuse
    return made


def _to_json(value: Any, **settings: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **settings})


def main() -> int:
    """Render the template on standard input for some usual turns."""
    template = sys.stdin.read()
    _environment()
    _limit()
    for turns in TURNS:
        for ask in (True, False):
            try:
                render(template, turns, ask, date(2024, 1, 1), {"bos_token": "", "eos_token": ""})
            except MemoryError:
                return TOO_MUCH
            except Exception:  # what a template refuses, or asks of others than these, is told when it is used
                continue
    return 0


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows: the clock of whoever started this is the limit
        return
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


if __name__ == "__main__":
    sys.exit(main())
