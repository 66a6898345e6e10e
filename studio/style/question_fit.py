"""Fits its question: whether an answer's own prompt is the likeliest among several, given the answer.

The score of a prompt is log p(prompt | "Which question does this text answer?" + answer) − log p(prompt | the same
without an answer) under the base: pointwise mutual information. No reference is compared, since naive content metrics
punish a change of style (arXiv 2502.15022). Chance is 1 in N. The upper anchor is the author, not the base: short
answers carry less of their question.
"""

import random
from collections.abc import Sequence

import numpy

from studio.generation.meter_cost import CANDIDATES
from studio.style import bootstrap

FRAMES = {
    "en": "Which question does this text answer?\n\n{answer}",
    "ko": "다음 글은 어떤 질문에 대한 답인가요?\n\n{answer}",
}


def candidates(prompts: Sequence[str], count: int = CANDIDATES, seed: int = bootstrap.SEED) -> list[list[int]]:
    """Return for each prompt the rows of the prompts that it is ranked among, its own first; the same for all columns.

    A prompt with the same text is no distractor.
    """
    chosen = []
    for row, prompt in enumerate(prompts):
        others = [other for other, text in enumerate(prompts) if text != prompt]
        picked = random.Random(seed + row).sample(others, min(count - 1, len(others)))
        chosen.append([row, *picked])
    return chosen


def own_prompt_is_likeliest(given_answer: Sequence[Sequence[float]], alone: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each answer whether its own prompt scores highest among its candidates.

    `given_answer` and `alone` are log p of each candidate (rows × candidates, the own prompt first) with the answer
    and without one. Equal scores do not count as fitting.
    """
    fits = []
    for with_answer, without in zip(given_answer, alone, strict=True):
        gains = numpy.asarray(with_answer, dtype=float) - numpy.asarray(without, dtype=float)
        fits.append(bool(len(gains) > 1 and gains[0] > gains[1:].max()))
    return fits
