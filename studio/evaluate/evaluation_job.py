"""The scoreboard of a run: base against adapter over held-out rows, in batches of like length.

The name of an evaluation's folder (see `evaluation_store`) is a hash of all that its answers depend on: the same
evaluation resumes where it was stopped, and another one never mixes with it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from studio import runs
from studio.compare.column_loading import LoadedColumns, load_idle_columns
from studio.compare.columns import BASE, EvaluationRequest
from studio.evaluate.evaluation_store import ANSWERS, FORGETTING, METADATA, SCOREBOARD, Evaluation
from studio.evaluate.metrics import Sample
from studio.evaluate.scoreboard import Scoreboard, score
from studio.files import replace_file, to_json
from studio.generation import generate, held_out, likelihood
from studio.generation.answer_store import Stopped
from studio.generation.generate import PromptBatchItem, batches
from studio.generation.held_out import HeldOutRow
from studio.generation.job_context import JobContext
from studio.journal import Journal, digest
from studio.owner import Owner
from studio.runs import Run

Part = Literal["held_out", "general"]


def evaluate(request: EvaluationRequest, job: JobContext) -> None:
    """Answer the rows that are not answered yet and score all; shows an `Evaluation` after every batch."""
    run = runs.find(request.run_id)
    with load_idle_columns(job, run, (BASE, request.column)) as models:
        work = _EvaluationJob(request, run, models, job)
        try:
            evaluation = work.run()
        except Stopped:
            evaluation = replace(work.progress(), stopped=True)
        finally:
            work.write_metadata(None)  # no process works on it any more
    job.show(evaluation)


class _EvaluationJob:
    def __init__(self, request: EvaluationRequest, run: Run, models: LoadedColumns, job: JobContext):
        config = run.config()
        self._models, self._job = models, job
        self._column = request.column
        self._settings, self._marker = request.generation or config.generation, config.evaluation.marker
        held_out_rows, notes = held_out.select(run, request.rows, models.tokenizer, job.check_stop)
        rows: dict[Part, list[HeldOutRow]] = {"held_out": held_out_rows}
        self._notes = [*models.notes, *models.unproven, *notes]
        if request.forgetting:
            rows["general"], notes = held_out.ordinary(run, models.tokenizer)
            self._notes += notes
        self._rows = {part: rows[part][: request.limit] for part in rows}
        self._total = sum(map(len, self._rows.values()))
        depends_on = {
            "run": run.id,
            "base": models.base_sha256,
            "adapter": models.hashes[1],
            "column": request.column.as_json(),
            "generation": self._settings.model_dump(mode="json"),
            "rows": {part: digest(*(json.dumps(asdict(row)) for row in rows)) for part, rows in self._rows.items()},
        }
        self._id = digest(json.dumps(depends_on, sort_keys=True))[:16]
        self._folder = run.path / "compare" / self._id
        self._folder.mkdir(parents=True, exist_ok=True)
        self._metadata = depends_on | {"total": self._total, "notes": [asdict(note) for note in self._notes]}
        self.write_metadata(Owner.current())
        self._journal = Journal(self._folder / ANSWERS)
        self._answered: dict[tuple[Part, int], list[dict[str, Any]]] = {
            (entry["part"], entry["row"]): entry["sides"] for entry in self._journal.entries()
        }

    def write_metadata(self, owner: Owner | None) -> None:
        """Write what the answers depend on, and the process that works on them."""
        metadata = self._metadata | {"owner": owner and owner.model_dump()}
        replace_file(self._folder / METADATA, json.dumps(metadata, ensure_ascii=False, indent=1))

    def run(self) -> Evaluation:
        self._job.show(self.progress())
        for part in self._rows:
            for batch in batches([len(row.ids) for row in self._rows[part]], self._settings.max_new_tokens):
                if any((part, number) not in self._answered for number in batch):
                    self._answer(part, batch)
                    self._job.show(self.progress())
        board = self._score("held_out", self._marker)
        forgetting = self._score("general", None) if self._rows.get("general") else None
        replace_file(self._folder / SCOREBOARD, to_json(board))
        if forgetting:
            replace_file(self._folder / FORGETTING, to_json(forgetting))
        return replace(self.progress(), board=board, forgetting=forgetting)

    def progress(self) -> Evaluation:
        pairs, notes = tuple(self._pairs("held_out")), tuple(self._notes)
        done, column = len(self._answered), self._column
        return Evaluation(self._id, self._folder, done, self._total, pairs, notes=notes, column=column)

    def _answer(self, part: Part, batch: Sequence[int]) -> None:
        """Answer a batch, in the same shape also where some of its rows are answered already."""
        self._job.check_stop()
        rows = [self._rows[part][number] for number in batch]
        items = [PromptBatchItem((row.ids, row.ids), generate.noise_key(row.prompt)) for row in rows]
        result = generate.answer(self._models, items, self._settings, self._job.stop)
        self._job.check_stop()
        scored = [(item, row.answer) for item, row in zip(items, rows, strict=True) if row.answer]
        scores = iter(
            likelihood.log_probabilities(self._models, [item for item, _ in scored], [ids for _, ids in scored])
        )
        for number, row, sides in zip(batch, rows, result.answers, strict=True):
            losses = [float(-each.mean()) for each in next(scores)] if row.answer else [None, None]
            if (part, number) in self._answered:
                continue
            entry = [  # what a `Sample` needs besides prompt and reference
                {"answer": side.text, "ended_by_itself": side.end == "turn", "tokens": side.tokens}
                | {"nll": loss, "nll_tokens": len(row.answer) if loss is not None else 0}
                for side, loss in zip(sides, losses, strict=True)
            ]
            texts = {"prompt": row.prompt, "reference": row.reference}
            self._journal.append({"part": part, "row": number, **texts, "sides": entry})
            self._answered[part, number] = entry

    def _pairs(self, part: Part) -> Iterator[tuple[Sample, Sample]]:
        for number, row in enumerate(self._rows.get(part, ())):
            if sides := self._answered.get((part, number)):
                before, after = (Sample(row.prompt, row.reference, **side) for side in sides)
                yield before, after

    def _score(self, part: Part, marker: str | None) -> Scoreboard:
        before, after = zip(*self._pairs(part), strict=True)
        return score(before, after, marker=marker, on_progress=self._job.check_stop)
