"""The encoding of a text file: its byte order mark, else UTF-8, else the legacy encoding whose text is plausible.

Where two legacy encodings fit about equally, nothing is guessed: the error shows how a line reads in each, and
`data.source.encoding` chooses.
"""

import codecs
import functools
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.data.vocabulary import load
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
    sample = _non_ascii_sample(path, head)
    if escaped := next((encoding for pattern, encoding in _ESCAPES if pattern.search(head)), None):
        return escaped
    if is_utf8(sample):
        return "utf-8"
    return _legacy(path.name, sample, can_choose)


def decode(content: bytes, name: str) -> str:
    """Return a small file's text, such as a file of settings; raises DataError as `detect` does."""
    try:
        return content.decode(detect_in(content, name))
    except UnicodeDecodeError as error:
        raise DataError("data.encoding", name=name) from error


def detect_in(content: bytes, name: str) -> str:
    """Return the encoding of a small file's bytes; raises DataError as `detect` does."""
    encoding = _mark(content) or (b"\0" in content and (_wide(content) or "utf-8"))
    return encoding or ("utf-8" if is_utf8(content) else _legacy(name, content, can_choose=False))


def clearly_other(path: Path, chosen: str) -> str | None:
    """Return the encoding that a file is clearly in, if it is not the chosen one."""
    try:
        detected = detect(path)
    except DataError:
        return None
    with open(path, "rb") as file:
        sample = _non_ascii_sample(path, file.read(CHUNK))
    try:
        same = sample.decode(detected, "ignore") == sample.decode(chosen, "ignore")
    except UnicodeError:
        return None
    return None if same or detected == chosen or detected.removesuffix("-sig") == chosen else detected


def _non_ascii_in(text: str) -> int:
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
    sample = _non_ascii_sample(path, head)
    text = sample.decode(chosen, "replace")
    damaged = text.count("\ufffd") - sample.count("\ufffd".encode())
    if damaged > max(3, _non_ascii_in(text) / 10) or (damaged and len(sample) < 100):
        line = text.count("\n", 0, text.index("\ufffd")) + 1
        raise DataError("data.encoding_chosen", name=path.name, encoding=chosen, line=line)
    return chosen


def _non_ascii_sample(path: Path, head: bytes) -> bytes:
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
        whole = _non_ascii_in(text) - damaged
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
    for encoding in _SCORERS:
        text = joined.decode(encoding, "replace")
        damaged = text.count("\ufffd")
        letters = _non_ascii_in(text) - damaged
        if letters and damaged <= max(1, letters / 50):
            score = _plausibility(text.replace("\ufffd", "?"), encoding) + _PRIOR.get(encoding, 0.0)
            readings.append((score - 2 * damaged / letters, encoding, text))
    readings.sort(key=lambda reading: -reading[0])
    if not readings or readings[0][0] < _LEAST:
        if sample.decode("utf-8", "replace").count("\ufffd") <= max(1, len(sample) / 1000):
            return "utf-8"  # damaged letters, whose rows are counted
        raise DataError("data.encoding", name=name)
    best, chosen, best_text = readings[0]
    rival = next((score for score, _, text in readings if text != best_text), None)
    margin = _MARGIN if _non_ascii_in(best_text) < _MANY else _MARGIN_OF_MANY
    if rival is None or rival <= _LEAST or best - rival >= margin - 1e-9:
        return chosen
    candidates: dict[str, str] = {}
    for score, encoding, text in readings:
        if best - score < margin and text not in candidates:  # the words around the first letter that it decides about
            first = next((place for place, letter in enumerate(text) if not letter.isascii()), 0)
            start = max(text.rfind("\n", 0, first) + 1, first - 20)
            candidates[text] = f"{encoding}: {' '.join(text[start : first + 20].split())}"
    key = "data.encoding_unclear" if can_choose else "data.encoding_unclear_here"
    raise DataError(key, name=name, candidates="; ".join(list(candidates.values())[:4]), encoding=chosen)


