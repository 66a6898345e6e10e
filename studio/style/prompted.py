"""The rival of an adapter: the base with a good prompt, a system prompt and examples from the training rows."""

from collections.abc import Sequence
from typing import Any

import numpy

from studio.compare.columns import Column
from studio.data.conversation import Turn
from studio.evaluate.metrics import detect_language
from studio.generation.held_out import HeldOutRow
from studio.runs import Run
from studio.style.strength import StyleClassifier, ngram_vectorizer

EXAMPLES = 4
RELEVANCE = 0.5
"""Weight of being typical against being unlike the other examples; Carbonell and Goldstein (1998) call it λ."""
MAX_EXAMPLE_TOKENS = 1024
"""Tokens of all examples together, also where the model's context would take more."""
SYSTEM = {
    "en": "Answer exactly in the style of the answers before: the same voice, words and length.",
    "ko": "앞의 답변들과 똑같은 말투로, 같은 어휘와 길이로 답하세요.",
}


def example_room(positions: int, longest_prompt: int, max_new_tokens: int) -> int:
    """Return the tokens of all examples together at most, all of them counted in tokens.

    `positions` is what the model takes, and `longest_prompt` the longest that is to be answered.
    """
    return min(MAX_EXAMPLE_TOKENS, positions // 2 - longest_prompt - max_new_tokens)


def choose_prompt(
    run: Run, train: Sequence[HeldOutRow], tokenizer: Any, room: int, classifier: StyleClassifier | None
) -> Column | None:
    """Return the base with the run's system prompt and examples from its training rows; None where no example fits."""
    pairs = [(row.prompt, row.reference or "") for row in train]
    lengths = [len(tokenizer("\n".join(pair), add_special_tokens=False)["input_ids"]) for pair in pairs]
    chosen = choose_examples(classifier, [answer for _, answer in pairs], lengths, room)
    if not chosen:
        return None
    language = detect_language([row.prompt for row in train])
    return prompted_column([pairs[row] for row in chosen], run.config().data.prompt.system, language)


def choose_examples(
    classifier: StyleClassifier | None,
    answers: Sequence[str],
    lengths: Sequence[int],
    room: int,
    count: int = EXAMPLES,
) -> list[int]:
    """Return the rows to show as examples: typical of the author and unlike each other, within `room` tokens.

    Maximal marginal relevance (Carbonell and Goldstein 1998): the next row has the largest
    λ · typical − (1 − λ) · max cosine to the chosen ones, where typical is the classifier's score as a rank, 0 to 1.
    Without a classifier, before the base has answered, it is the rank of the cosine to the mean of all answers.
    `lengths` are the tokens of each row's question and answer.
    """
    if not any(length <= room for length in lengths):
        return []
    vectors = (classifier.vectorizer if classifier else ngram_vectorizer().fit(answers)).transform(answers)
    similarity = (vectors @ vectors.T).toarray()
    scores = classifier.scores(answers) if classifier else similarity.mean(axis=1)
    typical = numpy.argsort(numpy.argsort(scores)) / max(1, len(answers) - 1)
    chosen: list[int] = []
    while len(chosen) < count:
        left = room - sum(lengths[row] for row in chosen)
        rest = [row for row in range(len(answers)) if row not in chosen and lengths[row] <= left]
        if not rest:
            break
        nearest = similarity[:, chosen].max(axis=1) if chosen else numpy.zeros(len(answers))
        chosen.append(max(rest, key=lambda row: RELEVANCE * typical[row] - (1 - RELEVANCE) * nearest[row]))
    return chosen


def prompted_column(pairs: Sequence[tuple[str, str]], own_system: str | None, language: str) -> Column:
    """Return the column of the base with the run's system prompt, an instruction, and examples (prompt, answer)."""
    system = "\n".join(part for part in (own_system, SYSTEM.get(language, SYSTEM["en"])) if part)
    turns = [Turn(role, content) for pair in pairs for role, content in zip(("user", "assistant"), pair, strict=True)]
    return Column("base", system=system, shots=tuple(turns))
