"""The texts of the user interface: one catalogue per language, by key.

What is stored on disk (events, errors, reasons) is a `Message`, a key with its values, which is translated when read.
"""

import json
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = {"ko": "한국어", "en": "English"}
"""Language code to its own name, in the order in which the page offers them."""

DEFAULT_LANGUAGE = "en"
"""The language of logs, of `--json` and of a browser whose languages the studio does not have."""

_LOCALES = Path(__file__).parent / "locales"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Return every key of a language with its text; nested keys are joined by dots."""
    nested = json.loads((_LOCALES / f"{language}.json").read_text(encoding="utf-8"))
    return dict(_flatten(nested, ""))


def _flatten(node: Mapping[str, Any], prefix: str):
    for name, value in node.items():
        if isinstance(value, str):
            yield prefix + name, value
        else:
            yield from _flatten(value, f"{prefix}{name}.")


def text(key: str, language: str = DEFAULT_LANGUAGE, /, **values: Any) -> str:
    """Return the text of `key` with its `{placeholders}` filled, and `{count:row|rows}` with the word for the number.

    Raises KeyError for an unknown key: a missing text is a defect of the program.
    """
    template = catalogue(language)[key]
    return _FORMATTER.vformat(template, (), values) if values else template


class _Formatter(string.Formatter):
    """Understands `{count:row|rows}`: the number, then the word that goes with it (`1 row`, `24 rows`, `+1 row`)."""

    def format_field(self, value: Any, format_spec: str) -> str:
        one, separator, many = format_spec.partition("|")
        if not separator:
            return super().format_field(value, format_spec)
        return f"{value} {one if str(value).lstrip('+-') == '1' else many}"


_FORMATTER = _Formatter()


def has(key: str) -> bool:
    """Whether the catalogues hold `key`."""
    return key in catalogue(DEFAULT_LANGUAGE)


def best_language(accept_language: str) -> str:
    """Choose a language for an HTTP `Accept-Language` value, such as `ko-KR,ko;q=0.9,en;q=0.8`."""
    accepted = []
    for position, part in enumerate(accept_language.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        accepted.append((-weight, position, tag.split("-")[0].lower()))
    return next((tag for _, _, tag in sorted(accepted) if tag in LANGUAGES), DEFAULT_LANGUAGE)


@dataclass(frozen=True)
class Message:
    """A text that is translated when somebody reads it, in that reader's language."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def text(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return the text in `language`; values that are messages are translated first."""
        values = {name: v.text(language) if isinstance(v, Message) else v for name, v in self.values.items()}
        return text(self.key, language, **values)

    def __str__(self) -> str:
        return self.text()


def listed(items: Iterable[Any], limit: int = 8) -> str:
    """Return the first items, separated by commas, and an ellipsis for the others."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:limit]) + (", …" if len(texts) > limit else "")


def message(key: str, /, **values: Any) -> Message:
    """Make a `Message` of `key` and its values."""
    return Message(key, values)
