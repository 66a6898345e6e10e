"""Read chat exports and documents: what is to be made of them, and all that they hold."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from studio.data import provenance
from studio.data.language import share_of_hangul
from studio.data.readers.base import OnProgress
from studio.errors import DataError
from studio.i18n import Message as Text
from studio.material import conversations, discord, documents, kakaotalk, mail, messenger, slack, telegram, whatsapp
from studio.material.documents import Document
from studio.material.message import TEXT, Message
from studio.material.parts import Part, walk
from studio.material.scrub import Example

CHAT = "chat"
RECIPES = provenance.RECIPES
CHAT_FORMATS: tuple[ModuleType, ...] = (telegram, discord, messenger, slack, mail, whatsapp, kakaotalk)
"""Modules with `NAME`, `matches(part)` and `read(part)`; of text ones, the stricter stand first."""
IN_ORDER = (whatsapp, kakaotalk)
"""Formats whose order is kept: their times are those of a phone, to the minute, and a clock may be set back."""
KNOWN_CHATS = ", ".join(module.NAME for module in CHAT_FORMATS)
_SAMPLE = 2_000
"""Texts from which the language is inferred."""


@dataclass(frozen=True)
class Request:
    """What to make rows of, and how."""

    paths: tuple[Path, ...]
    speaker: str | None = None
    """Whose messages become the answers."""
    recipes: tuple[str, ...] = ()
    """Of `RECIPES`; empty for `chat` where there are chats, else `beginning`."""
    every_way: bool = False
    """Whether every recipe gets all passages and conversations; else these are shared out between the recipes."""
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
    instructions: Mapping[str, str] = field(default_factory=dict)
    """The instructions of the recipes of `rewriting`, where that is not the default in the material's language."""
    limit: int | None = None
    """Most passages for each of those recipes, evenly spaced."""


@dataclass
class Summary:
    """What came of it."""

    rows: int = 0
    recipes: Counter[str] = field(default_factory=Counter)
    """Rows by recipe, in the order of the request."""
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
    language: str = ""
    """What most of the material is written in: `ko`, or `en` for all others."""
    silence: conversations.Silence | None = None
    notes: list[Text] = field(default_factory=list)


@dataclass
class Material:
    """All that was read."""

    chats: dict[tuple[str, str], list[Message]] = field(default_factory=dict)
    """Messages of text by the file that was given and the chat in it, in order of time."""
    documents: list[Document] = field(default_factory=list)
    formats: dict[str, str] = field(default_factory=dict)
    """What each file was read as."""
    summary: Summary = field(default_factory=Summary)


def read(request: Request, on_progress: OnProgress = lambda share: None) -> Material:
    """Read the files, with the speakers counted; raises DataError for a file of no known format."""
    material = Material()
    summary = material.summary
    total = sum(path.stat().st_size for path in request.paths if path.is_file()) or 1
    done = 0
    damage: DataError | None = None
    in_order: set[tuple[str, str]] = set()
    for part in walk(list(request.paths), request.encoding, summary.left_out):
        try:
            _read_part(part, request, material, in_order)
        except DataError as error:
            if part.is_named:
                raise
            summary.left_out["damaged_file"] += 1
            damage = error
        done += part.size
        on_progress(min(1.0, done / total))
    if damage and not material.chats and not material.documents:
        raise damage
    for key, entries in material.chats.items():
        if key not in in_order:
            entries.sort(key=lambda entry: (entry.at is not None, entry.at))
    summary.left_out = +summary.left_out
    summary.language = "ko" if share_of_hangul("".join(sample_of(material))[:200_000]) > 0.3 else "en"
    return material


def chat_format_of(part: Part) -> ModuleType | None:
    """Return the module of a file's chat format; None for what is no chat export that is known."""
    return next((module for module in CHAT_FORMATS if module.matches(part)), None)


def _read_part(part: Part, request: Request, material: Material, in_order: set[tuple[str, str]]) -> None:
    """Add a file's messages or text to the material, and its chats to `in_order` where their order is kept."""
    summary = material.summary
    module = chat_format_of(part)
    if module is None:
        if not slack.is_list(part):
            _read_document(part, request, material)
        return
    summary.formats[module.NAME] += 1
    material.formats[part.name] = module.NAME
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
        if module in IN_ORDER:
            in_order.add(key)
    summary.notes += part.notes


def _read_document(part: Part, request: Request, material: Material) -> None:
    """Read a file that is no chat; raises DataError for one that the user named and that cannot be read."""
    summary = material.summary
    if part.is_named and not part.start.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        raise DataError("material.empty", name=part.name)
    document = documents.read(part, summary.left_out) if request.recipes != (CHAT,) else None
    if document is not None:
        material.formats[part.name] = part.suffix.removeprefix(".") or "pdf"
        summary.formats[material.formats[part.name]] += 1
        material.documents.append(document)
        return
    if part.is_named:
        if not part.head and part.start[:2] not in (b"PK", b"%P"):
            part.codec  # noqa: B018 (what is no text raises what it is)
        if request.recipes == (CHAT,):
            raise DataError("material.no_chat", name=part.name, formats=KNOWN_CHATS)
        known = f"{KNOWN_CHATS}; {documents.formats()}"
        raise DataError("material.unknown", name=part.name, formats=known)
    summary.left_out["other_file"] += 1


def needs_speaker(request: Request, material: Material) -> bool:
    """Whether there are chats, and it is open whose messages become the answers."""
    return request.speaker is None and bool(material.summary.speakers)


def sample_of(material: Material) -> list[str]:
    """Return texts from all over the material."""
    entries = [entry.text for chat in material.chats.values() for entry in chat]
    entries += [block.text for document in material.documents for block in document.blocks]
    return entries[:: max(1, len(entries) // _SAMPLE)]
