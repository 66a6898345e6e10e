"""The encoding of a text file: its byte order mark, else UTF-8, else the legacy encoding whose text is plausible.

Where two legacy encodings fit about equally, nothing is guessed: the error shows how a line reads in each, and
`data.source.encoding` chooses.
"""

import codecs
import re
from pathlib import Path

from studio.data import plausibility
from studio.errors import DataError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_ESCAPES = ((re.compile(rb"\x1b\$[@B]|\x1b\(J"), "iso2022_jp"), (re.compile(rb"\x1b\$\)C"), "iso2022_kr"))
_USUAL = re.compile(
    r"[\t\r\n -~\xa0-\u017f\u0370-\u06ff\u0e00-\u0e7f\u2010-\u2122\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\ud800-\udfff"
    r"\uff00-\uffef]"
)
"""Letters and signs of the scripts that most files are written in."""
CHUNK = 4 << 20
"""Bytes from which the encoding is detected: the first ones of the file that are not all ASCII."""
_SEARCHED = 256 << 20
"""Bytes in which a letter beyond ASCII is searched: a file of many gigabytes opens in a moment."""
_SCORED = 2_000
"""Bytes of that sample that are scored, of lines from all over it."""
_LEAST, _MARGIN, _MARGIN_OF_MANY, _MANY = 0.1, 0.15, 0.08, 40
"""A text is plausible from this score on, and clearly so when it is ahead by this margin; from 40 letters, by less."""


def detect(path: Path, chosen: str | None = None, can_choose: bool = True) -> str:
    """Return the encoding of a file as Python names it; `chosen` is the one that the settings name, if any.

    Raises DataError when the bytes are no text, when two encodings fit equally, and when the chosen one does not fit.
    """
    with open(path, "rb") as file:
        head = file.read(CHUNK)
    if chosen is not None:
        return _checked(path, head, chosen)
    if marked := _mark(head):
        return marked
    if b"\0" in head and (wide := _wide(head)):
        return wide
    is_padded = len(head) < CHUNK  # zeros at the end of a file are not counted, zeros in its midst are
    zeros = (head.rstrip(b"\0") if is_padded else head).count(b"\0")
    if zeros > max(10, len(head) / 100) or not head.strip(b"\0"):
        line = head.count(b"\n", 0, head.index(b"\0")) + 1
        raise DataError("data.nul", name=path.name, line=line)
    sample = _beyond_ascii(path, head)
    if escaped := next((encoding for pattern, encoding in _ESCAPES if pattern.search(head)), None):
        return escaped
    if is_utf8(sample):
        return "utf-8"
    return _legacy(path.name, sample, can_choose)


def decode(content: bytes, name: str) -> str:
    """Return a small file's text, such as a file of settings; raises DataError as `detect` does."""
    encoding = _mark(content)
    if encoding is None and b"\0" in content:
        encoding = _wide(content) or "utf-8"
    if encoding is None:
        encoding = "utf-8" if is_utf8(content) else _legacy(name, content, can_choose=False)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError("data.encoding", name=name) from error


def clearly_other(path: Path, chosen: str) -> str | None:
    """Return the encoding that a file is clearly in, if it is not the chosen one."""
    try:
        detected = detect(path)
    except DataError:
        return None
    with open(path, "rb") as file:
        sample = _beyond_ascii(path, file.read(CHUNK))
    try:
        same = sample.decode(detected, "ignore") == sample.decode(chosen, "ignore")
    except UnicodeError:
        return None
    return None if same or detected == chosen or detected.removesuffix("-sig") == chosen else detected


