"""Shape an answer as lyrics: lines, stanzas, hooks, and the section tags that music tools read.

The answer's own words come out in their order; only separators and section names are taken off.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Section = Literal["intro", "verse", "pre-chorus", "chorus", "bridge", "outro"]

LONG_LINE = 60
"""A line of more characters is several lines that the model did not break; it is cut at its separators."""
HOOK_LINES = 2
"""Lines in a row that come back elsewhere and so make a chorus of their own."""

_SECTIONS: dict[Section, str] = {
    "intro": r"intro|인트로|전주",
    "pre-chorus": r"pre[- ]?chorus|프리\s?코러스",
    "chorus": r"chorus|hook|refrain|후렴구?|코러스|훅|싸비|사비",
    "bridge": r"bridge|브릿지|브리지",
    "verse": r"verse|벌스|절",
    "outro": r"outro|아웃트로|엔딩|ending",
}
_NAMED = {
    section: re.compile(rf"(?:제?\s?\d{{1,2}}\s?)?(?:{words})(?:\s?\d{{1,2}})?(?:\s?[x×]\s?\d{{1,2}})?", re.IGNORECASE)
    for section, words in _SECTIONS.items()
}
_BRACKETS = re.compile(r"^[\[(<{【]\s*(.{1,30}?)\s*[\])>}】]\s*:?$|^[*#\s]*(.{1,30}?)\s*:?\s*\**$")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_RULE = re.compile(r"^[-*_=~]{2,}$")
_BAR, _BARS = re.compile(r"\s+[/|]\s*|\s*[/|]\s+"), re.compile(r"\s*(?:[/|]\s?){2,}\s*")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_COMMA = re.compile(r"\s*[,;]\s+")


@dataclass(frozen=True)
class Line:
    """One line of a song."""

    text: str
    hook: int | None = None
    """Number of the hook (from 1, in order of appearance); lines that say the same have the same; None for none."""
    times: int = 1
    """How often the line is sung in all."""


@dataclass(frozen=True)
class Stanza:
    """Lines that belong together."""

    section: Section
    lines: tuple[Line, ...]
    number: int | None = None
    """Number of a verse, from 1; other sections have none."""

    @property
    def tag(self) -> str:
        """The section as music tools write it: `Verse 1`, `Chorus`."""
        name = self.section.title()
        return f"{name} {self.number}" if self.number else name


def shape(answer: str) -> tuple[Stanza, ...]:
    """Return the stanzas of an answer; empty for one without words.

    Sections that the answer names itself are kept. Elsewhere a chorus is found from repetition: at least `HOOK_LINES`
    lines in a row, or a whole stanza, that come back in the song.
    """
    parts = _parts(answer)
    sung = Counter(_repetition_key(line) for _, lines in parts for line in lines)
    hooks = {key: number for number, key in enumerate((key for key, times in sung.items() if times > 1), 1)}
    stanzas: list[Stanza] = []
    verses = 0
    for named, lines in parts:
        marked = [Line(line, hooks.get(_repetition_key(line)), sung[_repetition_key(line)]) for line in lines]
        for section, stanza in [(named, marked)] if named else _split_at_hooks(marked):
            verses += section == "verse"
            stanzas.append(Stanza(section, tuple(stanza), verses if section == "verse" else None))
    return tuple(stanzas)


def tagged_text(stanzas: Iterable[Stanza]) -> str:
    """Return the text for a music tool: every stanza under its tag (`[Verse 1]`, `[Chorus]`), a blank line between."""
    return "\n\n".join("\n".join([f"[{stanza.tag}]", *(line.text for line in stanza.lines)]) for stanza in stanzas)


def _parts(answer: str) -> list[tuple[Section | None, list[str]]]:
    """Return the blocks of lines, each with the section that the answer names for it, if any."""
    parts: list[tuple[Section | None, list[str]]] = [(None, [])]
    for line in _lines(answer):
        if not line:
            if parts[-1][1]:  # a name counts for the next block, also after a blank line
                parts.append((None, []))
        elif section := _section(line):
            parts.append((section, []))
        else:
            parts[-1][1].append(line)
    return [(section, lines) for section, lines in parts if lines]


def _lines(answer: str) -> list[str]:
    """Return the lines without white space around them; blank ones stand between stanzas."""
    text = _BREAK.sub("\n", unicodedata.normalize("NFC", answer)).strip()
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [
        part for line in lines for part in (_split_long_line(line) if len(line) > LONG_LINE else [_RULE.sub("", line)])
    ]


def _split_long_line(text: str) -> list[str]:
    """Cut a long line: at bars or slashes (double ones end a stanza), else at ends of sentences, else at commas."""
    if _BARS.search(text):
        blocks = [[line for line in _BAR.split(block) if line] for block in _BARS.split(text)]
        return [line for block in blocks if block for line in [*block, ""]][:-1]
    if _BAR.search(text):
        return [line for line in _BAR.split(text) if line]
    for separator in (_SENTENCE, _COMMA):
        lines = [line for line in separator.split(text) if line]
        if len(lines) > 1:
            return lines
    return [text]


def _section(line: str) -> Section | None:
    """Return the section that a line names, when it does nothing else (`[Verse 1]`, `후렴:`, `**Chorus**`, `2절`)."""
    match = _BRACKETS.match(line)
    if not match:
        return None
    name = (match[1] or match[2] or "").strip()
    return next((section for section, words in _NAMED.items() if words.fullmatch(name)), None)


def _repetition_key(line: str) -> str:
    """Return what two lines share when one repeats the other: letters and digits, in lower case."""
    return "".join(filter(str.isalnum, line.casefold())) or line


def _split_at_hooks(lines: Sequence[Line]) -> list[tuple[Section, list[Line]]]:
    """Split a stanza without a name into verses and choruses."""
    if all(line.hook for line in lines):
        return [("chorus", list(lines))]
    parts: list[tuple[Section, list[Line]]] = []
    for is_hook, group in groupby(lines, key=lambda line: line.hook is not None):
        run = list(group)
        section: Section = "chorus" if is_hook and len(run) >= HOOK_LINES else "verse"
        if parts and parts[-1][0] == section:  # a single repeated line belongs to the verse around it
            parts[-1][1].extend(run)
        else:
            parts.append((section, run))
    return parts
