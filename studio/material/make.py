"""Make rows of chat exports and documents, and write them as JSON lines."""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from studio.data import provenance
from studio.data.readers.base import OnProgress
from studio.data.rows import evenly_spaced
from studio.errors import DataError
from studio.files import write_json_lines
from studio.i18n import Message as Text
from studio.i18n import listed, message
from studio.material import conversations, documents, privacy, recipes, rewriting
from studio.material.documents import Document
from studio.material.message import Message
from studio.material.passages import Passage, TokenCounter, passages
from studio.material.reading import CHAT, KNOWN_CHATS, Material, Request, Summary, needs_speaker, read, sample_of
from studio.material.rewriting import RewritingRecipe, Writer
from studio.material.scrub import Scrubber

Scrub = Callable[[str, str], str]
Item = TypeVar("Item")
SEPARATOR = ", "
"""Stands between the keywords of a prompt."""
_READING_SHARE = 0.1
"""Share of the progress until a model begins to write."""
_PROGRESS_EVERY = 500
"""Texts between two calls of `on_progress`."""


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
        raise DataError("material.no_material", name=name, formats=f"{KNOWN_CHATS}; {documents.formats()}")
    if needs_speaker(request, material):
        speakers = listed((f"{name} ({count:,})" for name, count in summary.speakers.most_common()), 20)
        raise DataError("material.whose", speakers=speakers)
    recipes_ = request.recipes or ((CHAT,) if summary.speakers else ("beginning",))
    if not summary.speakers and (request.speaker or CHAT in recipes_):
        raise DataError("material.no_chat", name=request.paths[0].name, formats=KNOWN_CHATS)
    speaker = conversations.resolve_speaker(request.speaker, summary.speakers) if request.speaker else ""
    summary.recipes = Counter(dict.fromkeys(recipes_, 0))
    summary.is_scrubbed = bool(summary.speakers) if request.scrub is None else request.scrub
    keep = request.keep if summary.is_scrubbed else frozenset(privacy.KINDS)
    scrubber = Scrubber([name for name in summary.speakers if name != speaker], summary.language, keep)
    reading_share = _READING_SHARE if asks_model(recipes_) else 1.0
    scrub = _with_progress(scrubber.scrub, material, lambda share: on_progress(share * reading_share))
    tokens = TokenCounter(request.model, sample_of(material))
    summary.notes = [  # the file that a note is about may be called after a speaker
        Text(note.key, {k: scrubber.scrub(v) if isinstance(v, str) else v for k, v in note.values.items()})
        for note in summary.notes
    ] + tokens.notes
    if summary.speakers:
        summary.silence = _silence(request, material)
    writing = lambda share: on_progress(_READING_SHARE + (1 - _READING_SHARE) * share)  # noqa: E731
    streams, notes = _RowMaker(request, material, speaker, scrub, tokens, writer, writing).streams()
    rows = interleave(streams)
    if len(streams) > 1:
        rows = _in_one_shape(rows, CHAT in recipes_)
    summary.rows = write_json_lines(out, _with_origin(rows, material, scrubber))
    for note in itertools.chain(*notes):
        if note not in summary.notes:
            summary.notes.append(note)
    summary.replaced, summary.different, summary.examples = scrubber.counts, scrubber.different, scrubber.examples
    summary.left_out = +summary.left_out
    if not summary.rows and recipes_ == (CHAT,):
        raise DataError("material.no_rows", speaker=speaker, count=summary.messages)
    if not summary.rows and not summary.left_out:
        raise DataError("material.no_paragraph", name=request.paths[0].name)
    if not summary.rows:
        raise DataError("material.no_passages", count=summary.left_out.total(), kinds=_counted(summary.left_out))
    if any(summary.left_out[kind] for kind in provenance.DROPPED):
        provenance.write(out, summary.left_out)
    return summary


def _counted(left_out: Counter[str]) -> Text:
    first, *rest = (
        message("material.counted", kind=message(f"material.left_out.{kind}"), count=f"{count:,}")
        for kind, count in left_out.most_common()
    )
    return functools.reduce(lambda before, after: message("material.joined", first=before, rest=after), rest, first)


def _silence(request: Request, material: Material) -> conversations.Silence:
    if request.silence is None:
        return conversations.infer_silence(material.chats.values())
    length = conversations.length(request.silence)
    return conversations.Silence(request.silence, message("material.silence.chosen", length=length))


