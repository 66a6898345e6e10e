"""Check a GGUF file: llama.cpp answers with it, and its answers are laid beside those of the merged model."""

import tempfile
from dataclasses import replace
from pathlib import Path

from studio.data.prompt import adds_bos
from studio.errors import ExportError
from studio.export import merge, ollama, questions
from studio.export.questions import Question
from studio.export.subject import Subject
from studio.export.verify import fresh_answers, model
from studio.export.verify.agreement import NEAR, Answer, Said, agreement
from studio.export.verify.case import Case
from studio.export.verify.result import Verification

_SPARE = 16
"""Tokens of room beside a question and its answer, for what a tokenizer adds."""


def check(case: Case) -> Verification:
    """Compare llama.cpp's answers with those of the merged model, which is made for that and thrown away."""
    dtype, stops = model.precision(case.folder), case.subject.stops
    rows = _in_words(case.subject, questions.of(case.subject, case.most)[0])
    wanted = _merged(case, rows, dtype)
    request = {
        "use": "gguf",
        "model": str(case.folder / ollama.GGUF),
        "asked": [row.asked[0] for row in rows],
        "room": max(len(row.ids) for row in rows) + case.most + _SPARE,
        "max_new_tokens": case.most,
    }
    said = fresh_answers.answers(fresh_answers.heard(case, request, len(rows)))
    first, second = (Said(tuple(without_end(one, stops) for one in answers)) for answers in (wanted.answers, said))
    near = max(NEAR["float16"], NEAR[dtype])  # llama.cpp keeps keys and values in float16, whatever the weights are
    return Verification("gguf", dtype, agreement(first, second, rows, near))


def _in_words(subject: Subject, found: list[Question]) -> list[Question]:
    """Return the questions as text, which llama.cpp puts the beginning of a text in front of where the tokenizer does.

    Without those that are other tokens when they are read again.
    """
    tokenizer = subject.tokenizer
    begin = tokenizer.bos_token if adds_bos(tokenizer) else ""
    rows = []
    for row in found:
        text = tokenizer.decode(row.ids, clean_up_tokenization_spaces=False)
        if tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) == row.ids:
            rows.append(Question(row.ids, asked=(text.removeprefix(begin),)))
    if not rows:
        raise ExportError("export.no_questions", run=subject.run.id)
    return rows


def _merged(case: Case, rows: list[Question], dtype: str) -> Said:
    case.host.release()
    merge.require_room(case.subject, case.folder, dtype)
    with tempfile.TemporaryDirectory(prefix=".merged-", dir=case.folder.parent) as folder:
        made = replace(case, folder=Path(folder))
        merge.fill(made.folder, case.subject, dtype, lambda phase, share: case.going(None))
        return model.answered(made, rows, model=made.folder, adapter=None, dtype=dtype, quantization="none")[0]


def without_end(answer: Answer, stops: tuple[int, ...]) -> Answer:
    """Return an answer without the token that ends it, which llama.cpp need not tell."""
    end = next((at for at, token in enumerate(answer.ids) if token in stops), len(answer.ids))
    return replace(answer, ids=answer.ids[:end])
