"""From a ballot and a reading sheet to what the page shows; the answers have no names until they are revealed.

Pure functions without Gradio. Whatever comes from prompts and answers is escaped before it becomes HTML.
"""

import html
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from studio.data.health import Problem
from studio.evaluate.blind_vote import BallotItem, PreferenceData, VoteResult
from studio.evaluate.confidence_sequence import Agreement, VoteStanding
from studio.evaluate.vote_pairs import VotePair, VotePairsProgress
from studio.i18n import Message, text
from studio.model.hardware import Choice
from studio.style.report import StyleReport
from studio.ui.views import bar, choices_html, empty, hint


def pair(item: BallotItem, language: str) -> str:
    """Return what to vote on: the prompt, and its two or three answers under their numbers."""
    sides = "".join(
        f'<div class="blind"><small>{html.escape(text("ui.vote.answer", language, number=number))}</small>'
        f"{html.escape(words) or '–'}</div>"
        for number, words in enumerate(item.answers, 1)
    )
    kind = "two-sides" if len(item.answers) == 2 else "two-sides three-sides"
    return f'<div class="asked">{html.escape(item.prompt)}</div><div class="{kind}">{sides}</div>'


def progress(done: int, total: int, language: str) -> str:
    """Return how far a voter or a reader is."""
    label = text("ui.vote.progress", language, done=done, total=total)
    return f'<div class="scan">{bar(done / total if total else 0, label)}<span>{html.escape(label)}</span></div>'


def turnout(votes: int, voters: int, language: str) -> str:
    """Say how many have voted, of everybody who votes on these pairs; empty before the first vote."""
    if not votes:
        return ""
    return hint("ui.vote.turnout", language, votes=votes, voters=voters)


MIN_PAIRS = 5
"""Pairs below which nothing is said of how many more would decide."""


def stopping(standings: Sequence[VoteStanding], language: str) -> str:
    """Say whether voting can stop, without a word on which side leads; of several rivals, by the least decided one."""
    if not standings or any(each.votes < MIN_PAIRS for each in standings):
        return ""
    least = max(standings, key=lambda each: (each.winner is None, each.more is None, each.more or 0))
    if least.winner:
        words = text("ui.vote.stop.decided", language)
    elif least.more is None:
        words = text("ui.vote.stop.no_difference", language)
    elif least.more > least.left:
        words = text("ui.vote.stop.too_few", language, more=least.more, left=least.left)
    else:
        words = text("ui.vote.stop.more", language, more=least.more)
    return f'<p class="hint" role="status">{html.escape(words)}</p>'


def agreement(measured: Agreement | None, language: str) -> str:
    """Say how far voters agree where several have voted on the same pair; empty where none have."""
    if measured is None:
        return ""
    key = "ui.vote.agreement" if measured.kappa is not None else "ui.vote.agreement_alone"
    kappa = {} if measured.kappa is None else {"kappa": f"{measured.kappa:.2f}"}
    return hint(key, language, share=f"{100 * measured.share:.0f}", pairs=measured.pairs, **kappa)


def three_way(report: StyleReport, language: str) -> str:
    """Say whose answers a vote of three is on, and on how many prompts."""
    column = report.main.title(language) if report.main else ""
    return hint("ui.vote.three_at", language, column=column, prompts=len(report.prompts))


def describe_pairs(pairs: Sequence[VotePair], language: str) -> str:
    """Say what the pairs are that were made to be voted on, and at which checkpoints and strengths."""
    columns = dict.fromkeys(column.title(language) for pair in pairs for column in pair.columns)
    return hint("ui.pairs.of", language, pairs=len(pairs), columns=", ".join(columns))


def making(progress: VotePairsProgress | None, language: str) -> str:
    """Return how far the making of pairs is, or what has come of it."""
    if progress is None or not progress.total:
        return empty("ui.score.loading", language)
    if progress.result is None:
        key = "ui.pairs.stopped" if progress.stopped else "ui.pairs.going"
        label = text(key, language, done=progress.done, total=progress.total)
        share = progress.done / progress.total
        return f'<div class="scan">{bar(share, label)}<span>{html.escape(label)}</span></div>'
    result = progress.result
    lines = [text("ui.pairs.done", language, pairs=len(result.pairs))]
    if result.alike:
        lines.append(text("ui.pairs.alike", language, count=result.alike))
    lines += [note.text(language) for note in result.notes]
    return "".join(f'<p class="hint">{html.escape(line)}</p>' for line in lines)


