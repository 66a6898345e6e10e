"""Check what asks in words, an example or a Space's app: its own code loads, asks and answers in a fresh process."""

import json
from pathlib import Path

from studio.compare.columns import ADAPTED, BASE
from studio.errors import ExportError
from studio.export import example, questions, space
from studio.export.questions import Question
from studio.export.verify import fresh_answers, of_run
from studio.export.verify.agreement import NEAR, Said, agreement
from studio.export.verify.case import Case
from studio.export.verify.fresh_answers import Heard
from studio.export.verify.result import Verification


def ask(case: Case) -> Verification:
    """Compare the answers of an example with the run's own."""
    many = len(case.subject.prompt.columns) > 1
    asked = questions.of_columns(case.subject) if many else questions.pinned_prompts(case.subject)
    rows = _fitting(case, asked)
    [wanted] = of_run.said(case, rows, repetition_penalty=case.subject.generation.repetition_penalty)
    told = _told(case, "example", case.folder / example.NAME, rows, sides=1)
    precision, near = _precision(case, told)
    found = agreement(wanted, Said(fresh_answers.answers(told)), rows, near)
    return Verification("example", precision, found, prompts=_rendered(told, rows))


def app(case: Case) -> Verification:
    """Compare the answers of a Space's app, with the adapter and without, with the run's own; and what it shows."""
    recorded = json.loads((case.folder / space.DATA).read_text(encoding="utf-8"))["recorded"]
    asked = questions.in_words(case.subject, [one["prompt"] for one in recorded])
    rows = _fitting(case, asked)
    penalty = case.subject.generation.repetition_penalty
    wanted = of_run.said(case, rows, (BASE, ADAPTED), penalty)
    told = _told(case, "space", case.folder / space.APP, rows, sides=2)
    precision, near = _precision(case, told)
    answers = fresh_answers.answers(told)
    base, adapter = (agreement(one, Said(answers[side::2]), rows, near) for side, one in enumerate(wanted))
    known = {one["prompt"]: one["answers"] for one in recorded}
    shown = sum(one["answers"] == known[row.asked[0]] for one, row in zip(told["recorded"], rows, strict=True))
    return Verification(
        "space",
        precision,
        adapter,
        base=base,
        prompts=_rendered(told, [row for row in rows for _ in range(2)]),
        recorded=(shown, len(rows)),
    )


def _fitting(case: Case, asked: list[Question]) -> list[Question]:
    rows = questions.fit(case.subject, asked, case.most)
    if not rows:
        raise ExportError("export.no_questions", run=case.subject.run.id)
    return rows


def _told(case: Case, use: str, program: Path, rows: list[Question], sides: int) -> Heard:
    request = {
        "use": use,
        "program": str(program),
        "base": str(case.subject.base.path),
        "asked": [row.asked for row in rows],
        "max_new_tokens": case.most,
    }
    return fresh_answers.heard(case, request, sides * len(rows))


def _precision(case: Case, told: Heard) -> tuple[str, float]:
    """Return the number format that answered, and up to where answers part by rounding alone."""
    used = {case.subject.precision, told["loaded"][0]["precision"]} - {"float32"}
    return told["loaded"][0]["precision"], max((NEAR[name] for name in used), default=0.0)


def _rendered(told: Heard, rows: list[Question]) -> tuple[int, int]:
    return sum(tuple(one["ids"]) == row.ids for one, row in zip(told["asked"], rows, strict=True)), len(rows)