@dataclass
class _RowMaker:
    """Makes the rows of all recipes of a request."""

    request: Request
    material: Material
    speaker: str
    scrub: Scrub
    tokens: TokenCounter
    writer: Writer | None
    on_progress: OnProgress
    """Gets the share that a model has written."""

    def streams(self) -> tuple[list[Iterator[dict[str, Any]]], list[list[Text]]]:
        """Return the rows of each recipe, in order, and the recipes' lists of notes, which may grow with the rows."""
        request, summary, names = self.request, self.material.summary, list(self.material.summary.recipes)
        of_passages = [name for name in names if name != CHAT]
        for_chat = for_passages = list(self.material.chats.values())
        if CHAT in names and of_passages and not request.every_way:
            silence = summary.silence.seconds
            shares = share_out([part for chat in for_chat for part in conversations.divide(chat, silence)], len(names))
            for_chat = shares.pop(names.index(CHAT))
            for_passages = list(itertools.chain(*shares))
        chosen: list[Passage] = []
        if of_passages:
            uncounted = CHAT in names and request.every_way  # the other speakers are the prompts of the recipe `chat`
            chosen = self._passages(for_passages, Counter() if uncounted else summary.left_out)
        else:
            summary.left_out["other_file"] += len(self.material.documents)
        count = len(of_passages)
        shares = [chosen] * count if request.every_way else share_out(chosen, count)
        by_recipe = {
            name: self._limited(share) if name in rewriting.NAMES else share
            for name, share in zip(of_passages, shares, strict=True)
        }
        recipe_of = self._recipes(by_recipe)
        streams = [
            self._chat_rows(for_chat) if name == CHAT else recipe_of[name].rows(by_recipe[name], summary.left_out)
            for name in names
        ]
        return streams, [recipe.notes for recipe in recipe_of.values()]

    def _chat_rows(self, chats: Iterable[Sequence[Message]]) -> Iterator[dict[str, Any]]:
        summary, most = self.material.summary, self.tokens.characters(self.request.most_tokens)
        scrubbed = (
            [entry._replace(text=self.scrub(entry.text, str(entry.place.number))) for entry in chat] for chat in chats
        )
        return conversations.rows(scrubbed, self.speaker, summary.silence.seconds, most, summary.left_out)

    def _passages(self, chats: Iterable[Sequence[Message]], left_out: Counter[str]) -> list[Passage]:
        """Return the passages of documents, and of what the speaker writes in `chats`."""
        summary = self.material.summary
        texts = documents.without_boilerplate(self.material.documents, summary.left_out)
        if summary.silence:
            texts += conversations.documents_of(chats, self.speaker, summary.silence.seconds, left_out)
        scrubbed = [
            Document(text.file, [replace(block, text=self.scrub(block.text, block.place)) for block in text.blocks])
            for text in texts
        ]
        least, most = self.request.least_tokens, self.request.most_tokens
        return list(passages(scrubbed, self.tokens, least, most, summary.left_out))

    def _limited(self, chosen: Sequence[Passage]) -> Sequence[Passage]:
        limited = evenly_spaced(chosen, self.request.limit or len(chosen))
        self.material.summary.left_out["not_chosen"] += len(chosen) - len(limited)
        return limited

    def _recipes(self, by_recipe: Mapping[str, Sequence[Passage]]) -> dict[str, Any]:
        """Return the recipes by name; the writer has agreed to all that those which ask a model are going to ask."""
        request, writer = self.request, self.writer
        result: dict[str, Any] = {}
        total = sum(len(share) for name, share in by_recipe.items() if name in rewriting.NAMES)
        tasks, before = [], 0
        for name, share in by_recipe.items():
            if name not in rewriting.NAMES:
                result[name] = recipes.RECIPES[name]()
                continue
            assert writer is not None

            def writing(done: float, start: int = before, count: int = len(share)) -> None:
                self.on_progress((start + done * count) / max(1, total))

            instruction = request.instructions.get(name) or rewriting.INSTRUCTIONS[name][self.material.summary.language]
            recipe = RewritingRecipe(name, instruction, writer, self.tokens, request.most_tokens, writing)
            result[name] = recipe
            tasks.append(recipe.task(share))
            before += len(share)
        if writer is not None and tasks:
            writer.agree(tasks)
        return result


def asks_model(names: Iterable[str]) -> bool:
    """Whether one of the recipes needs a model that writes prompts."""
    return any(name in rewriting.NAMES for name in names)


def _with_progress(scrub: Scrub, material: Material, on_progress: OnProgress) -> Scrub:
    """Return what replaces values, and says now and then what share of the material it has seen."""
    total = sum(map(len, material.chats.values())) + sum(len(each.blocks) for each in material.documents)
    done = itertools.count()

    def scrub_next(text: str, place: str) -> str:
        if (number := next(done)) % _PROGRESS_EVERY == 0:
            on_progress(min(1.0, number / total))
        return scrub(text, place)

    return scrub_next


def _with_origin(rows: Iterable[dict[str, Any]], material: Material, scrubber: Scrubber) -> Iterator[dict[str, Any]]:
    """Yield rows with their format, whose file names hold no name either: exports are called after those who talk."""
    names: dict[str, str] = {}
    for row in rows:
        name = row["source"]["file"]
        if name not in names:
            names[name] = scrubber.scrub(name)
        material.summary.recipes[row["source"]["recipe"]] += 1
        row["source"] |= {"file": names[name], "format": material.formats.get(name, "")}
        yield row


def share_out(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """Return `count` shares of the items: each item is in one, and the shares are alike all through the material."""
    return [items[number::count] for number in range(count)]


def interleave(streams: Iterable[Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield one row of each stream in turn, so that the first rows show every recipe."""
    return (row for rows in itertools.zip_longest(*streams) for row in rows if row is not None)


def _in_one_shape(rows: Iterable[dict[str, Any]], as_messages: bool) -> Iterator[dict[str, Any]]:
    """Yield rows of all recipes with the same columns: `messages`, or `prompt` and `completion`; and `source`."""
    for row in rows:
        if "messages" in row:
            yield row
            continue
        keys = [value for name, value in row.items() if name.startswith("key")]
        prompt, completion = row.get("prompt", SEPARATOR.join(keys)), row.get("completion", row.get("output"))
        if as_messages:
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
            yield {"messages": turns, "source": row["source"]}
        else:
            yield {"prompt": prompt, "completion": completion, "source": row["source"]}
