"""What a session knows of a blind vote: what there is to vote on, and where its voter is."""

from typing import Literal, NamedTuple

from studio import runs
from studio.compare.columns import Column
from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.evaluate import vote_pairs
from studio.evaluate.blind_vote import Ballot, checked_name
from studio.evaluate.evaluation_store import Evaluation
from studio.evaluate.vote_pairs import VotePair
from studio.style import style_store, votes
from studio.style.report import StyleReport

Ways = Literal["two", "three", "made"]
WAYS: tuple[Ways, ...] = ("two", "three", "made")
"""Which answers to each prompt are voted on."""
LONGEST = 60
"""Characters of a voter's name; the browser's mark comes behind it."""


Stamp = tuple[tuple[int, int] | None, int]
"""Time and size of the file of the votes, and the number of pairs that were made to be voted on."""


class VoteState(NamedTuple):
    """What a session knows of a vote."""

    run_id: str | None = None
    evaluation: Evaluation | None = None
    """The evaluation whose answers are voted on, two to each prompt."""
    voter: str = ""
    mark: str = ""
    """What tells the voter's browser from others."""
    item: str | None = None
    """The pair on the screen; None for none."""
    revealed: bool = False
    known: Stamp | None = None
    """How the votes and the pairs were when this session last looked."""
    chosen: Ways = "two"
    report: StyleReport | None = None
    """The meter's report whose answers are voted on, three to each prompt."""

    @property
    def adapter_pairs(self) -> list[VotePair]:
        """The pairs of one adapter that were made to be voted on."""
        run = runs.try_find(self.run_id)
        return vote_pairs.unique_pairs(vote_pairs.all_of(run)) if run else []

    @property
    def choices(self) -> dict[Ways, list[AnswerPair]]:
        """The answers that there are to vote on, by their kind; empty where there are none."""
        three, pairs_of_adapter = votes.three_way(self.report), [each.pair for each in self.adapter_pairs]
        kinds = zip(WAYS, (pairs_of(self.evaluation), three, pairs_of_adapter), strict=True)
        return {ways: pairs for ways, pairs in kinds if pairs and self.run_id}

    @property
    def ways(self) -> Ways:
        """Which answers are voted on: as `chosen`, where there are such."""
        available = self.choices
        return self.chosen if self.chosen in available else next(iter(available), WAYS[0])

    @property
    def pairs(self) -> list[AnswerPair]:
        """The answers that there are to vote on."""
        return self.choices.get(self.ways, [])

    @property
    def sides(self) -> tuple[str, ...]:
        """The ids of the columns behind the answers on the screen; empty where they are not known."""
        if self.ways == "made":
            return next((each.sides for each in self.adapter_pairs if each.pair.id == self.item), ())
        return votes.three_sides(self.report) if self.ways == "three" and self.report else ()

    @property
    def who(self) -> str:
        """The voter's name as it is written down; empty before one is entered. Raises CompareError for a long one."""
        name = (self.voter or "").strip()
        return f"{checked_name(name[:LONGEST])} {self.mark}".strip() if name else ""

    def ballot(self) -> Ballot:
        """Return the ballot; raises CompareError when there is nothing to vote on."""
        if self.run_id is None:
            raise CompareError("compare.no_items")
        return Ballot(runs.find(self.run_id).path / "compare", self.pairs, in_order=self.ways == "made")

    @property
    def stamp(self) -> Stamp:
        """What changes with every vote of anybody, and with every making of pairs."""
        return self.ballot().stamp if self.pairs else None, len(self.adapter_pairs)

    def went_on(self, ballot: Ballot) -> "VoteState":
        """Return this with the voter's next pair on the screen."""
        following = ballot.next(self.who)
        return self._replace(item=following.item if following else None, revealed=False)


def pairs_of(evaluation: Evaluation | None) -> list[AnswerPair]:
    """Return the answer pairs of an evaluation."""
    return (
        [AnswerPair(before.prompt, before.answer, after.answer) for before, after in evaluation.pairs]
        if evaluation
        else []
    )


def report_of(run_id: str | None, column: Column) -> StyleReport | None:
    """Return the newest report of a column that has the answers of base, prompted base and adapter; None without."""
    run = runs.try_find(run_id)
    report = style_store.measured_at(run, column) if run else None
    return report if votes.three_way(report) else None
