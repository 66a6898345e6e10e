"""Which languages a text is in, detected by its letters, and for Latin letters by the commonest words of English.

What is not clear is left out: a label that is missing does less harm than a wrong one.
"""

import re
from collections import Counter
from collections.abc import Iterable

_HANGUL = (("\uac00", "\ud7a3"), ("\u1100", "\u11ff"), ("\u3131", "\u318e"))
_KANA = (("\u3041", "\u30ff"),)
_HAN = (("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"))
_COMMON_WORDS = re.compile(
    r"\b(?:the|and|of|to|a|in|that|is|was|it|for|on|with|as|be|at|by|this|have|from|or|had|not|but|what|all|were|when|we"
    r"|there|can|an|your|which|their|said|if|do|will|each|about|how|up|out|them|then|she|he|his|her|you|they|i|my|me)\b"
)
"""Words that make up a third to a half of running English, and hardly any of another language's text."""
_WORD = re.compile(r"[^\W\d_]+")
SHARE = 0.3
"""Share of the letters, or of the words, that a language needs to be named: texts quote names and words of others."""
COMMON_SHARE = 0.25
"""Share of the commonest words at which text in Latin letters counts as English."""
MIN_LETTERS = 40
"""Letters below which no language is named."""


def is_hangul(character: str) -> bool:
    """Say whether a character is a Korean syllable or letter."""
    return _among(character, _HANGUL)


def languages(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the languages (ISO 639-1: `en`, `ja`, `ko`, `zh`) of some texts, most of it first; empty if unknown."""
    scripts: Counter[str] = Counter()
    words = common = 0
    for text in texts:
        scripts.update(_script(letter) for letter in text if letter.isalpha())
        words += len(_WORD.findall(text))
        common += len(_COMMON_WORDS.findall(text.lower()))
    total = scripts.total()
    if total < MIN_LETTERS:
        return ()
    latin = "en" if words and common / words >= COMMON_SHARE else ""
    han = "ja" if scripts["kana"] > 0.05 * (scripts["kana"] + scripts["han"]) else "zh"
    by_language: Counter[str] = Counter()
    for script, language in (("hangul", "ko"), ("kana", "ja"), ("han", han), ("latin", latin)):
        by_language[language] += scripts[script]
    return tuple(language for language, count in by_language.most_common() if language and count >= SHARE * total)


def _script(letter: str) -> str:
    if letter < "\u0250":
        return "latin"
    for name, ranges in (("hangul", _HANGUL), ("kana", _KANA), ("han", _HAN)):
        if _among(letter, ranges):
            return name
    return "other"


def _among(character: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(low <= character <= high for low, high in ranges)