_LETTERS = load("letters")
_KANA = [*map(chr, range(ord("ぁ"), ord("ん") + 1)), *map(chr, range(ord("ァ"), ord("ヶ") + 1))]
_HANGUL = dict.fromkeys(map(chr, range(ord("ㄱ"), ord("ㅣ") + 1)), 0.3) | dict.fromkeys(_LETTERS["hangul"], 1.0)
_JAPANESE = dict.fromkeys(_LETTERS["kanji"], 0.9) | dict.fromkeys(_KANA, 1.0)
_EAST_ASIAN: dict[str, tuple[dict[str, float], str, tuple[str, int, int], float, float]] = {
    "ko": (_HANGUL, "가힣", ("euc-kr", 0xB0, 0xC8), -0.6, -0.4),
    "zh": (dict.fromkeys(_LETTERS["hanzi"], 1.0), "一鿿", ("gb2312", 0xB0, 0xD7), -0.1, -0.4),
    "zh-Hant": (dict.fromkeys(_LETTERS["hanzi_traditional"], 1.0), "一鿿", ("big5", 0xA4, 0xC6), -0.1, -0.4),
    "ja": (_JAPANESE, "一鿿", ("euc_jp", 0xB0, 0xCF), -0.1, -0.5),
}
"""Usual letters with their scores, the range of the others, which of them are of the first level, what they score
otherwise, and what letters of other scripts (half-width katakana among them) score."""
_WESTERN = _LETTERS["western"]
_WEIGHT = {
    script: {letter: 1.0 if place < 10 else 0.6 if place < 22 else 0.2 for place, letter in enumerate(letters)}
    for script, letters in _LETTERS["alphabets"].items()
}
_VOWELS = "aeiouyáéíóúýàèòâêô"
_FOLLOWED_BY = {"ñ": _VOWELS, "þ": _VOWELS + "æörjv", "ð": _VOWELS + "æörjvlnsu", "ý": "bcdfghjklmnprstvðþz"}
"""Letters whose bytes are others in neighbouring encodings (ń, ş, ğ, ı), and what stands behind them inside a word."""
_BEFORE_A_WORD = frozenset("“‘«„‚¿¡")
_AFTER_A_WORD = frozenset("”’»…")
_BETWEEN = frozenset("–—·•")
_NEXT_TO_NUMBER = frozenset("€£¥°²³½¼¾×±µ§¢")
_ANYWHERE = frozenset("©®™ªº¹")


def _plausibility(text: str, encoding: str) -> float:
    """Return how usual the letters beyond ASCII are in `text` as a text of the languages of `encoding`; -1 to 1.

    Nearly every byte string can be decoded as several legacy encodings, but only one result has the usual letters of a
    language where letters stand. Each is scored by itself and by its neighbours; the mean counts.
    """
    padded = f" {text} "
    places = [place for place in range(1, len(padded) - 1) if not padded[place].isascii()]
    if not places:
        return 0.0
    score_of, *settings = _SCORERS[encoding]
    totals = (sum(score_of(padded, place, setting) for place in places) for setting in settings)
    return max(totals) / len(places)


def _is_latin(letter: str) -> bool:
    return letter.isascii() and letter.isalpha()


def _in_latin_word(text: str, place: int) -> bool:
    """Whether the letter stands alone inside a word of Latin letters, where no letter of an Asian script stands."""
    return _is_latin(text[place - 1]) and _is_latin(text[place + 1])


def _east_asian_letter(text: str, place: int, language: str) -> float:
    letter = text[place]
    if _in_latin_word(text, place):
        return -1.0
    if letter in "、。，！？：；「」『』（）《》·…～“”‘’—　〜・ー":  # all East Asian encodings have these
        return 0.5
    if "！" <= letter <= "～":
        return 0.2
    usual, (low, high), first_level, rare, foreign = _EAST_ASIAN[language]
    if letter in usual:
        return usual[letter]
    if low <= letter <= high:
        return 0.3 if _is_first_level(letter, *first_level) else rare
    return foreign


@functools.cache
def _is_first_level(letter: str, charset: str, first: int, last: int) -> bool:
    """Whether a letter is among the usual ones of a national character set, whose rows begin with these bytes."""
    try:
        encoded = letter.encode(charset)
    except UnicodeEncodeError:
        return False
    return len(encoded) == 2 and first <= encoded[0] <= last


