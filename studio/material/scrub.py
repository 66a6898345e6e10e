"""Replace what identifies people by stand-ins: the same value is the same stand-in in all rows."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from studio.data.vocabulary import load
from studio.material import privacy

STAND_INS: dict[str, dict[str, str]] = load("vocabulary", __file__)["stand_ins"]
"""What stands for a value, followed by its number; part of the rows, and so in the language of the text."""
_AROUND = 30
_KOREA = re.compile("^(?:00)?820?(?=[1-7])")
"""The country code, in whose place numbers inside of Korea have a 0."""
_EXAMPLES = 3


@dataclass(frozen=True)
class Example:
    """A replacement, without the value: the text around it as the rows have it."""

    place: str
    text: str


class Scrubber:
    """Replaces values, and counts them by kind. The values stay in memory."""

    def __init__(self, names: list[str], language: str, keep: frozenset[str] = frozenset()):
        self._kinds = frozenset(privacy.KINDS) - keep
        self._words = STAND_INS["ko" if language == "ko" else "en"]
        self._people = {part.casefold(): name for part, name in privacy.name_parts(names).items()}
        self._names = privacy.name_pattern(names) if "name" in self._kinds else None
        self._numbers: dict[tuple[str, str], int] = {}
        self._last: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        """Replacements by kind."""
        self.examples: dict[str, list[Example]] = {}

    def scrub(self, text: str, place: str = "") -> str:
        """Return a text with its values replaced."""
        spans = self._spans(text)
        if not spans:
            return text
        pieces, done, stand_ins = [], 0, []
        for start, end, kind in spans:
            pieces.append(text[done:start])
            stand_ins.append((sum(map(len, pieces)), kind))
            pieces.append(self._stand_in(kind, text[start:end]))
            done = end
            self.counts[kind] += 1
        scrubbed = "".join((*pieces, text[done:]))
        for position, kind in stand_ins:
            examples = self.examples.setdefault(kind, [])
            if len(examples) < _EXAMPLES:
                begin = max(0, position - _AROUND)
                examples.append(Example(place, " ".join(scrubbed[begin : position + 2 * _AROUND].split())))
        return scrubbed

    @property
    def different(self) -> dict[str, int]:
        """How many different values each kind had."""
        return dict(self._last)

    def _spans(self, text: str) -> list[tuple[int, int, str]]:
        """Return the spans to replace, in order and without overlap; the first kind wins."""
        result: list[tuple[int, int, str]] = []
        spans: list[Any] = list(privacy.find(text, self._kinds))
        if self._names:
            spans += [(match.start(), match.end(), "name") for match in self._names.finditer(text)]
        if len(spans) < 2:
            return spans
        rank = {kind: place for place, kind in enumerate(privacy.KINDS)}
        reached = -1
        for start, end, kind in sorted(spans, key=lambda span: (span[0], rank[span[2]], -span[1])):
            if start >= reached:
                result.append((start, end, kind))
                reached = end
            elif end > reached:  # what sticks out of the one before is replaced with it
                result[-1] = (result[-1][0], end, result[-1][2])
                reached = end
        return result

    def _stand_in(self, kind: str, value: str) -> str:
        if kind == "name":
            value = self._people.get(value.casefold(), value)
        elif kind not in ("link", "email", "address"):
            digits = privacy.digits_of(privacy.plain(value))
            value = _KOREA.sub("0", digits) if kind == "phone" else digits
        key = (kind, value.casefold())
        if key not in self._numbers:
            self._last[kind] += 1
            self._numbers[key] = self._last[kind]
        return f"[{self._words[kind]} {self._numbers[key]}]"
