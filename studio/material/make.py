"""Make rows of chat exports and documents, and write them as JSON lines."""

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studio import files
from studio.data import provenance
from studio.data.language import share_of_hangul
from studio.errors import DataError
from studio.i18n import Message as Text
from studio.i18n import listed, message
from studio.material import chats, conversations, documents, privacy, recipes, rewriting, slack
from studio.material.documents import Document
from studio.material.message import TEXT, Message
from studio.material.parts import Part, walk
from studio.material.passages import passages
from studio.material.rewriting import RewritingRecipe, Writer
from studio.material.scrub import Example, Scrubber
from studio.material.tokens import TokenCounter

OnProgress = Callable[[float], None]
Scrub = Callable[[str, str], str]
CHAT = "chat"
RECIPES = provenance.RECIPES
_READING_SHARE = 0.1
"""Share of the progress until a model begins to write."""
_PROGRESS_EVERY = 500
"""Texts between two calls of `on_progress`."""
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
    instruction: str | None = None
    """What a model is asked by the recipes of `rewriting`; None for the default in the language of the material."""
    limit: int | None = None
    """Most passages for those recipes, evenly spaced."""


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
            if part.is_given:
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
    summary.language = _language(material)
    return material


def _read_part(part: Part, request: Request, material: Material, in_order: set[tuple[str, str]]) -> None:
    """Add a file's messages or text to the material, and its chats to `in_order` where their order is kept."""
    summary = material.summary
    module = chats.format_of(part)
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
        if module in chats.IN_ORDER:
            in_order.add(key)
    summary.notes += part.notes


def _read_document(part: Part, request: Request, material: Material) -> None:
    """Read a file that is no chat; raises DataError for one that the user named and that cannot be read."""
    summary = material.summary
    if part.is_given and not part.start.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        raise DataError("material.empty", name=part.name)
    document = documents.read(part, summary.left_out) if request.recipe != CHAT else None
    if document is not None:
        material.formats[part.name] = part.suffix.removeprefix(".") or "pdf"
        summary.formats[material.formats[part.name]] += 1
        material.documents.append(document)
        return
    if part.is_given:
        if not part.head and part.start[:2] not in (b"PK", b"%P"):
            part.codec  # noqa: B018 (what is no text raises what it is)
        if request.recipe == CHAT:
            raise DataError("material.no_chat", name=part.name, formats=chats.names())
        known = f"{chats.names()}; {documents.formats()}"
        raise DataError("material.unknown", name=part.name, formats=known)
    summary.left_out["other_file"] += 1


def needs_speaker(request: Request, material: Material) -> bool:
    """Whether there are chats, and it is open whose messages become the answers."""
    return request.speaker is None and bool(material.summary.speakers)


def make(
    request: Request,
    out: Path,
    material: Material | None = None,
    on_progress: OnProgress = lambda share: None,
    writer: Writer | None = None,
) -> Summary:
    """Write the rows to `out`; `material` is what `read` returned. Raises DataError where no row comes of it.

    `on_progress` gets the share done, and may raise to end the work: no file is written then. The recipes of
    `rewriting` need a `writer`.
    """
    material = material or read(request)
    summary = material.summary
    if not out.parent.is_dir():
        raise DataError("material.missing", name=str(out.parent))
    if any(path.exists() and out.exists() and path.samefile(out) for path in request.paths):
        raise DataError("material.same_file", name=out.name)
    if not summary.speakers and not material.documents:
        name, formats = request.paths[0].name, listed(summary.formats)
        if formats:
            raise DataError("material.no_messages", name=name, format=formats, count=summary.messages)
        raise DataError("material.no_material", name=name, formats=f"{chats.names()}; {documents.formats()}")
    if needs_speaker(request, material):
        raise DataError("material.whose", speakers=speaker_list(summary.speakers))
    if request.speaker and not summary.speakers:
        raise DataError("material.no_chat", name=request.paths[0].name, formats=chats.names())
    speaker = conversations.resolve_speaker(request.speaker, summary.speakers) if request.speaker else ""
    summary.recipe = request.recipe or (CHAT if summary.speakers else "beginning")
    summary.is_scrubbed = bool(summary.speakers) if request.scrub is None else request.scrub
    scrubber = _scrubber(request, material, speaker)
    asks_model = summary.recipe in rewriting.NAMES
    reading_share = _READING_SHARE if asks_model else 1.0
    scrub = _with_progress(scrubber.scrub, material, lambda share: on_progress(share * reading_share))
    tokens = TokenCounter(request.model, _texts(material))
    summary.notes = [_without_names(note, scrubber) for note in summary.notes] + tokens.notes
    if summary.speakers:
        summary.silence = _silence(request, material)
    if summary.recipe == CHAT:
        if not summary.speakers:
            raise DataError("material.no_chat", name=request.paths[0].name, formats=chats.names())
        summary.left_out["other_file"] += len(material.documents)
        most = tokens.characters(request.most_tokens)
        scrubbed = (_scrubbed(chat, scrub) for chat in material.chats.values())
        rows = conversations.rows(scrubbed, speaker, summary.silence.seconds, most, summary.left_out)
    else:
        recipe: recipes.Recipe
        if asks_model:
            assert writer is not None
            instruction = request.instruction or rewriting.INSTRUCTIONS[summary.recipe][summary.language]
            most = request.most_tokens
            writing = lambda share: on_progress(_READING_SHARE + (1 - _READING_SHARE) * share)  # noqa: E731
            recipe = RewritingRecipe(summary.recipe, instruction, writer, tokens, most, writing)
        else:
            recipe = recipes.RECIPES[summary.recipe]()
        rows = _passage_rows(request, material, speaker, scrub, tokens, recipe)
    summary.rows = write(_with_origin(rows, material, scrubber), out)
    summary.replaced, summary.different, summary.examples = scrubber.counts, scrubber.different, scrubber.examples
    summary.left_out = +summary.left_out
    if not summary.rows and summary.recipe == CHAT:
        raise DataError("material.no_rows", speaker=speaker, count=summary.messages)
    if not summary.rows:
        raise DataError("material.no_passages", count=summary.left_out.total(), kinds=_counted(summary.left_out))
    if any(summary.left_out[kind] for kind in provenance.DROPPED):
        provenance.write(out, summary.left_out)
    return summary


