"""Which languages a text is in, detected by its letters, and for Latin letters by the commonest words of English.

What is not clear is left out: a label that is missing does less harm than a wrong one.
"""

import re
from collections import Counter
from collections.abc import Iterable

_SCRIPTS = {
    "hangul": re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]"),
    "kana": re.compile("[\u3041-\u30ff]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
    "latin": re.compile("[a-zA-Z\xaa-\u024f]"),
}
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
    return bool(_SCRIPTS["hangul"].fullmatch(character))


def count_hangul(text: str) -> int:
    """Return how many letters of a text are Korean."""
    return len(_SCRIPTS["hangul"].findall(text))


def share_of_hangul(text: str) -> float:
    """Return the share of Korean letters among all letters of a text."""
    return count_hangul(text) / (sum(map(str.isalpha, text)) or 1)


def languages(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the languages (ISO 639-1: `en`, `ja`, `ko`, `zh`) of some texts, most of it first; empty if unknown."""
    scripts: Counter[str] = Counter()
    total = words = common = 0
    for text in texts:
        letters = "".join(filter(str.isalpha, text))
        total += len(letters)
        scripts.update({name: len(script.findall(letters)) for name, script in _SCRIPTS.items()})
        words += len(_WORD.findall(text))
        common += len(_COMMON_WORDS.findall(text.lower()))
    if total < MIN_LETTERS:
        return ()
    latin = "en" if words and common / words >= COMMON_SHARE else ""
    han = "ja" if scripts["kana"] > 0.05 * (scripts["kana"] + scripts["han"]) else "zh"
    by_language: Counter[str] = Counter()
    for script, language in (("hangul", "ko"), ("kana", "ja"), ("han", han), ("latin", latin)):
        by_language[language] += scripts[script]
    return tuple(language for language, count in by_language.most_common() if language and count >= SHARE * total)
