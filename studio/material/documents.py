"""Documents as blocks of text: Word, PDF, EPUB, HTML, Markdown, plain text and subtitles.

What is not the text itself (headers, page numbers, tables of contents, menus) is left out and counted.
"""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from studio.data.readers.base import require_size
from studio.errors import DataError, one_line
from studio.material.markup import RejectedMarkup, blocks_of_html, parse_html
from studio.material.message import clean
from studio.material.parts import MAX_IN_MEMORY, ZIP_ERRORS, Part, zip_error

MAX_PAGES = 10_000
_CHAPTER = re.compile(
    r"(?:제 ?\d{1,4} ?[장부화편절막회]|\d{1,4} ?[장부화편막](?![가-힣])"
    r"|(?:Chapter|Part|Book|Act|Scene|Episode|Canto) [\dIVXLC]{1,7}"
    r"|프롤로그|에필로그|Prologue|Epilogue|#{1,6} )",
    re.IGNORECASE,
)
_PAGE_NUMBER = re.compile(
    r"\W{0,4}(?:(?:page|p\.|쪽) ?)?\d{1,5}(?: ?(?:/|of|쪽) ?\d{0,5})?\W{0,4}|[ivxl]{1,7}", re.IGNORECASE
)
_CONTENTS = re.compile(r".{1,200}?(?: ?[.·…‥]){3,} ?\d{1,5}")
_SOUND = re.compile(r"(?:[\[(（♪].{0,200}[\])）♪]|♪.{0,200})")
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\n]{0,1000}\)")
_PDF_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError, AssertionError,
               ArithmeticError, NotImplementedError)  # fmt: skip
"""How reading a damaged PDF ends, beside pypdf's own errors."""
_SCENE_SECONDS = 20
"""Silence between two subtitles that ends a scene."""
_WRAPPED = 60
"""Characters of the longest line of a paragraph from which on its lines were broken by an editor."""
_REPEATS, _REPEAT_SHARE = 3, 0.3
"""Pages or files, and the share of them, from which on a line at their edge or a block is boilerplate."""


@dataclass(frozen=True)
class Block:
    """A piece of text between borders."""

    text: str
    place: str
    """Page, chapter or line."""
    is_heading: bool = False


@dataclass(frozen=True)
class Document:
    """A file's text."""

    file: str
    blocks: list[Block]


def read(part: Part, left_out: Counter[str]) -> Document | None:
    """Return the text of a document; None for what is none. Raises DataError for a damaged or encrypted one."""
    reader = _READERS.get(part.suffix)
    if reader is None:
        if part.start.startswith(b"%PDF"):
            reader = _pdf
        else:
            return None
    try:
        blocks = [block for block in reader(part, left_out) if block.text]
    except RejectedMarkup as error:
        raise DataError("data.damaged", name=part.name, detail=one_line(error)) from error
    return Document(part.name, blocks)


def formats() -> str:
    """Return the endings of the names of documents."""
    return ", ".join(suffix.removeprefix(".") for suffix in _READERS)


def without_boilerplate(documents: list[Document], left_out: Counter[str]) -> list[Document]:
    """Leave out blocks that stand in many of the documents, such as a site's notice under each page."""
    counts = Counter(text for document in documents for text in {block.text for block in document.blocks})
    least = max(_REPEATS, _REPEAT_SHARE * len(documents))
    repeated = {text for text, count in counts.items() if count >= least}
    result = []
    for document in documents:
        blocks = [block for block in document.blocks if block.text not in repeated]
        left_out["boilerplate"] += len(document.blocks) - len(blocks)
        result.append(Document(document.file, blocks))
    return result


def _is_contents(line: str) -> bool:
    """Whether a line is of a table of contents: words, dots, and a page."""
    return len(line) < 400 and bool(_CONTENTS.fullmatch(line))


def _paragraphs(lines: list[str], is_markdown: bool = False) -> Iterator[Block]:
    """Yield the paragraphs of lines; a text without empty lines has one in each line."""
    has_gaps = sum(not line.strip() for line in lines) > len(lines) // 50
    paragraph: list[str] = []
    start = 1
    for number, raw in enumerate((*lines, ""), 1):
        line = clean(raw)
        is_heading = bool(_CHAPTER.match(line)) and len(line) < 80
        if paragraph and (not line or is_heading or not has_gaps):
            yield Block("\n".join(paragraph), str(start))
            paragraph = []
        if is_heading:
            yield Block(line.lstrip("# ") if is_markdown else line, str(number), True)
        elif line:
            if not paragraph:
                start = number
            paragraph.append(line)


