"""A run on another machine, in words: where it is carried out, what that costs, and what stays there.

Pure functions without Gradio.
"""

import html

from studio.i18n import Message, text
from studio.model import hub_models
from studio.remote.record import JobRecord


def place(record: JobRecord | None, alive: bool, language: str) -> str:
    """Say where a run is carried out, or was, and what is left there; empty for a run of this machine."""
    if record is None:
        return ""
    endpoint = hub_models.endpoint()
    words = text("ui.remote.on" if alive else "ui.remote.was_on", language, flavor=record.flavor)
    parts = [html.escape(words)]
    if alive and record.most_dollars is not None:
        price = f"{record.dollars_per_hour:.2f}"
        parts.append(html.escape(text("ui.remote.costs", language, price=price, most=f"{record.most_dollars:.2f}")))
    if record.job:
        parts.append(_link(f"{endpoint}/jobs/{record.owner}/{record.job}", text("ui.remote.job", language)))
    if record.deleted:
        parts.append(html.escape(text("ui.remote.deleted", language)))
    elif record.attempt:
        parts.append(_link(f"{endpoint}/{record.repository}", text("ui.remote.repository", language)))
        if not alive:
            parts.append(html.escape(text("ui.remote.stays", language)))
            parts.append(_link(f"{endpoint}/{record.repository}/settings", text("ui.remote.delete_it", language)))
    return f'<p class="life place"><i aria-hidden="true">↗</i> {" · ".join(parts)}</p>'


def _link(address: str, words: str) -> str:
    url = html.escape(address, quote=True)
    return f'<a href="{url}" target="_blank" rel="noopener">{html.escape(words)}</a>'


def offered(prices: dict[str, float | None], language: str) -> list[tuple[str, str]]:
    """Return the machines as choices, each with its price per hour where that is known; the cheapest first."""
    known = sorted(prices.items(), key=lambda offer: (offer[1] is None, offer[1] or 0.0, offer[0]))
    return [(_offer(flavor, price, language), flavor) for flavor, price in known]


def _offer(flavor: str, price: float | None, language: str) -> str:
    return flavor if price is None else text("ui.remote.offer", language, flavor=flavor, price=f"{price:.2f}")


def quoted(quote: JobRecord, forecast: list[Message], language: str) -> str:
    """Say what a job costs at most, who pays, how long it will take, and where the run goes."""
    hours = f"{quote.seconds / 3600:.3g}"
    if quote.most_dollars is None:
        words = text("remote.no_price", language, flavor=quote.flavor, hours=hours, account=quote.owner)
    else:
        prices = {"price": f"{quote.dollars_per_hour:.2f}", "most": f"{quote.most_dollars:.2f}"}
        words = text("remote.price", language, flavor=quote.flavor, hours=hours, account=quote.owner, **prices)
    goes = text("ui.remote.goes", language, repository=f"{quote.repository}-…")
    takes = " ".join(sentence.text(language) for sentence in forecast)
    paragraphs = (html.escape(part) for part in (takes, goes) if part)
    return f'<p role="status">{html.escape(words)}</p>' + "".join(f'<p class="hint">{part}</p>' for part in paragraphs)


def start_label(quote: JobRecord | None, language: str) -> str:
    """Return the words of the button that starts a job, with what it costs at most once that is known."""
    if quote is None or quote.most_dollars is None:
        return text("ui.remote.start", language)
    return text("ui.remote.start_for", language, most=f"{quote.most_dollars:.2f}")
