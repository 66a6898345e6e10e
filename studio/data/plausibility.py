"""How much a decoded text looks like one that somebody wrote: what tells legacy encodings apart.

Nearly every byte string can be decoded as several legacy encodings. Only one of the results has the usual letters of a
language in the places where letters stand. Each letter beyond ASCII is scored by itself and by its neighbours, from -1
(nobody writes this here) to 1 (usual here), and a text's score is the mean.
"""

import functools
import unicodedata
from collections.abc import Sequence
from typing import Any

from studio.data.vocabulary import load

_LETTERS = load("letters")
_KANA = [*map(chr, range(ord("ぁ"), ord("ん") + 1)), *map(chr, range(ord("ァ"), ord("ヶ") + 1))]
_JAMO = map(chr, range(ord("ㄱ"), ord("ㅣ") + 1))
_EAST_ASIAN: dict[str, tuple[dict[str, float], str, tuple[str, int, int], float, float]] = {
    "ko": (
        dict.fromkeys(_JAMO, 0.3) | dict.fromkeys(_LETTERS["hangul"], 1.0),
        "가힣",
        ("euc-kr", 0xB0, 0xC8),
        -0.6,
        -0.4,
    ),
    "zh": (dict.fromkeys(_LETTERS["hanzi"], 1.0), "一鿿", ("gb2312", 0xB0, 0xD7), -0.1, -0.4),
    "zh-Hant": (dict.fromkeys(_LETTERS["hanzi_traditional"], 1.0), "一鿿", ("big5", 0xA4, 0xC6), -0.1, -0.4),
    "ja": (
        dict.fromkeys(_LETTERS["kanji"], 0.9) | dict.fromkeys(_KANA, 1.0),
        "一鿿",
        ("euc_jp", 0xB0, 0xCF),
        -0.1,
        -0.5,
    ),
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
_BESIDE_A_NUMBER = frozenset("€£¥°²³½¼¾×±µ§¢")
_ANYWHERE = frozenset("©®™ªº¹")


def score(text: str, encoding: str) -> float:
    """Return how usual the letters beyond ASCII are in `text` as a text of the languages of `encoding`; -1 to 1."""
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
    alone = not any(text[beside].lower() in _WEIGHT[script] for beside in (place - 1, place + 1))
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
    if letter in _BESIDE_A_NUMBER:
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
"""What scores a letter of each legacy encoding, and as what: the best of several languages counts."""
CANDIDATES = tuple(_SCORERS)
"""Legacy encodings that are tried; of two that read alike, the first one is taken."""
PRIOR = {"cp1252": 0.2} | dict.fromkeys(("cp1257", "iso8859-2", "koi8-r", "cp866", "mac_roman", "cp850"), -0.1)
"""What is added to a score: how much more, or less, often an encoding is met than the others."""
