"""Make rows of chat exports and documents, and write them as JSON lines."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio import files
from studio.data.language import share_of_hangul
from studio.errors import DataError
from studio.i18n import Message as Text
from studio.i18n import listed, message
from studio.material import chats, conversations, privacy, slack
from studio.material.message import TEXT, Message
from studio.material.parts import Part, walk
from studio.material.scrub import Example, Scrubber
from studio.material.tokens import TokenCounter

OnProgress = Callable[[float], None]
RECIPES = ("chat", "keywords", "beginning")
_SAMPLE = 2_000
"""Texts from which the language is inferred."""


@dataclass(frozen=True)
class Request:
    """What to make rows of, and how."""

    paths: tuple[Path, ...]
    speaker: str | None = None
    """Whose messages become the answers."""
    recipe: str | None = None
    """One of `RECIPES`; None for `chat` where there are chats, else `beginning`."""
    keep: frozenset[str] = frozenset()
    """Kinds of `privacy.KINDS` that are not replaced."""
    scrub: bool | None = None
    """Whether personal data are replaced; None for chats only."""
    silence: float | None = None
    """Seconds of silence that end a conversation; None to infer them."""
    model: str = "builtin"
    """Whose tokenizer counts tokens."""
    least_tokens: int = 16
    most_tokens: int = 384
    """Tokens of a passage, and about the most of a conversation."""
    encoding: str | None = None


@dataclass
class Summary:
    """What came of it."""

    rows: int = 0
    recipe: str = ""
    formats: Counter[str] = field(default_factory=Counter)
    """Files by format."""
    messages: int = 0
    """Messages of all kinds."""
    speakers: Counter[str] = field(default_factory=Counter)
    """Messages of text of each speaker."""
    left_out: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    different: dict[str, int] = field(default_factory=dict)
    """Different values that were replaced, by kind."""
    examples: dict[str, list[Example]] = field(default_factory=dict)
    is_scrubbed: bool = False
    silence: conversations.Silence | None = None
    notes: list[Text] = field(default_factory=list)


@dataclass
class Material:
    """All that was read."""

    chats: dict[tuple[str, str], list[Message]] = field(default_factory=dict)
    """Messages of text by the file that was given and the chat in it, in order of time."""
    summary: Summary = field(default_factory=Summary)


def read(request: Request, on_progress: OnProgress = lambda share: None) -> Material:
    """Read the files, with the speakers counted; raises DataError for a file of no known format."""
    material = Material()
    summary = material.summary
    total = sum(path.stat().st_size for path in request.paths if path.is_file()) or 1
    done = 0
    in_order: set[tuple[str, str]] = set()
    for part in walk(list(request.paths), request.encoding, summary.left_out):
        module = chats.format_of(part)
        if module is None:
            if not slack.is_list(part):
                _require_known(part, request)
                summary.left_out["other_file"] += 1
            continue
        summary.formats[module.NAME] += 1
        for entry in module.read(part):
            summary.messages += 1
            if entry.kind == TEXT and not entry.speaker:
                entry = entry._replace(kind="unreadable")
            if entry.kind != TEXT:
                summary.left_out[entry.kind] += 1
                continue
            key = (str(part.origin), entry.place.chat)
            material.chats.setdefault(key, []).append(entry)
            summary.speakers[entry.speaker] += 1
            if module in chats.IN_ORDER:
                in_order.add(key)
        done += part.size
        on_progress(min(1.0, done / total))
        summary.notes += part.notes
    for key, entries in material.chats.items():
        if key not in in_order:
            entries.sort(key=lambda entry: (entry.at is not None, entry.at))
    return material


def _require_known(part: Part, request: Request) -> None:
    """Raise DataError for a file that the user named, and that is of no known format."""
    if not part.is_given:
        return
    if not part.start.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        raise DataError("material.empty", name=part.name)
    if not part.head and part.start[:2] not in (b"PK", b"%P"):
        part.codec  # noqa: B018 (what is no text raises what it is)
    raise DataError("material.unknown", name=part.name, formats=chats.names())


def needs_speaker(request: Request, material: Material) -> bool:
    """Whether there are chats, and it is open whose messages become the answers."""
    return request.speaker is None and bool(material.summary.speakers)


def make(request: Request, out: Path, material: Material | None = None) -> Summary:
    """Write the rows to `out`; `material` is what `read` returned. Raises DataError where no row comes of it."""
    material = material or read(request)
    summary = material.summary
    if any(path.exists() and out.exists() and path.samefile(out) for path in request.paths):
        raise DataError("material.same_file", name=out.name)
    if not summary.speakers:
        name, formats = request.paths[0].name, listed(summary.formats)
        raise DataError("material.no_messages", name=name, format=formats, count=summary.messages)
    if request.speaker is None:
        raise DataError("material.whose", speakers=speaker_list(summary.speakers))
    speaker = conversations.resolve_speaker(request.speaker, summary.speakers)
    summary.recipe = request.recipe or "chat"
    scrubber = _scrubber(request, material, speaker)
    summary.is_scrubbed = request.scrub is not False
    tokens = TokenCounter(request.model, _texts(material))
    summary.notes += tokens.notes
    rows = _chat_rows(request, material, speaker, scrubber, tokens)
    summary.rows = write(_with_scrubbed_files(rows, scrubber), out)
    summary.replaced, summary.different, summary.examples = scrubber.counts, scrubber.different, scrubber.examples
    if not summary.rows:
        raise DataError("material.no_rows", speaker=speaker, count=summary.messages)
    return summary


def _chat_rows(
    request: Request, material: Material, speaker: str, scrubber: Scrubber, tokens: TokenCounter
) -> Iterator[dict[str, Any]]:
    summary = material.summary
    if request.silence is None:
        summary.silence = conversations.infer_silence(material.chats.values())
    else:
        length = conversations.length(request.silence)
        summary.silence = conversations.Silence(request.silence, message("material.silence.chosen", length=length))
    chats_scrubbed = (_scrubbed(chat, scrubber) for chat in material.chats.values())
    most = tokens.characters(request.most_tokens)
    return conversations.rows(chats_scrubbed, speaker, summary.silence.seconds, most, summary.left_out)


def write(rows: Iterable[dict[str, Any]], out: Path) -> int:
    """Write rows as JSON lines, all or none, and no file without rows; return how many they are."""
    draft = out.with_name(f".{out.name}.draft")
    count = 0
    try:
        with files.space_for(out.parent, lambda: 1 << 20), open(draft, "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        if count:
            draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return count


def speaker_list(speakers: Counter[str], most: int = 20) -> str:
    """Return the speakers with their messages, most first."""
    names = [f"{name} ({count:,})" for name, count in speakers.most_common(most)]
    return ", ".join(names) + (", …" if len(speakers) > most else "")


def _texts(material: Material) -> list[str]:
    """Return texts from all over the material."""
    entries = [entry.text for chat in material.chats.values() for entry in chat]
    return entries[:: max(1, len(entries) // _SAMPLE)]


def _scrubber(request: Request, material: Material, speaker: str) -> Scrubber:
    sample = "".join(_texts(material))[:200_000]
    language = "ko" if share_of_hangul(sample) > 0.3 else "en"
    others = [name for name in material.summary.speakers if name != speaker]
    keep = frozenset(privacy.KINDS) if request.scrub is False else request.keep
    return Scrubber(others, language, keep)


def _scrubbed(chat: list[Message], scrubber: Scrubber) -> list[Message]:
    return [entry._replace(text=scrubber.scrub(entry.text, str(entry.place.number))) for entry in chat]


def _with_scrubbed_files(rows: Iterable[dict[str, Any]], scrubber: Scrubber) -> Iterator[dict[str, Any]]:
    """Yield rows whose file names hold no name either: exports are called after those who talk."""
    names: dict[str, str] = {}
    for row in rows:
        name = row["source"]["file"]
        if name not in names:
            names[name] = scrubber.scrub(name)
        row["source"]["file"] = names[name]
        yield row
