"""Pairs to vote on: of several answers of a run's adapter to one prompt, the two that differ most.

They are on prompts of the training, so that the held-out ones stay held out when a run trains on the votes. Each round
is a file `<run>/compare/pairs-<id>.json`; the newest stands first, and in each the pairs that differ most.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from studio.compare.columns import ADAPTED, MAX_STRENGTH, Column
from studio.compare.comparison import AnswerPair
from studio.config import GenerationConfig
from studio.errors import CompareError
from studio.files import cached_by_file, newest_first, read_as, replace_file
from studio.i18n import Message
from studio.runs import Run

MAX_PROMPTS, MAX_SEEDS = 500, 8
TEMPERATURE = 0.8
"""Takes the place of 0, at which all answers to a prompt are the same."""
_NGRAM = 3


@dataclass(frozen=True)
class VotePairsRequest:
    """Which answers to make; raises CompareError where all answers to a prompt would be the same."""

    run_id: str
    prompts: int = 20
    seeds: int = 4
    """Answers to each prompt at each strength."""
    column: Column = ADAPTED
    strengths: tuple[float, ...] = ()
    """Strengths of the adapter, 0 to 1.5; empty for that of the column alone."""
    generation: GenerationConfig | None = None
    """None takes the run's own settings."""

    def __post_init__(self) -> None:
        if not (1 <= self.prompts <= MAX_PROMPTS and 1 <= self.seeds <= MAX_SEEDS):
            raise CompareError("compare.pairs_size", prompts=MAX_PROMPTS, seeds=MAX_SEEDS)
        if self.seeds * max(1, len(set(self.strengths))) < 2 or not all(0 < s <= MAX_STRENGTH for s in self.strengths):
            raise CompareError("compare.pairs_answers", most=f"{100 * MAX_STRENGTH:g}")


@dataclass(frozen=True)
class VotePair:
    """Two answers to a prompt, and what they differ by."""

    prompt: str
    answers: tuple[str, str]
    sides: tuple[str, str]
    """The ids of the columns that gave them (`columns.column_id`): the same where only the seeds differ."""
    difference: float
    """0 for equal texts to 1 for texts that have no three characters in a row in common (see `difference`)."""
    columns: tuple[Column, Column] = (ADAPTED, ADAPTED)
    """The checkpoints and strengths that gave them."""

    @property
    def pair(self) -> AnswerPair:
        """The pair as ballots have it."""
        return AnswerPair(self.prompt, *self.answers)


@dataclass(frozen=True)
class VotePairs:
    """The pairs of one round, the most different first."""

    id: str
    pairs: tuple[VotePair, ...]
    alike: int
    """Prompts without a pair, since all answers to them were the same."""
    round: int = 0
    """How many rounds with the same settings there were before."""
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True)
class VotePairsProgress:
    """How far a round is, in answers; with its pairs once it has ended."""

    done: int
    total: int
    result: VotePairs | None = None
    stopped: bool = False


def difference(one: str, other: str) -> float:
    """Return the Jaccard distance of the sets of three characters in a row of two texts (Jaccard 1912), 0 to 1.

    White space and case do not count. It needs no words, so that it serves Korean and English alike.
    """
    texts = (" ".join(text.casefold().split()) for text in (one, other))
    first, second = ({text[at : at + _NGRAM] for at in range(max(1, len(text) - _NGRAM + 1))} for text in texts)
    return 1 - len(first & second) / len(first | second)


@dataclass(frozen=True)
class PairCandidate:
    """An answer that may become one of a pair."""

    text: str
    side: str
    """The id of the column that gave it."""
    column: Column = ADAPTED


def choose(answers: Mapping[str, Sequence[PairCandidate]]) -> tuple[list[VotePair], int]:
    """Return the most different pair of each prompt, those that differ most first, and the prompts that have none."""
    pairs = []
    for prompt, of_prompt in answers.items():
        candidates = [
            VotePair(
                prompt,
                (one.text, other.text),
                (one.side, other.side),
                round(difference(one.text, other.text), 4),
                (one.column, other.column),
            )
            for one, other in combinations(of_prompt, 2)
        ]
        best = max(candidates, key=lambda pair: pair.difference)
        if best.difference > 0:
            pairs.append(best)
    return sorted(pairs, key=lambda pair: -pair.difference), len(answers) - len(pairs)


def all_of(run: Run) -> list[VotePairs]:
    """Return the run's rounds of pairs, the newest first."""
    files = newest_first(_files(run))
    return [pairs for path in files if (pairs := _read(path))]


def unique_pairs(rounds: Iterable[VotePairs]) -> list[VotePair]:
    """Return the pairs of some rounds in order, each once."""
    return list({pair.pair.id: pair for each in rounds for pair in each.pairs}.values())


def write(run: Run, pairs: VotePairs) -> None:
    """Store a round of pairs."""
    path = run.path / "compare" / f"pairs-{pairs.id}.json"
    path.parent.mkdir(exist_ok=True)
    replace_file(path, json.dumps(asdict(pairs), ensure_ascii=False, indent=1))


def count(run: Run) -> int:
    """Return the number of rounds; cheap enough to poll."""
    return len(_files(run))


def _files(run: Run) -> list[Path]:
    return list((run.path / "compare").glob("pairs-*.json"))


@cached_by_file(64)
def _read(path: Path) -> VotePairs | None:
    return read_as(VotePairs, path, warn=True)
