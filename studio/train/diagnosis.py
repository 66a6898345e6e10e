"""What a run's curves say, in plain sentences: the phases of the loss, and findings with what to try."""

from dataclasses import dataclass
from typing import Any

import numpy

from studio.i18n import DEFAULT_LANGUAGE, Message, message
from studio.runs import Run, State, Status
from studio.runs.curve import Curve, read_curve
from studio.train import diagnosis_rules
from studio.train.diagnosis_rules import Finding, Measurements, Severity, finding, format_figure, pace
from studio.train.phases import Phase

MIN_LOSSES = 8
SEVERITY_MARKS: dict[Severity, str] = {"good": "✓", "note": "•", "warning": "⚠", "error": "✕"}
"""What stands before a finding, so that colour is never the only sign."""
_RANK: list[Severity] = ["error", "warning", "good", "note"]
_NOT_FINITE = "errors.run.not_finite"


@dataclass(frozen=True)
class Diagnosis:
    """What the curves of a run say."""

    phases: tuple[Phase, ...] = ()
    findings: tuple[Finding, ...] = ()
    """The gravest first."""
    over: bool = False
    """Whether the run has ended, so that nothing will be added."""

    @property
    def words(self) -> list[Message]:
        """The phases, a sentence each."""
        sentences = []
        for phase in self.phases:
            values = {name: format_figure(getattr(phase, name)) for name in ("first", "last", "start", "end")}
            now = "_now" if not self.over and phase is self.phases[-1] else ""
            pace_words = pace(phase.per_100, self.phases[-1].last)
            sentences.append(message(f"diagnosis.phase.{phase.kind}{now}", **values, **pace_words))
        return sentences

    def text(self, language: str = DEFAULT_LANGUAGE) -> list[str]:
        """Return the whole reading as lines of plain text."""
        lines = [" ".join(sentence.text(language) for sentence in self.words)] if self.phases else []
        for one in self.findings:
            lines.append(f"{SEVERITY_MARKS[one.severity]} {one.what.text(language)} {one.advice.text(language)}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the reading as what `--json` prints, in English."""
        return {
            "over": self.over,
            "phases": [
                {"kind": p.kind, "first": p.first, "last": p.last}
                | {"start": round(p.start, 5), "end": round(p.end, 5), "per_100": round(p.per_100, 5)}
                for p in self.phases
            ],
            "findings": [
                {"kind": one.kind, "severity": one.severity, "what": one.what.text(), "try": one.advice.text()}
                | {"figures": {name: round(value, 5) for name, value in one.figures.items()}}
                for one in self.findings
            ],
        }


def diagnose(curve: Curve, status: Status | None = None, clip: float | None = None) -> Diagnosis:
    """Read the curves of a run; without a status, of one that still trains."""
    of_preferences = bool(numpy.isfinite(curve.margins).any())  # other runs have none
    over = status is not None and status.state in (State.FINISHED, State.STOPPED, State.FAILED)
    measured = Measurements(curve, over, clip)
    error = status.error if status else None
    broken = diagnosis_rules.broken(measured, int(error.values["step"]) if error and error.key == _NOT_FINITE else None)
    if broken:
        findings = [broken]
    elif measured.count >= MIN_LOSSES:
        if of_preferences:
            findings = diagnosis_rules.of_preferences(curve, over=over)
        else:
            findings = sorted(_findings(measured), key=lambda one: _RANK.index(one.severity))
    elif measured.count or over:
        figures = {"count": measured.count, "needed": MIN_LOSSES}
        findings = [finding("too_short" if over else "too_early", "note", figures)]
    else:
        findings = []
    phases = measured.phases if measured.count >= MIN_LOSSES and not of_preferences else ()
    return Diagnosis(tuple(phases), tuple(findings), over)


def _findings(measured: Measurements) -> list[Finding]:
    if divergence := diagnosis_rules.diverged(measured):
        return [divergence]
    high, low = diagnosis_rules.rate_too_high(measured), diagnosis_rules.rate_too_low(measured)
    fits = diagnosis_rules.over_fitting(measured) or diagnosis_rules.by_heart(measured)
    few = None if fits or high or low else diagnosis_rules.too_few_steps(measured)
    stairs = None if fits else diagnosis_rules.staircase(measured)
    flat = None if low or few or fits else diagnosis_rules.plateau(measured)
    spiky = None if high else diagnosis_rules.spikes(measured)
    findings = [one for one in (high, low, fits, few, stairs, flat, spiky, diagnosis_rules.clipped(measured)) if one]
    if not any(one.severity == "warning" or one.kind == "unmoved" for one in findings):
        figures, kind = {"start": measured.start, "end": measured.end}, "good"
        if len(measured.checks) >= 2:
            place, kind = int(measured.checks.argmin()), "good_validated"
            best, lowest = int(measured.evaluated_steps[place]), float(measured.checks[place])
            figures |= {"best": best, "lowest": lowest, "gap": lowest - measured.end}
        findings.append(finding(kind, "good", figures, now=not measured.over))
    if measured.over and not len(measured.checks) and not fits:
        findings.append(finding("no_validation", "note", {}))
    return findings


def diagnose_run(run: Run) -> Diagnosis:
    """Read the curves of a run from its directory."""
    return diagnose(read_curve(run), run.status(), run.config().train.max_grad_norm)
