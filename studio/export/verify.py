"""Check an export: a fresh process loads it and answers greedily, and its answers are laid beside the run's."""

import contextlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from studio.compare import generate, likelihood
from studio.compare.columns import ADAPTED
from studio.compare.generate import Asked
from studio.compare.placing import placed
from studio.compare.proof import run_renderer
from studio.config import GenerationConfig
from studio.data import tokens
from studio.data.formats import Turn
from studio.errors import ExportError
from studio.export import questions
from studio.export.questions import Question
from studio.export.subject import Subject
from studio.files import replace_file
from studio.i18n import Message, message
from studio.model.adapter import ModelHost
from studio.model.child import Child, Stuck
from studio.model.hardware import device
from studio.model.quantization import of_repository
from studio.model.saved import BASE_RECORD

Going = Callable[[str, float | None], None]

MOST_TOKENS = 48
"""Tokens of an answer that is compared, at most."""
SILENCE = 1800.0
"""Seconds that loading a large model, or one answer, may take."""
NEAR = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.2}
"""By how much less likely (in nats) another token may be where two answers part, for that to be rounding alone.

bfloat16 keeps 8 bits: a logit of 16 to 32 is right to 0.06 to 0.13.
"""
_TEXTS = ("What is the sea?", "바다는 무엇인가요?", "  List: a, b;\n\nthen {c}. ")
"""Questions that are put through the export's own template."""


@dataclass(frozen=True)
class Answer:
    """A greedy answer: its tokens, and at each the runner-up and by how much it is less likely (in nats)."""

    ids: tuple[int, ...]
    second: tuple[int, ...] = ()
    gap: tuple[float, ...] = ()


@dataclass(frozen=True)
class Said:
    """What a model said to all questions, and how likely it found the references."""

    answers: tuple[Answer, ...]
    nll: tuple[float, ...]
    """Of each reference, summed over its tokens."""


@dataclass(frozen=True)
class Agreement:
    """How far two models agree."""

    questions: int
    equal: int
    """Answers that are the same, token for token."""
    near: int
    """Answers that part where two tokens were as good as equally likely: by rounding alone."""
    tokens: float
    """Share of the tokens up to the first one that differs."""
    gap: float | None
    """The most by which a token was less likely where two answers parted, as far as that is known, in nats."""
    perplexity: tuple[float, float] | None
    """Of the first model and the second on the references."""

    @property
    def holds(self) -> bool:
        """Whether the answers are the same but for rounding."""
        return self.equal + self.near == self.questions


@dataclass(frozen=True)
class Verification:
    """What a fresh process made of an export."""

    kind: Literal["adapter", "merged"]
    rows: questions.Where
    """Where the questions come from."""
    agreement: Agreement
    """An adapter with the run's own answers; a merged model with the adapter on the same base in the same format."""
    prompts: tuple[int, int] | None
    """Texts that the export's own template renders as the run does, and texts that were tried.

    None where it has no template for a question alone.
    """
    precision: str
    trained_as: str | None = None
    """How the base was quantized in the training, where the merged model's is not."""
    distance: Agreement | None = None
    """From the run on its quantized base to the merged model."""
    made: float = 0.0
    """Seconds since the epoch."""

    @property
    def passed(self) -> bool:
        """Whether the export is what the run is."""
        return self.agreement.holds and (self.prompts is None or self.prompts[0] == self.prompts[1])

    def sentences(self) -> list[Message]:
        """Return the result in words."""
        found = self.agreement
        told = [message(f"export.verified.{self.kind}", equal=found.equal, questions=found.questions)]
        if found.near:
            told.append(message("export.verified.near", near=found.near, gap=f"{found.gap:.2g}"))
        if not found.holds:
            told.append(message("export.verified.parted", parted=found.questions - found.equal - found.near))
        if self.prompts is not None:
            told.append(message("export.verified.prompts", right=self.prompts[0], tried=self.prompts[1]))
        if found.perplexity:
            before, after = (f"{value:.4g}" for value in found.perplexity)
            told.append(message(f"export.verified.perplexity.{self.rows}", before=before, after=after))
        if self.distance:
            told.append(
                message(
                    "export.verified.distance",
                    trained=self.trained_as,
                    precision=self.precision,
                    equal=self.distance.equal,
                    questions=self.distance.questions,
                    share=f"{self.distance.tokens:.0%}",
                )
            )
            if self.distance.perplexity:
                before, after = (f"{value:.4g}" for value in self.distance.perplexity)
                told.append(message("export.verified.distance_perplexity", before=before, after=after))
        return told

    def as_json(self) -> dict[str, Any]:
        """Return the result as it is kept, with its sentences in English."""
        return {"passed": self.passed, **asdict(self), "said": [sentence.text() for sentence in self.sentences()]}


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
    for name in ("agreement", "distance"):
        if held[name]:
            pair = held[name]["perplexity"]
            held[name] = Agreement(**held[name] | {"perplexity": pair and tuple(pair)})
    return Verification(**held | {"prompts": held["prompts"] and tuple(held["prompts"])})


