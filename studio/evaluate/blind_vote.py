"""A blind vote on two or more answers to each prompt: no voter knows whose they are until the votes are counted.

All votes are about pairs of answers: the best of three wins two pairs, and leaves one open. They are in
`<run>/compare/votes.jsonl`, one line each; a voter's last vote on a pair counts. Every voter has orders of their own.
"""

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.evaluate import confidence_sequence
from studio.evaluate.confidence_sequence import Agreement, VoteStanding
from studio.journal import Journal, digest

VoteChoice = Literal["1", "2", "tie", "bad"]
"""Of a pair: the first or the second answer is better, both are equally good, both are bad."""
CHOICES: tuple[VoteChoice, ...] = get_args(VoteChoice)
OPEN = "open"
"""Stored of a pair of which neither is the best of all answers. It takes the place of an earlier vote, and is none."""
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


def choices(answers: int) -> tuple[str, ...]:
    """Return what can be said of a number of answers: which one is the best, that all are as good, or all bad."""
    return (*map(str, range(1, answers + 1)), "tie", "bad")


@dataclass(frozen=True)
class BallotItem:
    """The answers to a prompt as a voter sees them, without names."""

    item: str
    prompt: str
    answers: tuple[str, ...]
    """In this voter's order."""
    number: int
    """Place on this voter's ballot, from 1."""
    total: int


