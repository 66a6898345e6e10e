"""The rival of an adapter: the base with a good prompt, a system prompt and examples from the training rows."""

from collections.abc import Sequence

import numpy

from studio.compare.columns import Column
from studio.data.conversation import Turn
from studio.style.strength import StyleClassifier

EXAMPLES = 4
RELEVANCE = 0.5
"""Weight of being typical against being unlike the other examples; Carbonell and Goldstein (1998) call it λ."""
MAX_EXAMPLE_TOKENS = 1024
"""Tokens of all examples together, also where the model's context would take more."""
SYSTEM = {
    "en": "Answer exactly in the style of the answers before: the same voice, words and length.",
    "ko": "앞의 답변들과 똑같은 말투로, 같은 어휘와 길이로 답하세요.",
}


def choose_examples(
    classifier: StyleClassifier,
    answers: Sequence[str],
    lengths: Sequence[int],
    room: int,
    count: int = EXAMPLES,
) -> list[int]:
    """Return the rows to show as examples: typical of the author and unlike each other, within `room` tokens.

    Maximal marginal relevance (Carbonell and Goldstein 1998): the next row has the largest
    λ · typical − (1 − λ) · max cosine to the chosen ones, where typical is the classifier's score as a rank, 0 to 1.
    `lengths` are the tokens of each row's question and answer.
    """
    order = numpy.argsort(numpy.argsort(classifier.scores(answers)))
    typical = order / max(1, len(answers) - 1)
    vectors = classifier.vectors(answers)
    similarity = (vectors @ vectors.T).toarray()
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