def _counted(left_out: Counter[str]) -> Text:
    """Return what was left out by kind, as one text."""
    first, *rest = (
        message("material.counted", kind=message(f"material.left_out.{kind}"), count=f"{count:,}")
        for kind, count in left_out.most_common() or [("short", 0)]
    )
    return functools.reduce(lambda before, after: message("material.joined", first=before, rest=after), rest, first)


def _without_names(note: Text, scrubber: Scrubber) -> Text:
    """Return a note about a file whose name may be that of a speaker."""
    return Text(note.key, {k: scrubber.scrub(v) if isinstance(v, str) else v for k, v in note.values.items()})


def _silence(request: Request, material: Material) -> conversations.Silence:
    if request.silence is None:
        return conversations.infer_silence(material.chats.values())
    length = conversations.length(request.silence)
    return conversations.Silence(request.silence, message("material.silence.chosen", length=length))


def _passage_rows(
    request: Request, material: Material, speaker: str, scrub: Scrub, tokens: TokenCounter, recipe: recipes.Recipe
) -> Iterator[dict[str, Any]]:
    """Yield the rows of documents, and of what the speaker writes in chats."""
    summary = material.summary
    texts = documents.without_boilerplate(material.documents, summary.left_out)
    if summary.silence:
        texts += conversations.documents_of(material.chats.values(), speaker, summary.silence.seconds, summary.left_out)
    scrubbed = [
        Document(text.file, [replace(block, text=scrub(block.text, block.place)) for block in text.blocks])
        for text in texts
    ]
    least, most = request.least_tokens, request.most_tokens
    chosen = list(passages(scrubbed, tokens, least, most, summary.left_out))
    if summary.recipe in rewriting.NAMES and request.limit and len(chosen) > request.limit:
        summary.left_out["not_chosen"] += len(chosen) - request.limit
        chosen = [chosen[at * len(chosen) // request.limit] for at in range(request.limit)]
    yield from recipe.rows(chosen, summary.left_out)
    summary.notes += recipe.notes


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
    entries += [block.text for document in material.documents for block in document.blocks]
    return entries[:: max(1, len(entries) // _SAMPLE)]


def _language(material: Material) -> str:
    """Return the language that most of the material is in."""
    return "ko" if share_of_hangul("".join(_texts(material))[:200_000]) > 0.3 else "en"


def _scrubber(request: Request, material: Material, speaker: str) -> Scrubber:
    others = [name for name in material.summary.speakers if name != speaker]
    keep = request.keep if material.summary.is_scrubbed else frozenset(privacy.KINDS)
    return Scrubber(others, material.summary.language, keep)


def _with_progress(scrub: Scrub, material: Material, on_progress: OnProgress) -> Scrub:
    """Return what replaces values, and says now and then what share of the material it has seen."""
    total = sum(map(len, material.chats.values())) + sum(len(each.blocks) for each in material.documents)
    done = itertools.count()

    def scrub_next(text: str, place: str) -> str:
        if (number := next(done)) % _PROGRESS_EVERY == 0:
            on_progress(number / total)
        return scrub(text, place)

    return scrub_next


def _scrubbed(chat: list[Message], scrub: Scrub) -> list[Message]:
    return [entry._replace(text=scrub(entry.text, str(entry.place.number))) for entry in chat]


def _with_origin(rows: Iterable[dict[str, Any]], material: Material, scrubber: Scrubber) -> Iterator[dict[str, Any]]:
    """Yield rows with their format, whose file names hold no name either: exports are called after those who talk."""
    names: dict[str, str] = {}
    for row in rows:
        name = row["source"]["file"]
        if name not in names:
            names[name] = scrubber.scrub(name)
        row["source"] |= {"file": names[name], "format": material.formats.get(name, "")}
        yield row
