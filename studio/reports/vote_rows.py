"""The judgements on a run's answers as rows for training on preferences: votes, blind or not, and reading sheets.

For pairs (`dpo`), the answer that most votes or readers prefer is the better one. For single answers (`kto`), the
preferred answer is good and the other one bad; "both good" and "both bad" say so of both. What decides nothing is
counted. Each row says which column (the base, an adapter at its strength, a checkpoint) has given its answers.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from studio.compare import comparison_history
from studio.compare.columns import BASE, Column
from studio.compare.comparison import AnswerPair
from studio.config import ANSWER, QUESTION, MappingConfig, Method, RunConfig
from studio.errors import RunError
from studio.evaluate import evaluation_store, vote_pairs
from studio.evaluate.blind_vote import Ballot, decide
from studio.evaluate.human_reading import Reading, Sheet
from studio.files import home, replace_file, shared_folder
from studio.i18n import Message, message
from studio.journal import Journal, digest
from studio.runs import Run
from studio.style import style_store, votes
from studio.train import preference_plan

REJECTED, GOOD = "rejected", "label"
"""The columns of the rows for the worse answer, and for whether an answer is good."""


@dataclass(frozen=True)
class _Judged:
    """Two answers that may have been judged, and what has given them."""

    pair: AnswerPair
    columns: tuple[str, str]
    """What they are called."""
    source: str


@dataclass
class VoteRows:
    """The judgements on a run's answers, as rows, and what decides nothing."""

    mapping: MappingConfig
    """The columns of the pairs."""
    pairs: list[dict[str, Any]] = field(default_factory=list)
    """With the columns of `mapping_of`: prompt, better answer, `rejected`; and where they are from."""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    """With the columns of `mapping_of`: prompt, answer, `label`; and where they are from."""
    counts: Counter[str] = field(default_factory=Counter)
    """By kind: `votes`, `readings`; of decided pairs `divided` (voters disagree); of the others `tie`, `bad`, `gone`
    (their answers are no longer kept), `chat` (they follow a conversation), `undecided` (readers disagree)."""

    def rows(self, method: Method) -> list[dict[str, Any]]:
        """Return the rows of a method."""
        return self.verdicts if method == "kto" else self.pairs

    def add_pair(self, one: _Judged, after: bool) -> None:
        """Add a decided pair, as one row of pairs and as two verdicts."""
        better, worse = (1, 0) if after else (0, 1)
        about = {f"{REJECTED}_column": one.columns[worse], "answer_column": one.columns[better]}
        row = self._row(one, better) | {REJECTED: one.pair.answers[worse]}
        self.pairs.append({**row, **about, "judged_by": one.source})
        self.add_verdict(one, better, True)
        self.add_verdict(one, worse, False)

    def add_verdict(self, one: _Judged, number: int, good: bool) -> None:
        """Add a verdict on an answer of a pair."""
        about = {"answer_column": one.columns[number], "judged_by": one.source}
        self.verdicts.append({**self._row(one, number), GOOD: good, **about})

    def _row(self, one: _Judged, number: int) -> dict[str, Any]:
        return {self.mapping.prompt[0]: one.pair.prompt, self.mapping.completion or "": one.pair.answers[number]}

    @property
    def summary(self) -> list[Message]:
        """What there is, and what is left out, a sentence each."""
        rows = {"pairs": len(self.pairs), "verdicts": len(self.verdicts)}
        sentences = [message("log.votes.rows", votes=self.counts["votes"], readings=self.counts["readings"], **rows)]
        kinds = ("divided", "tie", "bad", "undecided", "chat", "gone")
        return sentences + [
            message(f"log.votes.{kind}", count=self.counts[kind]) for kind in kinds if self.counts[kind]
        ]


def mapping_of(run: Run, method: Method) -> MappingConfig:
    """Return the columns of the rows of a run, under the names that its text template has; raises RunError."""
    known = MappingConfig.model_validate(
        run.resolved().get("mapping") or {"prompt": ["prompt"], "completion": "chosen"}
    )
    if known.shape == "text" and not known.split_text:
        raise RunError("run.no_prompts", run=run.id)
    names = {"prompt": "prompt", "completion": "chosen"}
    if known.shape == "pair":
        names = {"prompt": known.prompt[0] if len(known.prompt) == 1 else known.joined, "completion": known.completion}
    elif known.shape == "text":
        names = {"prompt": QUESTION, "completion": ANSWER}
    extra = {"label": GOOD} if method == "kto" else {"rejected": REJECTED}
    return MappingConfig(prompt=(str(names["prompt"]),), completion=names["completion"], **extra)


def collect(run: Run) -> VoteRows:
    """Return all judgements on a run's answers as rows; raises RunError for a run of running text."""
    result = VoteRows(mapping_of(run, "dpo"))
    judged = {one.pair.id: one for one in _judged(run)}
    _add_votes(run, judged, result)
    _add_readings(run, judged, result)
    return result