@dataclass(frozen=True)
class Vote:
    """One voter's choice on one pair."""

    voter: str
    item: str
    first: Side
    """The side that was shown as number 1."""
    choice: VoteChoice | Literal["open"]
    is_blind: bool = True
    """Whether the sides had no names."""

    @property
    def winner(self) -> Side | None:
        """The side that was chosen; None for a tie and for both bad."""
        if self.choice == "1":
            return self.first
        return {"before": "after", "after": "before"}[self.first] if self.choice == "2" else None


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
    """The vote on some prompts, each with two answers or more, kept in a folder. The last answer is the adapter's."""

    def __init__(self, folder: Path, pairs: Iterable[AnswerPair], *, in_order: bool = False):
        """`folder` is the run's `compare` folder. Equal pairs are one; raises CompareError without any.

        With `in_order` every voter gets the pairs in the order in which they come, else each in one of their own.
        """
        self._in_order = in_order
        self._pairs = {pair.id: pair for pair in pairs}
        if not self._pairs:
            raise CompareError("compare.no_items")
        self._parts = {item: _parts(pair) for item, pair in self._pairs.items()}
        self._by_id = {part.id: part for parts in self._parts.values() for part in parts.values()}
        self._journal = Journal(folder / "votes.jsonl")

    @property
    def stamp(self) -> tuple[int, int] | None:
        """What changes with every vote of anybody; None before the first."""
        return self._journal.stamp

    def order(self, voter: str) -> list[str]:
        """Return the pairs' ids in this voter's order, the same after a reload."""
        if self._in_order:
            return list(self._pairs)
        return sorted(self._pairs, key=lambda item: digest("order", voter, item))

    def first(self, voter: str, item: str) -> Side:
        """Return the side of a pair that this voter sees as number 1."""
        return "before" if int(digest("side", voter, item), 16) % 2 else "after"

    def places(self, voter: str, item: str) -> list[int]:
        """Return the numbers of an item's answers, from 0, in the order in which this voter sees them."""
        count = len(self._pair(item).answers)
        if count == 2:
            return [0, 1] if self.first(voter, item) == "before" else [1, 0]
        return sorted(range(count), key=lambda answer: digest("side", voter, item, str(answer)))

    def item(self, voter: str, item: str) -> BallotItem:
        """Return the answers as this voter sees them; raises CompareError when they are not on the ballot."""
        voter, pair = checked_name(voter), self._pair(item)
        order = self.order(voter)
        return BallotItem(
            item=item,
            prompt=pair.prompt,
            answers=tuple(pair.answers[answer] for answer in self.places(voter, item)),
            number=order.index(item) + 1,
            total=len(order),
        )

    def next(self, voter: str) -> BallotItem | None:
        """Return the first item that this voter has not voted on; None at the end."""
        voter, voted = checked_name(voter), self._voted()
        return next((self.item(voter, item) for item in self.order(voter) if (voter, item) not in voted), None)

    def vote(
        self,
        voter: str,
        item: str,
        choice: str,
        place: str = "",
        comparison: str = "",
        evaluation: str = "",
        sides: Sequence[str] = (),
    ) -> None:
        """Store a vote, in place of an earlier one; `place` is where the voter connects from, to limit voters by it.

        A vote that is not blind names the stored `comparison` that it is about, whose answers had the order of the
        item's. A blind one names the `evaluation` or the meter's report, which knows what answered. `sides` are the ids
        of the columns (`columns.column_id`), one for each answer, where they are known. The same words are a tie.
        Raises CompareError for an unknown choice or item, and where no more voters or votes are accepted.
        """
        answers = self._pair(item).answers
        if choice not in (allowed := choices(len(answers))):
            raise CompareError("compare.ballot_choice", choice=choice[:20], allowed=", ".join(allowed))
        voter = checked_name(voter)
        order = list(range(len(answers))) if comparison else self.places(voter, item)
        best = answers[order[int(choice) - 1]] if choice.isdecimal() else None
        self._require_room(voter, place)
        entry = {"voter": voter, "place": place, "comparison": comparison, "evaluation": evaluation}
        decided = []
        for numbers, part in self._parts[item].items():
            first = min(numbers, key=order.index)
            pair_choice = choice if best is None else _choice(part, best, "before" if first == numbers[0] else "after")
            about = {"item": part.id, "first": "before" if first == numbers[0] else "after", "choice": pair_choice}
            of = {"sides": [sides[number] for number in numbers] if sides else None, "at": round(time.time(), 3)}
            decided.append({name: value for name, value in (entry | about | of).items() if value})
        for each in sorted(decided, key=lambda entry: entry["choice"] != OPEN):  # two pairs may have the same words
            self._journal.append(each)

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
        """Return how many items this voter has voted on, and how many there are."""
        voter = checked_name(voter)
        return sum(name == voter for name, _ in self._voted()), len(self._pairs)

    def turnout(self) -> tuple[int, int]:
        """Return the number of votes and of voters, without revealing a side."""
        voted = self._voted()
        return len(voted), len({voter for voter, _ in voted})

    def votes(self) -> list[Vote]:
        """Return the votes on pairs that count: the last one of each voter on each pair of this ballot."""
        return [vote for vote in self._latest().values() if vote.choice != OPEN]

    def _outcomes(self) -> dict[str, Counter[str]]:
        """Count the outcomes of the votes on each pair: `before`, `after`, `tie` or `bad`."""
        counts: dict[str, Counter[str]] = {item: Counter() for item in self._by_id}
        for vote in self.votes():
            counts[vote.item][vote.winner or vote.choice] += 1
        return counts

    def result(self, rival: int = 0) -> VoteResult:
        """Count the votes between the last answer and a `rival`, the number of another one; this reveals the sides.

        Votes on the same pair are not independent of each other, so a pair counts once, by its mean vote, however many
        voters it has. Wilson's interval for that many trials is then on the safe side: no mean of values between 0 and
        1 varies more than one of zeros and ones.
        """
        pairs = self._against(rival)
        voters = {vote.voter for vote in self.votes() if vote.item in pairs}
        by_pair = [counts for item, counts in self._outcomes().items() if counts and item in pairs]
        totals = sum(by_pair, Counter())
        wins = sum((counts["after"] + (counts["tie"] + counts["bad"]) / 2) / counts.total() for counts in by_pair)
        rate = wins / len(by_pair) if by_pair else None
        interval = None if rate is None else wilson(rate, len(by_pair))
        outcomes = {name: totals[name] for name in ("after", "before", "tie", "bad")}
        return VoteResult(totals.total(), len(voters), len(by_pair), **outcomes, win_rate=rate, interval=interval)

    def standing(self, rival: int = 0) -> VoteStanding:
        """Return whether the votes between the last answer and a `rival` decide by now, however often that is checked.

        A pair counts by the vote of who voted on it first, blind: others who see the same pair give no new sample of
        prompts. Ties and `both bad` are one outcome.
        """
        pairs = self._against(rival)
        latest, first = self._latest(), dict[str, Vote]()
        for (_, item), vote in latest.items():  # in the order in which each voter came to each pair
            if item in pairs and vote.is_blind and vote.choice != OPEN:
                first.setdefault(item, vote)
        outcomes = [vote.winner or "tie" for vote in first.values()]
        return confidence_sequence.standing(outcomes, len(pairs) - len(outcomes))

    def agreement(self) -> Agreement | None:
        """Return how far voters agree on the pairs that several have voted on; None where there are none."""
        return confidence_sequence.agreement(list(self._outcomes().values()))

    def preferences(self) -> PreferenceData:
        """Return the decided pairs as preference data; pairs that are not decided are counted."""
        rows = []
        counted: Counter[str] = Counter()
        for item, counts in self._outcomes().items():
            decision = decide(counts) if counts else "unvoted"
            counted[decision] += 1
            if decision in get_args(Side):
                pair = self._by_id[item]
                chosen, rejected = (pair.after, pair.before)[:: 1 if decision == "after" else -1]
                rows.append({"prompt": pair.prompt, "chosen": chosen, "rejected": rejected})
        return PreferenceData(rows, counted["tie"], counted["bad"], counted["unvoted"])

    def _pair(self, item: str) -> AnswerPair:
        if item not in self._pairs:
            raise CompareError("compare.ballot_item", item=item[:40])
        return self._pairs[item]

    def _against(self, rival: int) -> set[str]:
        """Return the pairs of the last answers and a `rival`."""
        return {parts[rival, len(self._pairs[item].answers) - 1].id for item, parts in self._parts.items()}

    def _latest(self) -> dict[tuple[str, str], Vote]:
        """Return the last vote of each voter on each pair of this ballot, those that leave it open among them."""
        votes = map(_read, self._journal.entries())
        return {(vote.voter, vote.item): vote for vote in votes if vote and vote.item in self._by_id}

    def _voted(self) -> set[tuple[str, str]]:
        """Return each voter with each item that they have voted on: on all pairs of its answers."""
        latest = self._latest()
        voters = {voter for voter, _ in latest}
        return {
            (voter, item)
            for item, parts in self._parts.items()
            for voter in voters
            if all((voter, part.id) in latest for part in parts.values())
        }