def _alphabet_letter(text: str, place: int, script: str) -> float:
    letter = text[place]
    weight = _WEIGHT[script].get(letter.lower())
    if weight is None:
        foreign = letter.isalpha() and not unicodedata.name(letter, "").startswith(script)
        sign = _sign(text, place)
        return -0.7 if foreign or sign is None else sign
    if _in_latin_word(text, place) or not _case_fits(text, place):
        return -1.0
    alone = not any(text[neighbour].lower() in _WEIGHT[script] for neighbour in (place - 1, place + 1))
    return 0.0 if alone else weight


def _latin_letter(text: str, place: int, common: str) -> float:
    letter = text[place]
    sign = _sign(text, place)
    if sign is not None:
        return sign
    if not letter.isalpha() or not _case_fits(text, place):
        return -1.0
    if not text[place - 1].isascii() and not text[place + 1].isascii():
        return -0.8  # three in a row: some other alphabet
    if not (_is_latin(text[place - 1]) or _is_latin(text[place + 1]) or letter in "àéèóòáíåæöÉÀÁ"):
        return -0.3  # a word of one letter that is none
    after, followed_by = text[place + 1].lower(), _FOLLOWED_BY.get(letter.lower())
    if followed_by and common in _WESTERN and after not in followed_by and (after.isalpha() or letter in "ñþ"):
        return -0.8
    if letter in "ńŃ" and after in _VOWELS:
        return -0.8
    return 1.0 if letter.lower() in common else -0.3


def _case_fits(text: str, place: int) -> bool:
    """Whether a letter is not a capital after a small one, nor a small one before a capital."""
    before, letter, after = text[place - 1], text[place], text[place + 1]
    if letter.isupper():
        return not before.islower()
    return not (letter.islower() and after.isupper())


def _sign(text: str, place: int) -> float | None:
    """Return how usual a sign is in its place; None for what is no sign of European text."""
    before, letter, after = text[place - 1], text[place], text[place + 1]
    opens, closes = not (before.isalnum()), not (after.isalnum())
    if letter == "’" and before.isalpha() and after.isalpha():
        return 1.0
    if letter in _BEFORE_A_WORD:
        return 0.9 if opens and not after.isspace() else 0.5 if letter in "“‘«„" and opens else -1.0
    if letter in _AFTER_A_WORD:
        return 0.9 if closes and not before.isspace() else 0.4 if closes and letter in "»…" else -0.5
    if letter in _BETWEEN:
        return 0.9 if opens == closes else 0.0
    if letter in _NEXT_TO_NUMBER:
        return 0.8 if before.isdigit() or after.isdigit() or (opens and closes) else -0.8
    if letter == "\xa0":
        return 0.15
    if letter in _ANYWHERE:
        return 0.4 if opens or closes else -0.6
    return None


_SCORERS: dict[str, Sequence[Any]] = {
    "cp949": (_east_asian_letter, "ko"),
    "cp1252": (_latin_letter, *_WESTERN),
    "gb18030": (_east_asian_letter, "zh"),
    "big5": (_east_asian_letter, "zh-Hant"),
    "cp932": (_east_asian_letter, "ja"),
    "euc_jp": (_east_asian_letter, "ja"),
    "cp1251": (_alphabet_letter, "CYRILLIC"),
    "cp1250": (_latin_letter, *_LETTERS["central"]),
    "cp1254": (_latin_letter, *_LETTERS["turkish"]),
    "cp1253": (_alphabet_letter, "GREEK"),
    "cp1255": (_alphabet_letter, "HEBREW"),
    "cp1256": (_alphabet_letter, "ARABIC"),
    "cp874": (_alphabet_letter, "THAI"),
    "cp1257": (_latin_letter, *_LETTERS["baltic"]),
    "iso8859-2": (_latin_letter, *_LETTERS["central"]),
    "koi8-r": (_alphabet_letter, "CYRILLIC"),
    "cp866": (_alphabet_letter, "CYRILLIC"),
    "mac_roman": (_latin_letter, *_WESTERN),
    "cp850": (_latin_letter, *_WESTERN),
}
"""What scores a letter of each legacy encoding that is tried, and as what: the best of several languages counts."""
_PRIOR = {"cp1252": 0.2} | dict.fromkeys(("cp1257", "iso8859-2", "koi8-r", "cp866", "mac_roman", "cp850"), -0.1)
"""What is added to a score: how much more, or less, often an encoding is met than the others."""