def _text(part: Part, left_out: Counter[str]) -> Iterator[Block]:
    lines = []
    for line in part.lines():
        if _is_contents(line.strip()):
            left_out["contents"] += 1
            line = ""
        lines.append(line)
    yield from map(_unwrapped, _paragraphs(lines))


def _unwrapped(block: Block) -> Block:
    """Return a paragraph without the line breaks of an editor; short lines, as of verse, keep theirs."""
    lines = block.text.split("\n")
    longest = max(map(len, lines))
    return replace(block, text=_joined(lines, longest)) if longest >= _WRAPPED else block


def _markdown(part: Part, left_out: Counter[str]) -> Iterator[Block]:
    lines = part.text().split("\n")
    if lines and lines[0].strip() == "---" and "---" in (line.strip() for line in lines[1:100]):
        end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == "---")
        lines = [""] * (end + 1) + lines[end + 1 :]
        left_out["header"] += 1
    lines = [_MARKDOWN_LINK.sub(r"\1", line) if "](" in line else line for line in lines]
    yield from map(_unwrapped, _paragraphs(lines, True))


def _html_blocks(html: str, place: str, left_out: Counter[str]) -> Iterator[Block]:
    """Yield the paragraphs of HTML; lines that no paragraph parts are one, as a stanza with breaks is."""
    lines: list[str] = []
    count = 0
    for is_heading, text in (*blocks_of_html(html, left_out=left_out), (False, "")):
        if (is_heading or not text) and lines:
            count += 1
            yield Block("\n".join(lines), f"{place}{count}")
            lines = []
        if is_heading:
            count += 1
            yield Block(clean(text), f"{place}{count}", True)
        elif text:
            lines.append(clean(text))


def _word(part: Part, left_out: Counter[str]) -> Iterator[Block]:
    import docx

    with _office_zip(part) as file:
        try:
            document = docx.Document(file)
        except Exception as error:  # python-docx lets out what zipfile, lxml and its own parts raise
            raise DataError("data.damaged", name=part.name, detail=one_line(error)) from error
        for section in document.sections:
            for edge in (section.header, section.footer):
                left_out["header"] += any(paragraph.text.strip() for paragraph in edge.paragraphs)
        for number, item in enumerate(document.iter_inner_content(), 1):
            if not hasattr(item, "style") or hasattr(item, "rows"):
                rows = (" ".join(dict.fromkeys(clean(cell.text) for cell in row.cells)) for row in item.rows)
                yield Block("\n".join(filter(None, rows)), str(number))
                continue
            style = (item.style.name or "").lower() if item.style is not None else ""
            text = clean(item.text)
            if style.startswith(("toc", "목차")) or _is_contents(text) or re.fullmatch(r".{1,200}\t\d{1,5}", text):
                left_out["contents"] += bool(text)
                continue
            yield Block(text, str(number), style.startswith(("heading", "title", "제목")) and len(text) < 200)


def _epub(part: Part, left_out: Counter[str]) -> Iterator[Block]:
    with _office_zip(part) as file, zipfile.ZipFile(file) as archive:

        def unpacked(name: str) -> bytes:
            try:
                return archive.read(name)
            except ZIP_ERRORS as error:
                raise zip_error(part.name, error) from error

        def parsed(name: str) -> Any:
            return parse_html(unpacked(name).decode("utf-8", "replace"))

        root = parsed("META-INF/container.xml").find("rootfile")
        package = root.get("full-path") if root else None
        if not package:
            raise DataError("data.damaged", name=part.name, detail="META-INF/container.xml")
        contents = parsed(package)
        items = {item.get("id"): item for item in contents.find_all("item")}
        folder = PurePosixPath(package).parent
        for number, reference in enumerate(contents.find_all("itemref"), 1):
            item = items.get(reference.get("idref"))
            name = str(folder / unquote(item.get("href", ""))) if item is not None else ""
            if item is not None and "nav" in (item.get("properties") or "").split():
                left_out["contents"] += 1
            elif name in archive.namelist():
                html = unpacked(name).decode("utf-8", "replace")
                yield from _html_blocks(html, f"{number}.", left_out)


