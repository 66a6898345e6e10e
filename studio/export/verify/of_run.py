"""What the run itself says to the questions."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from studio.compare.column_loading import load_columns
from studio.compare.columns import ADAPTED, Column
from studio.config import GenerationConfig
from studio.export.questions import Question
from studio.export.verify.agreement import Answer, Said
from studio.export.verify.case import Case
from studio.generation import generate, likelihood
from studio.generation.generate import PromptBatchItem


def said(
    case: Case, rows: Sequence[Question], columns: Sequence[Column] = (ADAPTED,), repetition_penalty: float = 1.0
) -> list[Said]:
    """Let the run answer as in a comparison, and release its models; return what each column has said.

    One question at a time, and each column alone in its batch: where base and adapter share one, PEFT rounds once more
    in 16 bit, and answers part at near ties.
    """
    import torch

    subject = case.subject
    settings = GenerationConfig(max_new_tokens=case.most, temperature=0.0, repetition_penalty=repetition_penalty)
    answers: list[list[Answer]] = [[] for _ in columns]
    nll: list[list[float]] = [[] for _ in columns]
    with torch.no_grad(), load_columns(case.host, subject.run, subject.config, columns, None) as models:
        models = replace(models, mixes=False)
        for number, row in enumerate(rows):
            case.going(None if not number else number / len(rows))
            asked = PromptBatchItem((row.ids,) * len(columns), str(number))
            for held, side in zip(
                answers, generate.answer(models, [asked], settings, threading.Event()).answers[0], strict=True
            ):
                held.append(Answer(side.ids))
            if row.answer:
                weighed = likelihood.log_probabilities(models, [asked], [row.answer])[0]
                for held, column in zip(nll, weighed, strict=True):
                    held.append(float(-column.sum()))
    case.host.release()
    return [Said(tuple(told), tuple(weighed)) for told, weighed in zip(answers, nll, strict=True)]
