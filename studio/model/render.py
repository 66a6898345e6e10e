"""Renders conversations with one chat template, in a process of its own. It imports nothing of the studio.

`python render.py` reads lines of JSON: the template, then requests, each of which is answered with a line. Every
request has limits of time, memory and length, where the system knows them. The process ends when a request exceeds them
(see `process_limits`), and with its input.
"""

import json
import runpy
import signal
import sys
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

MEMORY, SECONDS = 256 * 1024**2, 5
MEMORY_PER_BYTE = 40
"""Bytes of memory that each byte of a request may take besides."""
LENGTH, LENGTH_PER_BYTE = 50_000, 10
"""Characters that a rendered conversation may have, and how many more for each byte of its request."""


def reply(template: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the text of the request's messages, or how the template refuses them.

    Without messages, the template is only parsed. `today` is what a template gets that writes the date. It is given
    without the time of day, so that a template that writes that too says midnight. `special` are the tokenizer's
    special tokens by name.
    """
    from jinja2 import TemplateSyntaxError

    try:
        compiled = _compiled(template)
        if request["messages"] is None:
            return {}
        values = {"strftime_now": datetime.fromisoformat(request["today"]).strftime, "tools": None, "documents": None}
        text = compiled.render(
            messages=request["messages"], add_generation_prompt=request["ask"], **values, **request["special"]
        )
    except MemoryError:
        raise
    except TemplateSyntaxError as error:
        return {"line": error.lineno, "refusal": str(error.message)[:200]}
    except Exception as error:  # templates are programs and raise what they like
        return {"refusal": " ".join(str(error).split())[:200] or type(error).__name__}
    return {"text": text}


@cache
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


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
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.filters["tojson"] = lambda value, **settings: json.dumps(value, **{"ensure_ascii": False, **settings})
    environment.globals["raise_exception"] = refuse
    return environment


def main() -> int:
    """Answer the requests on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for whoever started this
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    template = json.loads(requests.readline())
    _environment()  # so that its modules do not count as the first request's memory
    limits = runpy.run_path(str(Path(__file__).parents[1] / "process_limits.py"))
    limited = limits["limiter"]()
    for line in requests:
        request = json.loads(line.decode("utf-8", "surrogatepass"))
        try:
            with limited(MEMORY + MEMORY_PER_BYTE * len(line), SECONDS):
                answer = reply(template, request)
        except MemoryError:
            return limits["TOO_MUCH"]
        if len(answer.get("text", "")) > LENGTH + LENGTH_PER_BYTE * len(line):
            return limits["TOO_MUCH"]
        replies.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        replies.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