def verify(subject: Subject, folder: Path, host: ModelHost, going: Going) -> Verification:
    """Check the export in `folder`; the models on the host are released on the way.

    Raises ExportError when a fresh process cannot load it.
    """
    record = json.loads((folder / BASE_RECORD).read_text(encoding="utf-8"))
    return _Check(subject, folder, host, going).of(record)


class _Check:
    def __init__(self, subject: Subject, folder: Path, host: ModelHost, going: Going):
        self._subject, self._folder, self._host, self._going = subject, folder, host, going
        going("verifying", None)
        self._rows, self._where = questions.of(subject, MOST_TOKENS)
        self._most = min(MOST_TOKENS, subject.generation.max_new_tokens)

    def of(self, record: dict[str, Any]) -> Verification:
        found = self._subject
        if "precision" not in record:
            wanted = self._of_run()
            said, prompts = self._fresh(model=found.base.path, adapter=self._folder, dtype=found.precision)
            agreement = self._agreement(wanted, said, found.precision if found.precision != "float32" else None)
            return Verification("adapter", self._where, agreement, prompts, found.precision, made=time.time())
        dtype = record["precision"]
        quantized = found.quantization != "none"
        as_trained = self._of_run() if quantized else None
        wanted, _ = self._fresh(
            model=found.base.path, adapter=found.run.adapter, dtype=dtype, quantization="none", unpack=True
        )
        said, prompts = self._fresh(model=self._folder, adapter=None, dtype=dtype, quantization="none")
        return Verification(
            "merged",
            self._where,
            self._agreement(wanted, said, dtype),
            prompts,
            dtype,
            found.quantization if quantized else None,
            self._agreement(as_trained, said, None) if as_trained else None,
            time.time(),
        )

    def _of_run(self) -> Said:
        """Let the run answer as in a comparison, one question at a time, and the adapter alone in its batch.

        Where base and adapter share a batch, PEFT rounds once more in 16 bit, and answers part at near ties.
        """
        import torch

        subject = self._subject
        settings = GenerationConfig(max_new_tokens=self._most, temperature=0.0)
        answers, nll = [], []
        with torch.no_grad(), placed(self._host, subject.run, subject.config, (ADAPTED,), None) as models:
            models = replace(models, mixes=False)
            for number, row in enumerate(self._rows):
                self._going("verifying", None if not number else number / len(self._rows))
                asked = Asked((row.ids,), str(number))
                side = generate.answer(models, [asked], settings, threading.Event()).sides[0][0]
                answers.append(Answer(side.ids))
                if row.answer:
                    weighed = likelihood.log_probabilities(models, [asked], [row.answer])[0][0]
                    nll.append(float(-weighed.sum()))
        self._host.release()
        return Said(tuple(answers), tuple(nll))

    def _fresh(
        self, *, model: Path, adapter: Path | None, dtype: str, quantization: str | None = None, unpack: bool = False
    ) -> tuple[Said, tuple[int, int] | None]:
        """Let a fresh process answer; return that, and how many prompts its template has rendered rightly."""
        subject = self._subject
        texts = _TEXTS if subject.prompt.kind == "chat" or subject.prompt.chat_template() else ()
        system = [] if subject.prompt.system is None else [{"role": "system", "content": subject.prompt.system}]
        own = bool(of_repository(subject.base.settings))
        request = {
            "model": str(model),
            "adapter": adapter and str(adapter),
            "tokenizer": str(self._folder),
            "dtype": dtype,
            "device": device(),
            "attention": subject.attention,
            "quantization": "none" if own else quantization or subject.quantization,
            "unpack": unpack and own,
            "in_float32": quantization == "none" and device() != "cuda",
            "questions": [row.ids for row in self._rows],
            "references": [(row.ids, row.answer) for row in self._rows if row.answer],
            "asked": [[*system, {"role": "user", "content": text}] for text in texts],
            "stops": subject.stops,
            "pad": subject.tokenizer.pad_token_id,
            "max_new_tokens": self._most,
        }
        heard = self._listen(request)
        answers = tuple(Answer(*(tuple(one[name]) for name in ("ids", "second", "gap"))) for one in heard["answer"])
        render = run_renderer(subject.run, subject.tokenizer)
        wanted = [tokens.prompt_ids(render.question([Turn("user", text)]), subject.tokenizer) for text in texts]
        right = sum(one["ids"] == ids for one, ids in zip(heard["asked"], wanted, strict=True))
        said = Said(answers, tuple(one["nll"] for one in heard["reference"]))
        return said, (right, len(texts)) if texts else None

    def _listen(self, request: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        program = Path(__file__).with_name("fresh.py")
        child = Child([sys.executable, "-P", str(program)], json.dumps(request), SILENCE)
        heard: dict[str, list[dict[str, Any]]] = {"asked": [], "loaded": [], "answer": [], "reference": []}
        last = ""
        work = len(self._rows)
        try:
            with contextlib.closing(child.lines()) as lines:
                for line in lines:
                    self._going("verifying", len(heard["answer"]) / work if heard["answer"] else None)
                    if line and line.startswith('{"kind"'):
                        told = json.loads(line)
                        heard[told["kind"]].append(told)
                    elif line and line.strip():
                        last = line.strip()
        except Stuck as error:
            raise ExportError("export.does_not_load", folder=str(self._folder), detail="time-out") from error
        if child.failed or len(heard["answer"]) != work or (request["adapter"] and not heard["loaded"][0]["modules"]):
            raise ExportError("export.does_not_load", folder=str(self._folder), detail=last[:300])
        return heard

    def _agreement(self, first: Said, second: Said, rounds: str | None) -> Agreement:
        return agreement(first, second, self._rows, NEAR[rounds] if rounds else 0.0)


def agreement(first: Said, second: Said, rows: Sequence[Question], near: float) -> Agreement:
    """Lay two models' answers side by side; a token that is less likely by at most `near` is as good as equal."""
    pairs = list(zip(first.answers, second.answers, strict=True))
    equal, close, agreed, length = 0, 0, 0, 0
    gaps: list[float] = []
    for one, other in pairs:
        at = _parting(one.ids, other.ids)
        agreed += at
        length += max(len(one.ids), len(other.ids))
        if one.ids == other.ids:
            equal += 1
            continue
        gap = _gap(one, other, at)
        if gap is not None and gap <= near:
            close += 1
        if gap is not None:
            gaps.append(gap)
    count = sum(len(row.answer) for row in rows)
    perplexity = None
    if count:
        perplexity = (math.exp(sum(first.nll) / count), math.exp(sum(second.nll) / count))
    return Agreement(len(pairs), equal, close, agreed / max(length, 1), max(gaps, default=None), perplexity)


def _parting(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the place of the first token that differs."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _gap(one: Answer, other: Answer, at: int) -> float | None:
    """Return by how much less likely a model found the other's token where they parted; None where it is not known."""
    known = []
    for own, theirs in ((one, other), (other, one)):
        if at < len(own.second) and at < len(theirs.ids) and own.second[at] == theirs.ids[at]:
            known.append(own.gap[at])
    return min(known, default=None)
