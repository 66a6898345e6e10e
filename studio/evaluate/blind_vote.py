"""A blind vote on answer pairs: no voter knows which side is which until the votes are counted.

The votes are in `<run>/compare/votes.jsonl`, one line each; a voter's last vote on a pair counts. Every voter has an
order and sides of their own.
"""

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.journal import Journal, digest

VoteChoice = Literal["1", "2", "tie", "bad"]
"""The first or the second answer is better, both are equally good, both are bad."""
CHOICES: tuple[VoteChoice, ...] = get_args(VoteChoice)
Side = Literal["before", "after"]
MAX_ENTRIES, MAX_VOTERS, MAX_VOTERS_FROM_ONE_PLACE = 20_000, 1000, 100
"""Lines of the votes' file, voters of a ballot, and those of them from one place, where that is known."""
MAX_NAME_CHARACTERS = 80
_NORMAL_QUANTILE = 1.959963984540054


def checked_name(name: str) -> str:
    """Return a person's name without white space around it; raises CompareError when it cannot be used."""
    trimmed = name.strip()
    if not 0 < len(trimmed) <= MAX_NAME_CHARACTERS:
        raise CompareError("compare.voter", most=MAX_NAME_CHARACTERS)
    return trimmed


@dataclass(frozen=True)
class BallotItem:
    """A pair as a voter sees it, without the sides' names."""

    item: str
    prompt: str
    one: str
    two: str
    number: int
    """Place on this voter's ballot, from 1."""
    total: int
    choice: VoteChoice | None


@dataclass(frozen=True)
class Vote:
    """One voter's choice on one pair."""

    voter: str
    item: str
    first: Side
    """The side that was shown as number 1."""
    choice: VoteChoice
    is_blind: bool = True
    """Whether the sides had no names."""

    @property
    def winner(self) -> Side | None:
        """The side that was chosen; None for a tie and for both bad."""
        if self.choice == "1":
            return self.first
        return _other(self.first) if self.choice == "2" else None


@dataclass(frozen=True)
class VoteResult:
    """The votes counted."""

    votes: int
    voters: int
    items: int
    after: int
    before: int
    tie: int
    bad: int
    win_rate: float | None
    """Share of the adapter's wins, 0 to 1; None without votes. Ties count half, `both bad` too: neither won."""
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class PreferenceData:
    """The votes as data for preference training (the columns that DPO trainers read)."""

    rows: list[dict[str, str]]
    """`prompt`, `chosen`, `rejected`: one row for every pair that most of its votes decide."""
    ties: int
    """Pairs left out because the sides had as many votes."""
    bad: int
    """Pairs left out because most votes were for both bad."""
    unvoted: int