def results(
    counted: Mapping[str, VoteResult],
    preferences: PreferenceData,
    language: str,
    standings: Mapping[str, VoteStanding] = MappingProxyType({}),
) -> str:
    """Return the votes counted against each rival, `base` or `prompt`: who won, and how sure that is.

    `standings` are against the same rivals, each valid however often somebody has looked.

    There is no rival where all answers are of one adapter: then the votes say what it is to learn.
    """
    left_out = preferences.ties + preferences.bad + preferences.unvoted
    used_line = text("ui.vote.kept", language, rows=len(preferences.rows), left_out=left_out)
    parts = [
        _result(rival, "alone" if rival == "base" and len(counted) > 1 else rival, each, language)
        + _standing(rival, standings.get(rival), language)
        for rival, each in counted.items()
    ]
    return "".join(parts) + f"<p>{html.escape(used_line)}</p>"


def _result(rival: str, name: str, counted: VoteResult, language: str) -> str:
    if counted.win_rate is None or counted.interval is None:
        return empty("ui.vote.no_votes", language)
    low, high = (100 * value for value in counted.interval)
    verdict = "after" if low > 50 else "before" if high < 50 else "open"
    figures = {"rate": f"{100 * counted.win_rate:.0f}", "low": f"{low:.0f}", "high": f"{high:.0f}"}
    rate = text(f"ui.vote.rate.{name}", language, **figures)
    verdict_text = text(f"ui.vote.verdict.{rival if verdict == 'before' else verdict}", language)
    values = {name: getattr(counted, name) for name in ("after", "before", "tie", "bad", "votes", "voters")}
    facts = text("ui.vote.counts", language, rival=text(f"ui.vote.rival.{rival}", language), **values)
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in (verdict_text, facts))
    left, width = low, max(1.0, high - low)
    scale = (
        f'<div class="rate" role="img" aria-label="{html.escape(rate, quote=True)}"><i style="left:{left:.1f}%;'
        f'width:{width:.1f}%"></i><b style="left:{100 * counted.win_rate:.1f}%"></b></div>'
    )
    return f'<p class="big">{html.escape(rate)}</p>{scale}{lines}'


def _standing(rival: str, now: VoteStanding | None, language: str) -> str:
    """Say what is decided, or between which shares of wins everything is still possible."""
    if now is None or not now.votes:
        return ""
    low, high = (f"{100 * end:.0f}" for end in now.interval)
    key = "open" if now.winner is None else "after" if now.winner == "after" else rival
    words = text(f"ui.vote.always.{key}", language, low=low, high=high)
    return f"<p>{html.escape(words)}</p>"


def judged(summary: Sequence[Message], problems: Sequence[Problem], chosen: Sequence[Choice], language: str) -> str:
    """Return what the judgements on a run say, their problems, and how they would be trained on."""
    lines = [html.escape(sentence.text(language)) for sentence in summary]
    wrong = (f"{problem.message.text(language)} {problem.effect.text(language)}" for problem in problems)
    lines += [f'<span class="bad">{html.escape(line)}</span>' for line in wrong]
    choices_list = (
        choices_html([(choice.name, choice.value, choice.reason) for choice in chosen], language) if chosen else ""
    )
    return "".join(f"<p>{line}</p>" for line in lines) + choices_list


def started(name: str, run_id: str, *, waits: bool, language: str) -> str:
    """Say that a run on preferences was started, or that it waits for another."""
    words = text("ui.prefer.waits" if waits else "ui.prefer.started", language, name=name, run=run_id)
    return f"<p>{html.escape(words)}</p>"


def answer(prompt: str, words: str) -> str:
    """Return one answer to read, without its side's name."""
    return f'<div class="asked">{html.escape(prompt)}</div><div class="answer">{html.escape(words) or "–"}</div>'
