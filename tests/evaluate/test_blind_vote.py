"""A blind vote: shuffled for everybody, the same after a reload, counted with what chance may do."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock

from studio import journal
from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.evaluate import blind_vote
from studio.evaluate.blind_vote import Ballot, wilson
from studio.journal import Journal

PAIRS = [AnswerPair(f"Question {n}?", f"plain {n}", f"styled {n}") for n in range(10)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "compare"


def choose(ballot, voter, item, side):
    """Vote for a side as somebody would who knew which one it is."""
    return ballot.vote(voter, item, "1" if ballot.first(voter, item) == side else "2")


def test_a_reload_shows_the_same_ballot_and_another_voter_another(folder):
    first, again = Ballot(folder, PAIRS), Ballot(folder, reversed(PAIRS))

    assert first.order("ann") == again.order("ann")
    assert first.order("ann") != first.order("ben")
    assert sorted(first.order("ann")) == sorted(pair.id for pair in PAIRS)
    assert [first.item("ann", item) for item in first.order("ann")] == [
        again.item("ann", item) for item in again.order("ann")
    ]


def test_each_side_is_shown_first_about_as_often(folder):
    ballot = Ballot(folder, PAIRS)
    first = [ballot.first(f"voter {n}", pair.id) for n in range(100) for pair in PAIRS]

    assert 440 < first.count("after") < 560
    assert len({ballot.first(f"voter {n}", PAIRS[0].id) for n in range(20)}) == 2


def test_what_is_shown_does_not_tell_the_sides(folder):
    ballot = Ballot(folder, PAIRS)
    shown = ballot.next("ann")
    pair = next(pair for pair in PAIRS if pair.id == shown.item)

    assert set(shown.answers) == {pair.before, pair.after}
    assert (shown.number, shown.total) == (1, 10)
    assert not {"before", "after"} & {str(value) for value in vars(shown).values()}


def test_a_voter_goes_through_all_pairs_once(folder):
    ballot = Ballot(folder, PAIRS)
    seen = []
    while shown := ballot.next("ann"):
        assert ballot.progress("ann") == (len(seen), 10)
        seen.append(shown.item)
        ballot.vote("ann", shown.item, "tie")

    assert seen == ballot.order("ann")
    assert ballot.progress("ann") == (10, 10)
    assert ballot.progress("ben") == (0, 10)


def test_a_vote_can_be_changed_and_the_last_one_counts(folder):
    ballot = Ballot(folder, PAIRS)
    choose(ballot, "ann", PAIRS[0].id, "before")
    choose(ballot, "ann", PAIRS[0].id, "after")

    assert [each.winner for each in ballot.votes()] == ["after"]
    assert ballot.progress("ann") == (1, 10)
    assert len((folder / "votes.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_the_win_rate_follows_the_sides_and_not_the_places(folder):
    ballot = Ballot(folder, PAIRS)
    for number, pair in enumerate(PAIRS):
        choose(ballot, "ann", pair.id, "after" if number < 7 else "before")
    result = ballot.result()

    assert {each.choice for each in ballot.votes()} == {"1", "2"}
    assert (result.after, result.before, result.votes, result.voters, result.items) == (7, 3, 10, 1, 10)
    assert result.win_rate == pytest.approx(0.7)
    assert result.interval == pytest.approx((0.3968, 0.8922), abs=1e-4)


def test_ties_and_both_bad_are_half_a_win(folder):
    ballot = Ballot(folder, PAIRS)
    choose(ballot, "ann", PAIRS[0].id, "after")
    ballot.vote("ann", PAIRS[1].id, "tie")
    ballot.vote("ann", PAIRS[2].id, "bad")
    result = ballot.result()

    assert (result.after, result.tie, result.bad) == (1, 1, 1)
    assert result.win_rate == pytest.approx(2 / 3)


def test_twenty_voters_on_one_pair_prove_no_more_than_one_pair_can(folder):
    ballot = Ballot(folder, PAIRS)
    for number in range(20):
        choose(ballot, f"voter {number}", PAIRS[0].id, "after")
    result = ballot.result()

    assert (result.votes, result.voters, result.items, result.win_rate) == (20, 20, 1, 1)
    assert result.interval == pytest.approx(wilson(1, 1))
    assert result.interval[0] < 0.25


def test_a_pair_with_many_voters_weighs_as_much_as_one_with_few(folder):
    ballot = Ballot(folder, PAIRS)
    for number in range(9):
        choose(ballot, f"voter {number}", PAIRS[0].id, "after")
    choose(ballot, "voter 0", PAIRS[1].id, "before")

    assert ballot.result().win_rate == 0.5


@pytest.mark.parametrize(
    ("wins", "trials", "interval"),
    [(5, 10, (0.2366, 0.7634)), (10, 10, (0.7225, 1.0)), (0, 10, (0.0, 0.2775)), (81, 263, (0.2553, 0.3662))],
)
def test_wilsons_interval_is_the_published_one(wins, trials, interval):
    assert wilson(wins / trials, trials) == pytest.approx(interval, abs=1e-4)


def test_nobody_has_voted_yet(folder):
    result = Ballot(folder, PAIRS).result()
    assert (result.votes, result.win_rate, result.interval) == (0, None, None)


def test_twenty_threads_lose_no_vote(folder):
    def vote(number):
        ballot = Ballot(folder, PAIRS)  # each as a process of its own would
        for item in ballot.order(f"voter {number}"):
            choose(ballot, f"voter {number}", item, "after")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(vote, range(20)))
    lines = (folder / "votes.jsonl").read_text(encoding="utf-8").splitlines()

    assert len([json.loads(line) for line in lines]) == 200
    assert Ballot(folder, PAIRS).result().after == 200
    assert all(Ballot(folder, PAIRS).progress(f"voter {number}") == (10, 10) for number in range(20))


def test_a_vote_waits_while_another_process_writes(folder):
    folder.mkdir()
    ballot = Ballot(folder, PAIRS)
    voting = threading.Thread(target=choose, args=(ballot, "ann", PAIRS[0].id, "after"))
    with FileLock(folder / "votes.jsonl.lock"):
        voting.start()
        voting.join(0.3)
        assert voting.is_alive()
        assert ballot.votes() == []
    voting.join()

    assert [each.winner for each in ballot.votes()] == ["after"]


def test_a_torn_line_loses_only_itself(folder):
    ballot = Ballot(folder, PAIRS)
    choose(ballot, "ann", PAIRS[0].id, "after")
    with open(folder / "votes.jsonl", "ab") as file:
        file.write('{"voter": "ann", "item": "한'.encode()[:-1])
    choose(ballot, "ann", PAIRS[1].id, "after")

    assert [each.item for each in ballot.votes()] == [PAIRS[0].id, PAIRS[1].id]


def test_an_unchanged_file_is_parsed_once(folder):
    ballot = Ballot(folder, PAIRS)
    for number in range(50):
        choose(ballot, f"voter {number}", PAIRS[0].id, "after")
    ballot.votes()
    parsed = journal._parse.cache_info().misses

    choose(ballot, "ann", PAIRS[0].id, "after")
    for _ in range(5):
        assert len(Ballot(folder, PAIRS).votes()) == 51

    assert journal._parse.cache_info().misses == parsed + 1


@pytest.mark.parametrize("change", ["shorter", "another", "as long", "gone"])
def test_a_file_that_is_another_one_is_read_anew(folder, change):
    ballot = Ballot(folder, PAIRS)
    for voter in ("ann", "ben"):
        choose(ballot, voter, PAIRS[0].id, "after")
    assert len(ballot.votes()) == 2
    path = folder / "votes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if change == "gone":
        path.unlink()
    else:
        new = {"shorter": lines[1:], "another": [*lines[1:], *lines[1:], lines[1]], "as long": [lines[1], lines[1]]}
        path.write_bytes(b"".join(new[change]))

    assert {each.voter for each in ballot.votes()} == (set() if change == "gone" else {"ben"})


def test_a_file_of_votes_has_an_end_and_old_votes_make_way_first(folder, monkeypatch):
    monkeypatch.setattr(blind_vote, "MAX_ENTRIES", 20)
    ballot = Ballot(folder, PAIRS)
    for _ in range(100):
        choose(ballot, "ann", PAIRS[0].id, "after")
        assert len((folder / "votes.jsonl").read_bytes().splitlines()) <= 20
    for pair in PAIRS:
        choose(ballot, "ann", pair.id, "before")
        choose(ballot, "ben", pair.id, "before")

    assert len(ballot.votes()) == 20
    with pytest.raises(CompareError, match="20 lines"):
        choose(ballot, "cho", PAIRS[0].id, "after")
    assert {each.winner for each in ballot.votes()} == {"before"}


def test_voters_are_bounded_in_all_and_from_one_place(folder, monkeypatch):
    monkeypatch.setattr(blind_vote, "MAX_VOTERS", 8)
    monkeypatch.setattr(blind_vote, "MAX_VOTERS_FROM_ONE_PLACE", 3)
    ballot = Ballot(folder, PAIRS)
    for number in range(3):
        ballot.vote(f"crowd {number}", PAIRS[0].id, "1", "a place")
    with pytest.raises(CompareError, match="No more voters"):
        ballot.vote("crowd 3", PAIRS[0].id, "1", "a place")
    ballot.vote("crowd 2", PAIRS[1].id, "1", "a place")
    for number in range(5):
        ballot.vote(f"owner {number}", PAIRS[0].id, "1")
    with pytest.raises(CompareError, match="No more voters"):
        ballot.vote("elsewhere", PAIRS[0].id, "1", "another place")

    assert ballot.turnout() == (9, 8)


def test_lines_of_another_kind_are_no_votes(folder):
    Journal(folder / "votes.jsonl").append({"voter": "ann", "item": PAIRS[0].id, "first": "left", "choice": "1"})
    Journal(folder / "votes.jsonl").append({"voter": "ann", "item": "gone", "first": "after", "choice": "1"})
    with open(folder / "votes.jsonl", "a", encoding="utf-8") as file:
        file.write('[]\n7\n{"item": []}\n')

    assert Ballot(folder, PAIRS).votes() == []


def test_decided_pairs_become_preference_data(folder):
    ballot = Ballot(folder, PAIRS)
    for voter in ("ann", "ben", "cho"):
        choose(ballot, voter, PAIRS[0].id, "after")
        choose(ballot, voter, PAIRS[1].id, "before")
        choose(ballot, voter, PAIRS[2].id, "before" if voter == "ann" else "after")
        ballot.vote(voter, PAIRS[3].id, "tie")
        ballot.vote(voter, PAIRS[4].id, "bad" if voter != "ann" else "1")
    choose(ballot, "ann", PAIRS[5].id, "after")
    choose(ballot, "ben", PAIRS[5].id, "before")
    made = ballot.preferences()

    assert made.rows == [
        {"prompt": "Question 0?", "chosen": "styled 0", "rejected": "plain 0"},
        {"prompt": "Question 1?", "chosen": "plain 1", "rejected": "styled 1"},
        {"prompt": "Question 2?", "chosen": "styled 2", "rejected": "plain 2"},
    ]
    assert (made.ties, made.bad, made.unvoted) == (2, 1, 4)


@pytest.mark.parametrize(
    ("voter", "item", "choice", "key"),
    [
        ("ann", PAIRS[0].id, "3", "compare.ballot_choice"),
        ("ann", "0" * 16, "1", "compare.ballot_item"),
        ("  ", PAIRS[0].id, "1", "compare.voter"),
        ("x" * 81, PAIRS[0].id, "1", "compare.voter"),
    ],
)
def test_what_is_no_vote_is_refused_and_not_written(folder, voter, item, choice, key):
    with pytest.raises(CompareError) as raised:
        Ballot(folder, PAIRS).vote(voter, item, choice)
    assert raised.value.key == key
    assert not (folder / "votes.jsonl").exists()


def test_a_ballot_needs_pairs(folder):
    with pytest.raises(CompareError) as raised:
        Ballot(folder, [])
    assert raised.value.key == "compare.no_items"


def test_any_text_of_a_voter_or_a_pair_is_only_text(folder):
    odd = AnswerPair('<b>"\n\\', "\ud800 lone", "한글 \u2028 line")
    ballot = Ballot(folder, [odd])
    ballot.vote('{"choice": "1"}\n', odd.id, "tie")

    assert [(each.voter, each.choice) for each in ballot.votes()] == [('{"choice": "1"}', "tie")]


def test_a_vote_that_is_not_blind_counts_with_the_others_and_names_its_comparison(folder):
    ballot, item = Ballot(folder, PAIRS), PAIRS[0].id
    ballot.vote("ann", item, "2", comparison="0123")
    choose(ballot, "ben", item, "before")

    assert {(vote.voter, vote.winner) for vote in ballot.votes()} == {("ann", "after"), ("ben", "before")}
    first, second = Journal(folder / "votes.jsonl").entries()
    assert first["comparison"] == "0123"
    assert "comparison" not in second


# Three answers

TRIPLES = [AnswerPair(f"Question {n}?", f"plain {n}", f"asked {n}", (f"styled {n}",)) for n in range(10)]


def best(ballot, voter, item, words):
    """Vote as somebody would who knew whose words they are."""
    shown = ballot.item(voter, item).answers
    ballot.vote(voter, item, str(1 + next(n for n, answer in enumerate(shown) if answer.startswith(words))))


def test_three_answers_are_shown_in_all_orders_and_each_is_first_about_as_often(folder):
    ballot = Ballot(folder, TRIPLES)
    seen = [ballot.item(f"voter {n}", item.id).answers for n in range(30) for item in TRIPLES]
    orders = [tuple(answer.split()[0] for answer in answers) for answers in seen]

    assert len(set(orders)) == 6
    assert all(75 < sum(order[0] == words for order in orders) < 125 for words in ("plain", "asked", "styled"))
    assert ballot.item("ann", TRIPLES[0].id) == Ballot(folder, TRIPLES).item("ann", TRIPLES[0].id)


def test_the_best_of_three_wins_two_pairs_and_leaves_the_third_open(folder):
    ballot = Ballot(folder, TRIPLES)
    best(ballot, "ann", TRIPLES[0].id, "styled")
    best(ballot, "ann", TRIPLES[1].id, "plain")
    ballot.vote("ann", TRIPLES[2].id, "tie")
    ballot.vote("ann", TRIPLES[3].id, "bad")
    base, asked = ballot.result(0), ballot.result(1)

    assert (base.after, base.before, base.tie, base.bad, base.items) == (1, 1, 1, 1, 4)
    assert (asked.after, asked.before, asked.tie, asked.bad, asked.items) == (1, 0, 1, 1, 3)
    assert all(vote.is_blind for vote in ballot.votes())
    assert ballot.progress("ann") == (4, 10)
    assert ballot.turnout() == (4, 1)


def test_a_changed_vote_on_three_takes_back_what_it_no_longer_says(folder):
    ballot, item = Ballot(folder, TRIPLES), TRIPLES[0].id
    best(ballot, "ann", item, "styled")
    best(ballot, "ann", item, "plain")

    assert (ballot.result(0).before, ballot.result(0).after) == (1, 0)
    assert ballot.result(1).votes == 0
    assert ballot.progress("ann") == (1, 10)


@pytest.mark.parametrize("alike", range(3))
def test_answers_with_the_same_words_are_a_tie_whoever_is_best(folder, alike):
    words = ["same"] * 3
    words[alike] = "other"
    triple = AnswerPair("Question?", words[0], words[1], (words[2],))
    ballot = Ballot(folder, [triple])
    best(ballot, "ann", triple.id, "same")
    wins = [("tie" if words[2] == words[n] else "after" if words[2] == "same" else "before") for n in (0, 1)]

    assert [getattr(ballot.result(n), win) for n, win in enumerate(wins)] == [1, 1]
    assert ballot.progress("ann") == (1, 1)


def test_votes_on_pairs_and_on_three_are_in_one_file_and_count_together(folder):
    three, two = Ballot(folder, TRIPLES), Ballot(folder, [AnswerPair("Question 0?", "plain 0", "styled 0")])
    best(three, "ann", TRIPLES[0].id, "styled")
    best(two, "ben", next(iter(two.order("ben"))), "plain")

    assert (three.result(0).after, three.result(0).before) == (1, 1)
    assert (two.result().after, two.result().before) == (1, 1)
    assert three.progress("ben") == (0, 10)
    with pytest.raises(CompareError) as raised:
        two.vote("ann", next(iter(two.order("ann"))), "3")
    assert raised.value.key == "compare.ballot_choice"


def test_votes_decide_by_the_first_voter_of_each_pair_however_many_follow(folder):
    pairs = [AnswerPair(f"{n}?", f"plain {n}", f"styled {n}") for n in range(12)]
    ballot = Ballot(folder, pairs)

    def prefer(voter: str, items: list[str], side: str) -> None:
        for item in items:
            ballot.vote(voter, item, "1" if ballot.first(voter, item) == side else "2")

    items = [pair.id for pair in pairs]
    prefer("Ann", items[:7], "after")
    assert (ballot.standing().winner, ballot.standing().votes, ballot.standing().left) == (None, 7, 5)
    for voter in ("Ben", "Cho", "Dan"):
        prefer(voter, items[:7], "after")
    assert ballot.standing().winner is None  # more voters on the same pairs are no more pairs
    assert ballot.agreement().share == 1.0
    prefer("Ben", items[7:8], "after")
    assert ballot.standing().winner == "after"
    prefer("Ann", items[:8], "before")
    assert ballot.standing().winner is None  # Ann was the first on seven of them, and has changed her mind
    assert 0 < ballot.agreement().share < 1


def test_a_vote_with_names_decides_nothing(folder):
    pairs = [AnswerPair(f"{n}?", f"plain {n}", f"styled {n}") for n in range(9)]
    ballot = Ballot(folder, pairs)
    for pair in pairs:
        ballot.vote("Ann", pair.id, "2", comparison="seen")

    assert ballot.result().after == 9
    assert (ballot.standing().winner, ballot.standing().votes) == (None, 0)
