"""Renders a chat template in a process of its own: `python render.py < template`. It imports nothing of the studio.

The process has limits of memory and time where the system knows them. It ends with 0 when the template was rendered or
has refused its turns by itself, and with `TOO_MUCH` when it needed more than the limits.
"""

import json
import sys
from typing import Any

MEMORY, SECONDS = 256 * 1024**2, 5
TOO_MUCH = 7
TURNS = (
    [{"role": "user", "content": "Question"}],
    [{"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant")],
)


def main() -> int:
    """Render the template on standard input for some usual turns."""
    template = sys.stdin.read()
    made = _environment()
    _limit()
    for turns in TURNS:
        for ask in (True, False):
            try:
                text = made.from_string(template).render(messages=turns, add_generation_prompt=ask, tools=None)
            except MemoryError:
                return TOO_MUCH
            except Exception:  # what a template refuses, or asks of others than these, is told when it is used
                continue
            if len(text) > MEMORY // 16:
                return TOO_MUCH
    return 0


def _environment() -> Any:
    """Return what transformers renders templates in, as far as a template can tell."""
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    extensions = [Generation, "jinja2.ext.loopcontrols"]
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    made.filters["tojson"] = _to_json
    made.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: form, "bos_token": "", "eos_token": ""}
    return made


def _to_json(value: Any, **settings: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **settings})


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


def _refuse(told: str) -> None:
    raise ValueError(told)


if __name__ == "__main__":
    sys.exit(main())
