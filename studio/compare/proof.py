"""What a comparison rests on, measured each time, and whether anything is wrong with it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

from studio.compare.column_loading import AdapterSource, LoadedColumns
from studio.compare.columns import CompareRequest
from studio.data import tokens
from studio.data.prepare import run_renderer
from studio.errors import StudioError
from studio.generation.generate import PromptBatchItem
from studio.generation.model_set import BASE_MODEL
from studio.i18n import Message, message
from studio.model import probe
from studio.model.compatibility import Evidence

SAME_PROBABILITY = 1e-6
"""Two probabilities that differ by less are those of one model: float32 rounds to about 1e-7."""


@dataclass(frozen=True)
class Proof:
    """What was compared, by hashes, and what was measured on the way."""

    prompt_sha256: tuple[str, ...]
    """Of the tokens of all prompts, for each column."""
    adapter_sha256: tuple[str | None, ...]
    """Of each column's adapter; None for the base."""
    base_sha256: str
    precision: str
    base_is_untouched: bool
    """Whether the base says to fixed prompts what it said before an adapter was put into it, in the same batch.

    No logit may have moved by more than `tolerance`, and in float32 every token must be the same.
    """
    base_difference: float
    """Largest difference of a logit from the untouched base."""
    tolerance: float
    """Largest difference that equal computations have shown on this device."""
    sides_differ: float
    """Largest difference of the first token's probability, between the two columns that are the most alike."""
    template_as_trained: bool | None
    """Whether the prompts have the tokens that they had in training; None where the adapter does not say so."""
    made_for: tuple[Evidence | None, ...] = ()
    """How it is known of each column's adapter that it was made for this base; None for the base."""
    problems: tuple[Message, ...] = ()
    """What is wrong; empty when the comparison is verified."""
    unproven: tuple[Message, ...] = ()
    """What cannot be known, and would have to be; empty when the comparison is verified."""

    @property
    def verified(self) -> bool:
        """Whether nothing is wrong, and nothing is left unproven."""
        return not self.problems and not self.unproven


def prove(request: CompareRequest, placed: LoadedColumns, asked: Sequence[PromptBatchItem], first: Any) -> Proof:
    """Check a comparison; `first` are the logits of the first tokens (prompts × columns × vocabulary)."""
    names = sorted(set(placed.names) - {BASE_MODEL})
    base, said = _probe_logits(placed, names)
    wanted = placed.probe
    difference = (base[:, -1] - wanted.last).abs().max().item()
    exact = placed.model.dtype.itemsize == 4 and not getattr(placed.model, "is_quantized", False)
    real = wanted.mask.bool()
    same_tokens = bool((base.argmax(-1) == wanted.tokens)[real].all())
    untouched = difference <= wanted.tolerance and (same_tokens or not exact)
    problems = [] if untouched else [message("compare.wrong.base", difference=f"{difference:.2g}")]
    differences = {
        pair: _difference(placed, asked, first, said, *pair) for pair in combinations(range(len(placed.names)), 2)
    }
    for (one, other), differs in differences.items():
        if differs is not None and differs <= max(SAME_PROBABILITY, 2 * wanted.chance):
            problems.append(message("compare.wrong.same", first=one + 1, second=other + 1))
    as_trained = {
        number: _matches_training_template(request, found, asked, number)
        for number, found in enumerate(placed.sources)
        if found and request.columns[number].is_plain
    }
    for number, verdict in as_trained.items():
        if verdict is False:
            problems.append(message("compare.wrong.template", number=number + 1))
    return Proof(
        prompt_sha256=tuple(_sha256([one.ids[number] for one in asked]) for number in range(len(placed.names))),
        adapter_sha256=placed.hashes,
        base_sha256=placed.base_sha256,
        precision=str(placed.model.dtype).removeprefix("torch."),
        base_is_untouched=untouched,
        base_difference=difference,
        tolerance=wanted.tolerance,
        sides_differ=min((found for found in differences.values() if found is not None), default=0.0),
        template_as_trained=None if None in as_trained.values() else all(as_trained.values()),
        made_for=tuple(found and found.known for found in placed.fits),
        problems=tuple(problems),
        unproven=(*placed.unproven, *_template_warnings(request, placed)),
    )