def _beyond_ascii_in(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _mark(head: bytes) -> str | None:
    return next((encoding for bom, encoding in _BOMS if head.startswith(bom)), None)


def _checked(path: Path, head: bytes, chosen: str) -> str:
    """Return the chosen encoding, unless much of the file cannot be read with it."""
    marked = _mark(head)
    if marked and marked.split("-")[:2] == chosen.split("-")[:2]:
        return marked
    if chosen.startswith(("utf-16", "utf-32")):
        wide = _wide(head)
        if wide is None or not wide.startswith(chosen):
            raise DataError("data.encoding_chosen", name=path.name, encoding=chosen, line=1)
        return wide
    sample = _beyond_ascii(path, head)
    text = sample.decode(chosen, "replace")
    damaged = text.count("\ufffd") - sample.count("\ufffd".encode())
    if damaged > max(3, _beyond_ascii_in(text) / 10) or (damaged and len(sample) < 100):
        line = text.count("\n", 0, text.index("\ufffd")) + 1
        raise DataError("data.encoding_chosen", name=path.name, encoding=chosen, line=line)
    return chosen


def _beyond_ascii(path: Path, head: bytes) -> bytes:
    """Return the file's bytes from the first one on that is not ASCII, 4 MB; `head` where all searched are ASCII."""
    if not head.isascii():
        return head
    with open(path, "rb") as file:
        file.seek(len(head))
        while file.tell() < _SEARCHED and (chunk := file.read(CHUNK)):
            if not chunk.isascii():
                first = next(place for place, byte in enumerate(chunk) if byte > 127)
                return chunk[first:] + file.read(min(first, CHUNK))
    return head


def is_utf8(sample: bytes) -> bool:
    """Whether bytes are UTF-8, a few damaged letters among them or a cut one at the end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
        return True
    except UnicodeDecodeError:
        text = sample.decode("utf-8", "replace")
        damaged = text.count("\ufffd")
        whole = _beyond_ascii_in(text) - damaged
        return damaged < whole and damaged <= max(3, len(sample) / 1000)


def _wide(head: bytes) -> str | None:
    """Return the encoding of two or four bytes a letter that bytes without a mark are in; None if they are in none."""
    candidates: list[tuple[float, str]] = []
    for encoding in _WIDE:
        width = 4 if encoding.startswith("utf-32") else 2
        sample = head[: min(len(head) - len(head) % width, _SCORED * width)]
        try:
            text = sample.decode(encoding, "strict" if width == 4 else "surrogatepass")
        except UnicodeDecodeError:
            continue
        ascii_share = sum(" " <= letter <= "~" or letter in "\t\r\n" for letter in text) / max(len(text), 1)
        if ascii_share > 0.02 and len(_USUAL.findall(text)) >= 0.95 * len(text):
            candidates.append((ascii_share, encoding))
    return max(candidates)[1] if candidates else None


def _legacy(name: str, sample: bytes, can_choose: bool) -> str:
    """Return the encoding in which the sample's lines that are not ASCII look most like written text."""
    lines = [line for line in sample.splitlines(keepends=True) if not line.isascii()]
    if len(lines) > 1 and len(sample) >= CHUNK:
        lines.pop()  # it may be cut
    step = sum(map(len, lines)) // _SCORED + 1
    joined = b"".join(line[:_SCORED] for line in lines[::step])[:_SCORED]
    readings: list[tuple[float, str, str]] = []
    for encoding in plausibility.CANDIDATES:
        text = joined.decode(encoding, "replace")
        damaged = text.count("\ufffd")
        letters = _beyond_ascii_in(text) - damaged
        if letters and damaged <= max(1, letters / 50):
            score = plausibility.score(text.replace("\ufffd", "?"), encoding) + plausibility.PRIOR.get(encoding, 0.0)
            readings.append((score - 2 * damaged / letters, encoding, text))
    readings.sort(key=lambda reading: -reading[0])
    if not readings or readings[0][0] < _LEAST:
        if sample.decode("utf-8", "replace").count("\ufffd") <= max(1, len(sample) / 1000):
            return "utf-8"  # damaged letters, whose rows are counted
        raise DataError("data.encoding", name=name)
    best, chosen, best_text = readings[0]
    rival = next((score for score, _, text in readings if text != best_text), None)
    margin = _MARGIN if _beyond_ascii_in(best_text) < _MANY else _MARGIN_OF_MANY
    if rival is None or rival <= _LEAST or best - rival >= margin - 1e-9:
        return chosen
    candidates: dict[str, str] = {}
    for score, encoding, text in readings:
        if best - score < margin and text not in candidates:  # the words around the first letter that it decides about
            first = next((place for place, letter in enumerate(text) if not letter.isascii()), 0)
            start = max(text.rfind("\n", 0, first) + 1, first - 20)
            candidates[text] = f"{encoding}: {' '.join(text[start : first + 20].split())}"
    raise DataError(
        "data.encoding_unclear" if can_choose else "data.encoding_unclear_here",
        name=name,
        candidates="; ".join(list(candidates.values())[:4]),
        encoding=chosen,
    )