def _pdf(part: Part, left_out: Counter[str]) -> Iterator[Block]:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(part.read()))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("material.password", name=part.name)
        pages = [page.extract_text().splitlines() for page in reader.pages[:MAX_PAGES]]
    except (*_PDF_ERRORS, PyPdfError) as error:
        raise DataError("data.damaged", name=part.name, detail=one_line(error)) from error
    if not any(line.strip() for page in pages for line in page):
        raise DataError("material.no_text", name=part.name)
    edges = Counter(key for page in pages for key in {_edge_key(line) for line in _edges(page)})
    repeated = {key for key, count in edges.items() if key and count >= max(_REPEATS, _REPEAT_SHARE * len(pages))}
    for number, page in enumerate(pages, 1):
        lines = []
        at_edge = {id(line) for line in _edges(page)}
        for line in page:
            text = clean(line)
            if id(line) in at_edge and text and _PAGE_NUMBER.fullmatch(text):
                left_out["page_number"] += 1
            elif id(line) in at_edge and _edge_key(line) in repeated:
                left_out["header"] += 1
            elif _is_contents(text):
                left_out["contents"] += 1
            else:
                lines.append(text)
        yield from (Block(block.text, f"page {number}", block.is_heading) for block in _of_page(lines))


def _edges(page: list[str]) -> list[str]:
    lines = [line for line in page if line.strip()]
    return lines if len(lines) < 4 else [*lines[:2], *lines[-2:]]


def _edge_key(line: str) -> str:
    """Return a line without its numbers, by which headers and footers are alike."""
    return re.sub(r"\d+", "#", clean(line))


def _of_page(lines: list[str]) -> Iterator[Block]:
    """Yield the paragraphs of a page, whose lines end where the paper does."""
    longest = max(map(len, lines), default=0)
    for block in _paragraphs(lines) if any(not line for line in lines) else _by_length(lines, longest):
        yield Block(_joined(block.text.split("\n"), longest), block.place, block.is_heading)


def _by_length(lines: list[str], longest: int) -> Iterator[Block]:
    """Yield paragraphs of lines without gaps: a short line that ends a sentence ends one."""
    paragraph: list[str] = []
    for line in lines:
        if _CHAPTER.match(line) and len(line) < 80:
            if paragraph:
                yield Block("\n".join(paragraph), "")
            paragraph = []
            yield Block(line, "", True)
            continue
        paragraph.append(line)
        if len(line) < 0.8 * longest and line.endswith((".", "!", "?", "”", '"', "。", "다")):
            yield Block("\n".join(paragraph), "")
            paragraph = []
    if paragraph:
        yield Block("\n".join(paragraph), "")


def _joined(lines: list[str], longest: int) -> str:
    """Join the lines of a paragraph where they were broken for the paper; short ones, as of verse, stay."""
    text = lines[0]
    for before, line in pairwise(lines):
        if len(before) < 0.6 * longest:
            text += "\n" + line
        elif before.endswith("-") and line[:1].islower():
            text = text[:-1] + line
        else:
            text += " " + line
    return text


def _subtitles(part: Part, left_out: Counter[str]) -> Iterator[Block]:
    import pysubs2

    try:
        file = pysubs2.SSAFile.from_string(part.text(), format_=part.suffix.removeprefix("."))
    except (pysubs2.Pysubs2Error, ValueError, IndexError, OverflowError) as error:
        raise DataError("data.damaged", name=part.name, detail=one_line(error)) from error
    scene: list[str] = []
    start, end = 1, 0
    for number, event in enumerate(sorted(file, key=lambda event: event.start), 1):
        lines = []
        for line in re.sub(r"<[^<>]{1,100}>", "", event.plaintext).split("\n"):
            line = clean(line).removeprefix("-").strip()
            if _SOUND.fullmatch(line):
                left_out["sound"] += 1
            elif line:
                lines.append(line)
        if scene and event.start - end > _SCENE_SECONDS * 1000:
            yield Block("\n".join(scene), str(start))
            scene = []
        if not scene:
            start = number
        scene += lines
        end = event.end
    yield Block("\n".join(scene), str(start))


def _office_zip(part: Part) -> Any:
    """Return the bytes of a format that is a zip, after a look at what it unpacks to."""
    file = io.BytesIO(part.read())
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except ZIP_ERRORS as error:
        raise zip_error(part.name, error) from error
    require_size(part.name, unpacked, MAX_IN_MEMORY)
    file.seek(0)
    return file


_READERS: dict[str, Callable[[Part, Counter[str]], Iterator[Block]]] = {
    ".docx": _word,
    ".pdf": _pdf,
    ".epub": _epub,
    **dict.fromkeys((".html", ".htm"), lambda part, left_out: _html_blocks(part.text(), "", left_out)),
    ".md": _markdown,
    ".txt": _text,
    ".srt": _subtitles,
    ".vtt": _subtitles,
}
