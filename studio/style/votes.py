"""The votes of people in the verdict: those on the columns that a report has measured, and on no others."""

from collections import Counter
from dataclasses import replace

from studio.compare.columns import column_id
from studio.compare.comparison import AnswerPair
from studio.evaluate.blind_vote import Vote, decide, votes_between
from studio.i18n import Message, message
from studio.runs import Run
from studio.style.report import ColumnReport, StyleReport
from studio.style.verdict import Votes, with_votes


def three_way(report: StyleReport | None) -> list[AnswerPair]:
    """Return what a blind vote of three is on: for each prompt the answers of base, prompted base and adapter."""
    if report is None or not (columns := rivals(report)):
        return []
    answers = zip(report.prompts, *(column.answers for column in columns), strict=True)
    return [AnswerPair(prompt, base, prompted, (adapter,)) for prompt, base, prompted, adapter in answers]


def three_sides(report: StyleReport) -> tuple[str, ...]:
    """Return the ids of the columns of `three_way`."""
    return tuple(column_id(each.column, each.adapter, report.base) for each in rivals(report) if each.column)


def rivals(report: StyleReport) -> tuple[ColumnReport, ...]:
    """Return the base, the prompted base and the adapter of a report; empty where it lacks one of them."""
    if not (report.columns and report.prompted and report.main):
        return ()
    return report.base_column, report.prompted, report.main


def count(run: Run, report: StyleReport, other: ColumnReport | None) -> Votes:
    """Return the votes between a report's first adapter and another of its columns, a pair of answers counted once.

    A vote counts where its columns are these two: the same weights, strength and prompt; or where it is on the very
    answers that were measured. Votes at other strengths, on other checkpoints or with other prompts are not among them.
    """
    adapter = report.main
    if adapter is None or other is None:
        return Votes()
    outcomes: dict[str, Counter[str]] = {}
    named = set()
    for vote, winner in _votes(run, report, other, adapter):
        outcomes.setdefault(vote.item, Counter())[winner] += 1
        if not vote.is_blind:
            named.add(vote.item)
    wins = Counter(decide({"before": n["other"], "after": n["adapter"]}) for n in outcomes.values())
    return Votes(wins["after"], wins["before"], wins["tie"], len(named))


def _votes(run: Run, report: StyleReport, other: ColumnReport, adapter: ColumnReport) -> list[tuple[Vote, str]]:
    """Return each vote with the side that it is for: `adapter`, `other` or `tie`, whichever stood first."""
    counted = []
    for before, after in ((other, adapter), (adapter, other)):
        pairs = zip(report.prompts, before.answers, after.answers, strict=True)
        items = {AnswerPair(*pair).id for pair in pairs}
        sides = {"before": before, "after": after}
        ids = [column_id(each.column, each.adapter, report.base) for each in sides.values() if each.column]
        for vote in votes_between(run.path / "compare", *ids, items):
            winner = vote.winner and sides[vote.winner]
            counted.append((vote, "tie" if winner is None else "adapter" if winner is adapter else "other"))
    return counted


def with_current_votes(run: Run, report: StyleReport) -> StyleReport:
    """Return a report whose verdict takes the votes into account that there are by now."""
    if report.verdict is None:
        return report
    verdict = with_votes(report.verdict, count(run, report, report.prompted), count(run, report, report.base_column))
    return replace(report, verdict=verdict)


def describe(run: Run, report: StyleReport) -> list[Message]:
    """Say how many votes there are between the adapter and its rivals, and how sure that is; empty without votes."""
    sentences = []
    for name, column in (("prompt", report.prompted), ("base", report.base_column if report.columns else None)):
        votes = count(run, report, column)
        if votes.total:
            low, high = (f"{100 * value:.0f}" for value in votes.interval)
            counts = {"adapter": votes.adapter, "other": votes.prompt, "ties": votes.ties, "named": votes.named}
            share = f"{100 * votes.share:.0f}"
            sentences.append(message(f"style.votes.{name}", share=share, low=low, high=high, **counts))
    return sentences
