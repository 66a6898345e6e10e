"""Make pairs to vote on: answer with one adapter at several seeds and strengths, as a job of the GPU thread.

Answers are kept as they come, in `<run>/compare/pairs/`, so that what was stopped goes on. Once a round has ended, the
same request makes the next one: of the next prompts, with other seeds.
"""

import json
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

from studio import runs
from studio.compare.column_loading import load_idle_columns
from studio.compare.columns import column_id
from studio.errors import CompareError, PromptError
from studio.evaluate import vote_pairs
from studio.evaluate.vote_pairs import PairCandidate, VotePairs, VotePairsProgress, VotePairsRequest
from studio.generation import held_out
from studio.generation.answer_store import AnswerStore, Stopped, answer_missing
from studio.generation.held_out import HeldOutRow
from studio.generation.job_context import JobContext
from studio.i18n import message
from studio.journal import digest
from studio.runs import Run


def make_pairs(request: VotePairsRequest, job: JobContext) -> None:
    """Answer the prompts that are not answered yet and choose the pairs; shows a `VotePairsProgress` after every batch.

    Raises DeviceError while a run is active, CompareError where no prompt of the training can be answered alone.
    """
    run = runs.find(request.run_id)
    settings = request.generation or run.config().generation
    strengths = dict.fromkeys(request.strengths or (request.column.strength,))
    warmer = settings.temperature == 0 and len(strengths) == 1
    if warmer:
        settings = settings.model_copy(update={"temperature": vote_pairs.TEMPERATURE})
    columns = tuple(replace(request.column, strength=strength) for strength in strengths)
    done = total = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        job.show(VotePairsProgress(done, total))

    with load_idle_columns(job, run, columns) as models:
        depends_on = [
            [models.base_sha256, models.hashes, str(models.model.dtype), request.seeds, request.prompts],
            [[column.as_json() for column in columns], settings.model_dump(mode="json")],
        ]
        result = VotePairs(digest(json.dumps(depends_on))[:16], (), 0, notes=models.notes)
        if warmer:
            result = replace(
                result, notes=(*result.notes, message("compare.note.pairs_warmer", value=settings.temperature))
            )
        earlier = {each.id for each in vote_pairs.all_of(run)}
        while result.id in earlier:
            result = replace(result, id=digest(result.id)[:16], round=result.round + 1)
        try:
            train, _ = held_out.from_training(run, models.tokenizer, vote_pairs.MAX_PROMPTS, job.check_stop)
            rows, left_out = _alone(run, [row for row in train if row.prompt], models.tokenizer)
            if not rows:
                raise CompareError("compare.pairs_prompts", run=run.id)
            if left_out:
                result = replace(result, notes=(*result.notes, message("compare.note.pairs_left_out", count=left_out)))
            rows = _next_rows(rows, request.prompts, result.round)
            seeds = 1 if settings.temperature == 0 else request.seeds
            total = len(rows) * len(columns) * seeds
            answers: dict[str, list[PairCandidate]] = {row.prompt: [] for row in rows}
            prompts = [row.question for row in rows]
            for seed in range(seeds):
                seeded = settings.model_copy(update={"seed": (settings.seed + result.round * seeds + seed) % 2**32})
                stores = [
                    AnswerStore(run.path / "compare" / "pairs" / f"{result.id}-{seed}-{number}.jsonl")
                    for number in range(len(columns))
                ]
                cached = sum(prompt in store for store in stores for prompt in prompts)
                advance(cached)
                answer_missing(models, stores, [prompts] * len(stores), seeded, job.stop, advance)
                done = len(rows) * len(columns) * (seed + 1)  # a batch makes also what one of its columns had
                for store, column, adapter in zip(stores, columns, models.hashes, strict=True):
                    side = column_id(column, adapter, models.base_sha256)
                    for prompt in prompts:
                        answers[prompt.text].append(PairCandidate(store[prompt].text, side, column))
        except Stopped:
            job.show(VotePairsProgress(done, total, stopped=True))
            return
    pairs, alike = vote_pairs.choose(answers)
    result = replace(result, pairs=tuple(pairs), alike=alike)
    vote_pairs.write(run, result)
    job.show(VotePairsProgress(total, total, result))


def _alone(run: Run, rows: list[HeldOutRow], tokenizer: Any) -> tuple[list[HeldOutRow], int]:
    """Return the rows whose prompt is all that the model sees, so that it can be trained on, and how many are not."""
    try:
        alone = held_out.from_prompts(run, [row.prompt for row in rows], tokenizer)
    except PromptError:  # a text template with more columns than a question
        return [], len(rows)
    plain = [row for row, single in zip(rows, alone, strict=True) if row.ids == single.ids]
    return plain, len(rows) - len(plain)


def _next_rows(rows: list[HeldOutRow], count: int, skipped: int) -> list[HeldOutRow]:
    """Return the next rows, each prompt once, in an order that does not follow the data's; from the start again."""
    unique = list({row.prompt: row for row in rows}.values())
    unique.sort(key=lambda row: digest("pairs", row.prompt))
    count = min(count, len(unique))
    return list(islice(cycle(unique), skipped * count, (skipped + 1) * count))
