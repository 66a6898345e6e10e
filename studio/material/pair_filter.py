"""Which pairs of a passage and what a model made of it can be trained: meaning kept, style gone, length right.

Meaning is measured by what a change of style leaves: numbers, names and the stems of content words. The meter's own
measure (whether an answer fits its question) needs likelihoods, which an endpoint does not give.
"""

import re
from typing import Literal

from studio.data.language import is_hangul
from studio.generation.answer_store import Answer
from studio.material.recipes import without_particle

Reason = Literal["pair_empty", "pair_cut", "pair_length", "pair_copied", "pair_meaning"]
MAX_COPIED = 0.5
"""Share of three words in a row that a prompt may have in common with its passage."""
MIN_OVERLAP = 0.2
"""Least share of the stems of the shorter text that plain language has in common with its passage."""
MIN_NUMBERS = 0.5
"""Least share of a passage's numbers that plain language keeps."""
LENGTHS = (0.3, 3.0)
"""Least and largest ratio of the characters of plain language to those of its passage."""
MAX_QUESTION = 300
"""Characters that a question may have, also where its passage is shorter."""
_MIN_QUESTION = 6
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_QUOTES = ('""', "''", "“”", "‘’", "「」", "『』", "«»")
_MAX_PREAMBLE = 80


def clean_answer(text: str) -> str:
    """Return an answer without its thoughts, a line that announces it ("Here is the text:"), and quotes around it."""
    text = _THOUGHT.sub("", text).strip()
    first, _, rest = text.partition("\n")
    if rest.strip() and len(first) <= _MAX_PREAMBLE and first.rstrip().endswith((":", "：")):
        text = rest.strip()
    if len(text) > 2 and text[0] + text[-1] in _QUOTES and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def reject(recipe: str, passage: str, answer: Answer, prompt: str) -> Reason | None:
    """Return why a pair is dropped; None for one to keep. `prompt` is the answer as `clean_answer` returns it."""
    if not answer.ended:
        return "pair_cut"
    if not prompt:
        return "pair_empty"
    if recipe == "question":
        fits_length = _MIN_QUESTION <= len(prompt) <= max(MAX_QUESTION, len(passage))
    else:
        fits_length = LENGTHS[0] <= len(prompt) / len(passage) <= LENGTHS[1]
    if not fits_length:
        return "pair_length"
    if _copied(prompt, passage) > MAX_COPIED:
        return "pair_copied"
    return None if _keeps_meaning(recipe, passage, prompt) else "pair_meaning"


def _keeps_meaning(recipe: str, passage: str, prompt: str) -> bool:
    theirs, own = stems(passage), stems(prompt)
    common = len(theirs & own)
    if recipe == "question":
        return bool(common) or not theirs
    numbers = set(_NUMBER.findall(passage))
    if numbers and len(numbers & set(_NUMBER.findall(prompt))) < MIN_NUMBERS * len(numbers):
        return False
    return common >= MIN_OVERLAP * min(len(theirs), len(own))


def stems(text: str) -> set[str]:
    """Return the beginnings of the content words of a text: two syllables of Korean words, five letters of others."""
    result = set()
    for word in _WORD.findall(text):
        if is_hangul(word[0]):
            if len(stem := without_particle(word)) > 1:
                result.add(stem[:2])
        elif len(word) > 3 or word[0].isupper():
            result.add(word.casefold()[:5])
    return result


def _copied(prompt: str, passage: str) -> float:
    """Return the share of three words in a row of the prompt that are in the passage."""
    texts = ([word.casefold() for word in _WORD.findall(text)] for text in (prompt, passage))
    own, theirs = (set(zip(words, words[1:], words[2:], strict=False)) for words in texts)
    return len(own & theirs) / len(own) if own else float(prompt in passage)
