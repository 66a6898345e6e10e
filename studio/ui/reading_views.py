"""What the curve says, as HTML: where the run is, its phases in words, and findings with a sign and what to try."""

import html
from typing import Any

from studio.i18n import text
from studio.runs.curve import Curve
from studio.train.diagnosis import SEVERITY_MARKS, Diagnosis
from studio.train.diagnosis_rules import Finding
from studio.ui.views import empty, one_line


def reading_html(curve: Curve, reading: Diagnosis, language: str) -> str:
    """Return the reading of a run's curve; before the first loss, what will be here."""
    if not len(curve.losses):
        return empty("ui.loss.none", language)
    sentences = [_now(curve, language), *(one_line(note, language) for note in reading.words)]
    findings = "".join(_item(finding, language) for finding in reading.findings)
    words = html.escape(" ".join(sentences))
    return f'<div class="reading"><p class="caption">{words}</p><ul class="findings">{findings}</ul></div>'


def _now(curve: Curve, language: str) -> str:
    """Say where the run is, and its last losses."""
    step = int(curve.steps[-1])
    values: dict[str, Any] = {"step": step, "total": max(curve.total, step), "loss": f"{curve.losses[-1]:.2f}"}
    sentence = text("ui.loss.now", language, **values)
    if len(curve.validation_losses):
        checked = {"loss": f"{curve.validation_losses[-1]:.2f}", "step": int(curve.evaluated_steps[-1])}
        sentence += " " + text("ui.loss.validation", language, **checked)
    if curve.styles:
        sentence += " " + one_line(curve.styles[-1].summary, language)
    return sentence


def _item(finding: Finding, language: str) -> str:
    severity = html.escape(text(f"ui.reading.{finding.severity}", language))
    what, advice = html.escape(one_line(finding.what, language)), html.escape(one_line(finding.advice, language))
    return (
        f'<li class="is-{finding.severity}"><span class="sign" role="img" aria-label="{severity}">'
        f"{SEVERITY_MARKS[finding.severity]}</span><div><strong>{what}</strong> <span>{advice}</span></div></li>"
    )