class Ballot:
    """The vote on some pairs, kept in a folder."""

    def __init__(self, folder: Path, pairs: Iterable[AnswerPair]):
        """`folder` is the run's `compare` folder. Equal pairs are one; raises CompareError without any."""
        self._pairs = {pair.id: pair for pair in pairs}
        if not self._pairs:
            raise CompareError("compare.no_items")
        self._journal = Journal(folder / "votes.jsonl")

    @property
    def stamp(self) -> tuple[int, int] | None:
        """What changes with every vote of anybody; None before the first."""
        return self._journal.stamp

    def order(self, voter: str) -> list[str]:
        """Return the pairs' ids in this voter's order: shuffled, and the same after a reload."""
        return sorted(self._pairs, key=lambda item: digest("order", voter, item))

    def first(self, voter: str, item: str) -> Side:
        """Return the side that this voter sees as number 1."""
        return "before" if int(digest("side", voter, item), 16) % 2 else "after"

    def item(self, voter: str, item: str) -> BallotItem:
        """Return a pair as this voter sees it; raises CompareError when it is not on the ballot."""
        voter, pair = checked_name(voter), self._pair(item)
        order = self.order(voter)
        sides = {"before": pair.before, "after": pair.after}
        first = self.first(voter, item)
        vote = self._counted().get((voter, item))
        return BallotItem(
            item=item,
            prompt=pair.prompt,
            one=sides[first],
            two=sides[_other(first)],
            number=order.index(item) + 1,
            total=len(order),
            choice=vote.choice if vote else None,
        )

    def next(self, voter: str) -> BallotItem | None:
        """Return the first pair that this voter has not voted on; None at the end."""
        voter, counted = checked_name(voter), self._counted()
        return next((self.item(voter, item) for item in self.order(voter) if (voter, item) not in counted), None)

    def vote(
        self,
        voter: str,
        item: str,
        choice: str,
        place: str = "",
        first: Side | None = None,
        comparison: str = "",
        evaluation: str = "",
        sides: tuple[str, str] | None = None,
    ) -> Vote:
        """Store a vote, in place of an earlier one; `place` is where the voter connects from, to limit voters by it.

        `first` is the side that was shown as number 1, if not in the voter's own order: a vote that is not blind names
        the stored `comparison` that it is about. A blind one names the `evaluation`, which knows what answered.
        `sides` are the ids of the two columns (`columns.column_id`), before and after, where they are known.
        Raises CompareError for an unknown choice or pair, and where no more voters or votes are accepted.
        """
        if choice not in CHOICES:
            raise CompareError("compare.ballot_choice", choice=choice[:20], allowed=", ".join(CHOICES))
        voter = checked_name(voter)
        self._pair(item)
        vote = Vote(voter, item, first or self.first(voter, item), choice, not comparison)
        entry = {"voter": voter, "item": item, "first": vote.first, "choice": vote.choice, "at": round(time.time(), 3)}
        self._require_room(voter, place)
        more = {"place": place, "comparison": comparison, "evaluation": evaluation, "sides": sides and list(sides)}
        self._journal.append(entry | {name: value for name, value in more.items() if value})
        return vote

    def _require_room(self, voter: str, place: str) -> None:
        """Raise CompareError where a vote is one too many; votes that no longer count are dropped first."""
        entries = self._journal.entries()
        places = {str(entry.get("voter")): str(entry.get("place", "")) for entry in entries}
        if voter not in places:
            from_here = sum(other == place for other in places.values()) if place else 0
            most = from_here if from_here >= MAX_VOTERS_FROM_ONE_PLACE else MAX_VOTERS
            if len(places) >= most:
                raise CompareError("compare.voters", most=most)
        if len(entries) >= MAX_ENTRIES:
            self._journal.replace(
                lambda entries: list({(str(e.get("voter")), str(e.get("item"))): e for e in entries}.values())
            )
            if len(self._journal.entries()) >= MAX_ENTRIES:
                raise CompareError("compare.votes", most=MAX_ENTRIES)

    def voter_of(self, mark: str) -> str | None:
        """Return the voter whose name ends with a mark; None before they have voted."""
        voters = {str(entry.get("voter")) for entry in self._journal.entries()}
        return next((voter for voter in voters if voter.endswith(f" {mark}")), None)

    def progress(self, voter: str) -> tuple[int, int]:
        """Return how many pairs this voter has voted on, and how many there are."""
        voter = checked_name(voter)
        return sum(name == voter for name, _ in self._counted()), len(self._pairs)

    def turnout(self) -> tuple[int, int]:
        """Return the number of votes and of voters, without revealing a side."""
        counted = self._counted()
        return len(counted), len({voter for voter, _ in counted})

    def votes(self) -> list[Vote]:
        """Return the votes that count: the last one of each voter on each pair of this ballot."""
        return list(self._counted().values())

    def _outcomes(self) -> dict[str, Counter[str]]:
        """Count the outcomes of the votes on each pair: `before`, `after`, `tie` or `bad`."""
        counts: dict[str, Counter[str]] = {item: Counter() for item in self._pairs}
        for vote in self.votes():
            counts[vote.item][vote.winner or vote.choice] += 1
        return counts

    def result(self) -> VoteResult:
        """Count the votes; this reveals the sides.

        Votes on the same pair are not independent of each other, so a pair counts once, by its mean vote, however many
        voters it has. Wilson's interval for that many trials is then on the safe side: no mean of values between 0 and
        1 varies more than one of zeros and ones.
        """
        votes, voters = self.turnout()
        by_pair = [counts for counts in self._outcomes().values() if counts]
        totals = sum(by_pair, Counter())
        wins = sum((counts["after"] + (counts["tie"] + counts["bad"]) / 2) / counts.total() for counts in by_pair)
        rate = wins / len(by_pair) if by_pair else None
        interval = None if rate is None else wilson(rate, len(by_pair))
        outcomes = {name: totals[name] for name in ("after", "before", "tie", "bad")}
        return VoteResult(votes, voters, len(by_pair), **outcomes, win_rate=rate, interval=interval)

    def preferences(self) -> PreferenceData:
        """Return the decided pairs as preference data; pairs that are not decided are counted."""
        rows, ties, bad, unvoted = [], 0, 0, 0
        for item, counts in self._outcomes().items():
            pair = self._pairs[item]
            if not counts:
                unvoted += 1
            elif 2 * counts["bad"] > counts.total():
                bad += 1
            elif counts["after"] == counts["before"]:
                ties += 1
            else:
                chosen, rejected = (pair.after, pair.before)[:: 1 if counts["after"] > counts["before"] else -1]
                rows.append({"prompt": pair.prompt, "chosen": chosen, "rejected": rejected})
        return PreferenceData(rows, ties, bad, unvoted)

    def _pair(self, item: str) -> AnswerPair:
        if item not in self._pairs:
            raise CompareError("compare.ballot_item", item=item[:40])
        return self._pairs[item]

    def _counted(self) -> dict[tuple[str, str], Vote]:
        counted = {}
        for entry in self._journal.entries():
            voter, item, first, choice = (str(entry.get(name)) for name in ("voter", "item", "first", "choice"))
            if item in self._pairs and choice in CHOICES and first in get_args(Side):
                counted[voter, item] = Vote(voter, item, first, choice, "comparison" not in entry)
        return counted


def votes_between(folder: Path, before: str, after: str, items: Collection[str] = ()) -> list[Vote]:
    """Return the votes that count between two columns, of which a run's `compare` folder keeps any number.

    Those whose `sides` are the two columns in this order, and those on pairs that are known (`items`) as theirs.
    """
    counted = {}
    for entry in Journal(folder / "votes.jsonl").entries():
        voter, item, first, choice = (str(entry.get(name)) for name in ("voter", "item", "first", "choice"))
        is_theirs = item in items or entry.get("sides") == [before, after]
        if is_theirs and choice in CHOICES and first in get_args(Side):
            counted[voter, item] = Vote(voter, item, first, choice, "comparison" not in entry)
    return list(counted.values())


def _other(side: Side) -> Side:
    return "after" if side == "before" else "before"


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a rate over some trials (Wilson 1927); it never leaves 0 to 1."""
    spread = _NORMAL_QUANTILE * _NORMAL_QUANTILE / trials
    middle = (rate + spread / 2) / (1 + spread)
    half = _NORMAL_QUANTILE / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)