def write(run: Run, rows: list[dict[str, Any]]) -> Path:
    """Keep rows in a file of the home, and return it; the same rows are kept once."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path = shared_folder(home(), "uploads") / f"votes-{run.id}-{digest(content)[:12]}.jsonl"
    if not path.exists():
        replace_file(path, content)
    return path


def settings(run: Run, judged: VoteRows, method: str = "auto") -> tuple[RunConfig, int]:
    """Return the settings of a run on the judgements on `run`, whose rows are written, and how many rows there are.

    `auto` takes pairs where there are any, else single answers. Raises RunError where there is nothing to learn.
    """
    chosen: Method = "dpo" if method == "dpo" or (method == "auto" and judged.pairs) else "kto"
    rows = judged.rows(chosen)
    if not rows:
        raise RunError("run.no_votes", run=run.id)
    path = write(run, rows)
    return preference_plan.settings(run, path, chosen, len(rows), mapping_of(run, chosen)), len(rows)


def _judged(run: Run) -> Iterator[_Judged]:
    """Yield every two answers to one prompt that the run has kept; what was measured last comes last."""
    for saved in reversed([*comparison_history.load_all(run, batch=True), *comparison_history.load_all(run)]):
        request = saved.comparison.request
        source = "chat" if request.earlier else "comparison"
        for prompt, sides in zip(request.prompts, saved.comparison.answers, strict=False):
            yield from _parts(prompt, [side.text for side in sides], request.columns, source)
    for pair in vote_pairs.unique_pairs(reversed(vote_pairs.all_of(run))):
        yield from _parts(pair.prompt, pair.answers, pair.columns, "blind")
    for report in reversed(style_store.all_of(run)):
        rivals = [each.column for each in votes.rivals(report)]
        for trio in votes.three_way(report):
            yield from _parts(trio.prompt, trio.answers, rivals, "blind")
    for evaluation in reversed(evaluation_store.all_of(run)):
        for before, after in evaluation.pairs:
            yield from _parts(before.prompt, [before.answer, after.answer], [BASE, evaluation.column], "blind")


def _parts(prompt: str, answers: Sequence[str], columns: Iterable[Column], source: str) -> Iterator[_Judged]:
    titles = [column.title() for column in columns]
    for one, other in combinations(range(len(answers)), 2):
        yield _Judged(AnswerPair(prompt, answers[one], answers[other]), (titles[one], titles[other]), source)


def _add_votes(run: Run, judged: dict[str, _Judged], result: VoteRows) -> None:
    cast = {str(entry.get("item")) for entry in Journal(run.path / "compare" / "votes.jsonl").entries()}
    result.counts["gone"] += len(cast - judged.keys())
    if not judged:
        return
    outcomes: dict[str, Counter[str]] = {}
    for vote in Ballot(run.path / "compare", [one.pair for one in judged.values()]).votes():
        outcomes.setdefault(vote.item, Counter())[vote.winner or vote.choice] += 1
        result.counts["votes"] += 1
    for item, counts in outcomes.items():
        one, decision = judged[item], decide(counts)
        if one.source == "chat":
            result.counts["chat"] += 1
            continue
        if counts["before"] and counts["after"]:
            result.counts["divided"] += 1
        if decision in ("before", "after"):
            result.add_pair(one, decision == "after")
        else:
            result.counts[decision] += 1
            if decision == "bad" or counts["tie"] * 2 > counts.total():
                for number in (0, 1):
                    result.add_verdict(one, number, decision != "bad")


def _add_readings(run: Run, judged: dict[str, _Judged], result: VoteRows) -> None:
    if not judged:
        return
    by_answer: dict[tuple[str, str], list[bool]] = {}
    for reading in Sheet(run.path / "compare", [one.pair for one in judged.values()]).readings():
        if (verdict := _verdict(reading)) is not None:
            by_answer.setdefault((reading.item, reading.side), []).append(verdict)
            result.counts["readings"] += 1
    decided: dict[str, dict[str, bool]] = {}
    for (item, side), verdicts in by_answer.items():
        good = sum(verdicts)
        if 2 * good == len(verdicts):
            result.counts["undecided"] += 1
        else:
            decided.setdefault(item, {})[side] = 2 * good > len(verdicts)
    for item, sides in decided.items():
        one = replace(judged[item], source="reading")
        if len(sides) == 2 and sides["before"] != sides["after"]:
            result.add_pair(one, sides["after"])
        else:
            for side, good in sides.items():
                result.add_verdict(one, int(side == "after"), good)


def _verdict(reading: Reading) -> bool | None:
    """Return whether a reader calls an answer good: natural and not wrong; None where that is left open."""
    if reading.wrong or reading.natural is False:
        return False
    return True if reading.natural else None