def decide(counts: Mapping[str, int]) -> Literal["before", "after", "tie", "bad"]:
    """Return what most votes on a pair say, given how many there are for `before`, `after`, `tie` and `bad`."""
    if 2 * counts.get("bad", 0) > sum(counts.values()):
        return "bad"
    before, after = counts.get("before", 0), counts.get("after", 0)
    return "tie" if before == after else "after" if after > before else "before"


def votes_between(folder: Path, before: str, after: str, items: Collection[str] = ()) -> list[Vote]:
    """Return the votes that count between two columns, of which a run's `compare` folder keeps any number.

    Those whose `sides` are the two columns in this order, and those on pairs that are known (`items`) as theirs.
    """
    counted = {}
    for entry in Journal(folder / "votes.jsonl").entries():
        vote = _read(entry)
        if vote and (vote.item in items or entry.get("sides") == [before, after]):
            counted[vote.voter, vote.item] = vote
    return [vote for vote in counted.values() if vote.choice != OPEN]


def _read(entry: Mapping[str, Any]) -> Vote | None:
    """Return the vote of a line; None for a line of another kind."""
    voter, item, first, choice = (str(entry.get(name)) for name in ("voter", "item", "first", "choice"))
    if choice not in (*CHOICES, OPEN) or first not in get_args(Side):
        return None
    return Vote(voter, item, first, choice, "comparison" not in entry)  # type: ignore[arg-type]


def _parts(pair: AnswerPair) -> dict[tuple[int, int], AnswerPair]:
    """Return the pairs among an item's answers, by their numbers."""
    answers = pair.answers
    numbers = combinations(range(len(answers)), 2)
    return {(one, two): AnswerPair(pair.prompt, answers[one], answers[two]) for one, two in numbers}


def _choice(pair: AnswerPair, best: str, first: Side) -> str:
    """Return the choice on a pair, of which the side `first` was shown before the other, where some words are best."""
    if pair.before == pair.after:
        return "tie"
    if best not in (pair.before, pair.after):
        return OPEN
    return "1" if (best == pair.before) == (first == "before") else "2"


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a rate over some trials (Wilson 1927); it never leaves 0 to 1."""
    spread = _NORMAL_QUANTILE * _NORMAL_QUANTILE / trials
    middle = (rate + spread / 2) / (1 + spread)
    half = _NORMAL_QUANTILE / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)
