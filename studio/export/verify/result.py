"""What was found of an export, in figures and in words, and where that is kept."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.export import questions
from studio.export.verify.agreement import Agreement
from studio.export.verify.losses import Losses
from studio.files import replace_file
from studio.i18n import Message, message
from studio.model.adapter_files import BASE_RECORD

Checked = Literal["adapter", "merged", "script", "example", "space", "gguf"]
"""What is checked; the model that Ollama is given is a merged one."""


@dataclass(frozen=True)
class Verification:
    """What a fresh process made of an export."""

    kind: Checked
    precision: str
    """The number format that it computed in."""
    agreement: Agreement | None = None
    """Of an adapter (in its folder, in the example, in the app) with the run's own answers; of a merged model with the
    adapter on the same base in the same format; of a GGUF file with the merged model. None of a script."""
    rows: questions.Where | None = None
    """Where the questions with references come from."""
    prompts: tuple[int, int] | None = None
    """Texts that the export itself renders as the run does, and texts that were tried.

    None where it has no template for a question alone.
    """
    trained_as: str | None = None
    """How the base was quantized in the training, where the merged model's is not."""
    distance: Agreement | None = None
    """From the run on its quantized base to the merged model."""
    base: Agreement | None = None
    """Of the base in a Space's app with the base as the run has it."""
    recorded: tuple[int, int] | None = None
    """Recorded answers that a Space's app shows, and recorded ones."""
    losses: Losses | None = None
    """Of a script's first steps with those of the run."""
    made: float = field(default_factory=time.time)
    """Seconds since the epoch."""

    @property
    def passed(self) -> bool:
        """Whether the export is what the run is."""
        compared = (self.agreement, self.base, self.losses)
        counted = (self.prompts, self.recorded)
        return all(each.holds for each in compared if each) and all(each[0] == each[1] for each in counted if each)

    def sentences(self) -> list[Message]:
        """Return the result in words."""
        told = self.losses.sentences() if self.losses else []
        if self.agreement:
            told += _answers(f"export.verified.{self.kind}", self.agreement)
        if self.base:
            told += _answers("export.verified.space_base", self.base)
        if self.prompts:
            told.append(message("export.verified.prompts", right=self.prompts[0], tried=self.prompts[1]))
        if self.recorded:
            told.append(message("export.verified.recorded", right=self.recorded[0], tried=self.recorded[1]))
        if self.agreement and self.agreement.perplexity:
            told.append(_perplexity(f"export.verified.perplexity.{self.rows}", self.agreement.perplexity))
        return told + self._of_distance()

    def _of_distance(self) -> list[Message]:
        if self.distance is None:
            return []
        values = {"trained": self.trained_as, "precision": self.precision, **_counts(self.distance)}
        told = [message("export.verified.distance", **values)]
        if self.distance.perplexity:
            told.append(_perplexity("export.verified.distance_perplexity", self.distance.perplexity))
        return told

    def as_json(self) -> dict[str, Any]:
        """Return the result as it is kept, with its sentences in English."""
        return {"passed": self.passed, **asdict(self), "said": [sentence.text() for sentence in self.sentences()]}


def _answers(key: str, found: Agreement) -> list[Message]:
    told = [message(key, **_counts(found))]
    if found.near:
        told.append(message("export.verified.near", near=found.near, gap=f"{found.gap:.2g}"))
    if not found.holds:
        told.append(message("export.verified.parted", parted=found.questions - found.equal - found.near))
    return told


def _counts(found: Agreement) -> dict[str, Any]:
    return {"equal": found.equal, "questions": found.questions, "share": f"{found.tokens:.0%}"}


def _perplexity(key: str, pair: tuple[float, float]) -> Message:
    before, after = (f"{value:.4g}" for value in pair)
    return message(key, before=before, after=after)


def path_of(folder: Path) -> Path:
    """Return where the result of an export's check is kept: beside it, so that the export stays as it is."""
    return folder.with_name(f"{folder.name}.verified.json")


def save(verification: Verification, folder: Path) -> None:
    """Keep a result."""
    replace_file(path_of(folder), json.dumps(verification.as_json(), ensure_ascii=False, indent=1))


def saved(folder: Path) -> Verification | None:
    """Return the result that was kept of an export; None without one, or where the export was made anew since."""
    try:
        if path_of(folder).stat().st_mtime < (folder / BASE_RECORD).stat().st_mtime:
            return None
        held = json.loads(path_of(folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    for name in ("passed", "said"):
        held.pop(name)
    return Verification(**{name: _as_it_was(name, value) for name, value in held.items()})


def _as_it_was(name: str, held: Any) -> Any:
    """Return a field's value from what JSON has made of it."""
    if isinstance(held, dict):
        kind = Losses if name == "losses" else Agreement
        return kind(**{inner: _as_it_was(inner, value) for inner, value in held.items()})
    return tuple(held) if isinstance(held, list) else held