def _probe_logits(placed: LoadedColumns, names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the base's logits on the probes, in the batch in which the untouched base had them, and all models' last.

    Base and adapter take turns by row; the base's rows are joined from passes with the adapter in odd and even ones.
    """
    ids, mask = placed.probe.ids, placed.probe.mask
    count = len(ids)
    if not placed.mixes or not names:
        with placed.using(BASE_MODEL):
            base = probe.logits(placed.model, ids, mask)
        said = {BASE_MODEL: base[:, -1]}
        for name in names:
            with placed.using(name):
                said[name] = probe.logits(placed.model, ids, mask)[:, -1]
        return base, said
    base, said = None, {}
    for name in names:
        even = probe.logits(placed.model, ids, mask, adapter_names=[BASE_MODEL, name] * (count // 2))
        odd = probe.logits(placed.model, ids, mask, adapter_names=[name, BASE_MODEL] * (count // 2))
        mixed = even.clone()
        mixed[1::2] = odd[1::2]
        if base is None or (mixed - base).abs().max() > 0:
            base = mixed if base is None else _further_from_base(placed, base, mixed)
        said[name] = even[1::2, -1].repeat_interleave(2, 0)
    said[BASE_MODEL] = base[:, -1]
    return base, said


def _further_from_base(placed: LoadedColumns, one: Any, other: Any) -> Any:
    """Return the one of two passes that is further from the untouched base."""
    distances = [(made[:, -1] - placed.probe.last).abs().max() for made in (one, other)]
    return one if distances[0] >= distances[1] else other


def _difference(
    placed: LoadedColumns, asked: Sequence[PromptBatchItem], first: Any, said: Any, one: int, other: int
) -> float | None:
    """Return by how much a first token's probability differs between two columns.

    Measured on the prompts that both were asked alike, else on the probes; None for one model asked in two ways.
    """
    alike = [number for number, each in enumerate(asked) if each.ids[one] == each.ids[other]]
    differences = (first[alike, one].softmax(-1) - first[alike, other].softmax(-1)).abs().nan_to_num()
    if alike:
        return differences.max().item()
    names = placed.names[one], placed.names[other]
    if names[0] == names[1]:
        return None
    return (said[names[0]].softmax(-1) - said[names[1]].softmax(-1)).abs().max().item()


def _matches_training_template(
    request: CompareRequest, found: AdapterSource, asked: Sequence[PromptBatchItem], number: int
) -> bool | None:
    """Say whether the adapter's own template and settings render the prompts into the tokens that were asked."""
    if found.folder is None:
        return True
    tokenizer = found.run and _adapter_tokenizer(found.folder)  # one from outside is not opened: it says too little
    if found.run is None or tokenizer is None:
        return None
    column = request.columns[number]
    try:
        made = run_renderer(found.run, tokenizer)
        return all(
            tuple(tokens.prompt_ids(made.question(request.turns(prompt, column)), tokenizer)) == one.ids[number]
            for prompt, one in zip(request.prompts, asked, strict=True)
        )
    except StudioError:  # its own settings cannot render such a prompt at all
        return False


def _template_warnings(request: CompareRequest, placed: LoadedColumns) -> Iterator[Message]:
    """Yield what is to be said of adapters from outside that came with another chat template than the base's.

    The texts of the templates are compared: a template is a program, and one from outside is not run here.
    """
    used = getattr(placed.tokenizer, "chat_template", None)
    for number, (found, column) in enumerate(zip(placed.fits, request.columns, strict=True)):
        source = placed.sources[number]
        if found and found.saved and source and source.run is None and column.is_plain:
            own = found.saved.template
            if own is not None and own.strip() != str(used or "").strip():
                yield message("compare.unproven.template", number=number + 1)


def _adapter_tokenizer(folder: Path) -> Any:
    """Return the tokenizer that lies beside an adapter; None without one."""
    files = sorted(path for path in folder.iterdir() if "token" in path.name or "template" in path.name)
    return _tokenizer(folder, tuple((path.name, path.stat().st_mtime_ns) for path in files)) if files else None


@lru_cache(maxsize=8)
def _tokenizer(folder: Path, files: tuple[tuple[str, int], ...]) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError):
        return None


def _sha256(prompts: Sequence[Sequence[int]]) -> str:
    return hashlib.sha256(repr([list(prompt) for prompt in prompts]).encode()).hexdigest()
