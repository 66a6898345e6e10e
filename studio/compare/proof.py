"""The proof of a comparison: hashes and measurements that show that base and adapters are what they claim to be."""

import hashlib
from collections.abc import Iterable, Sequence
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
from studio.generation.generate import BASE_MODEL, PromptBatchItem
from studio.i18n import Message, message
from studio.model import probe
from studio.model.compatibility import EVIDENCE, Evidence

SAME_PROBABILITY = 1e-6
"""Probabilities that differ by less come from one model: float32 rounds to about 1e-7."""


@dataclass(frozen=True)
class Proof:
    """Hashes of what was compared, and what was measured."""

    prompt_sha256: tuple[str, ...]
    """Of the tokens of all prompts, for each column."""
    adapter_sha256: tuple[str | None, ...]
    """Of each column's adapter; None for the base."""
    base_sha256: str
    precision: str
    base_is_untouched: bool
    """Whether the base's logits of the fixed prompts are those before an adapter was loaded, in the same batch.

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
    """How it is known of each column's adapter that it was made for this base, of a mix the weakest of its adapters;
    None for the base."""
    problems: tuple[Message, ...] = ()
    """What is wrong; empty when verified."""
    unproven: tuple[Message, ...] = ()
    """What cannot be known, and would have to be; empty when verified."""

    @property
    def verified(self) -> bool:
        """Whether nothing is wrong, and nothing is left unproven."""
        return not self.problems and not self.unproven


def prove(request: CompareRequest, columns: LoadedColumns, items: Sequence[PromptBatchItem], first: Any) -> Proof:
    """Check a comparison; `first` are the logits of the first tokens (prompts × columns × vocabulary)."""
    names = sorted(set(columns.names) - {BASE_MODEL})
    base, last_logits = _probe_logits(columns, names)
    recorded = columns.probe
    difference = (base[:, -1] - recorded.last).abs().max().item()
    exact = columns.model.dtype.itemsize == 4 and not getattr(columns.model, "is_quantized", False)
    real = recorded.mask.bool()
    same_tokens = bool((base.argmax(-1) == recorded.tokens)[real].all())
    untouched = difference <= recorded.tolerance and (same_tokens or not exact)
    problems = [] if untouched else [message("compare.wrong.base", difference=f"{difference:.2g}")]
    differences = {
        pair: _difference(columns, items, first, last_logits, *pair)
        for pair in combinations(range(len(columns.names)), 2)
    }
    for (first_column, second_column), differs in differences.items():
        if differs is not None and differs <= max(SAME_PROBABILITY, 2 * recorded.chance):
            problems.append(message("compare.wrong.same", first=first_column + 1, second=second_column + 1))
    as_trained = {
        number: _all(_matches_training_template(request, source, items, number) for source in sources)
        for number, sources in enumerate(columns.sources)
        if sources and request.columns[number].is_plain
    }
    for number, verdict in as_trained.items():
        if verdict is False:
            problems.append(message("compare.wrong.template", number=number + 1))
    # the texts of the templates are compared: a template is a program, and an external one is not run here
    base_template = str(getattr(columns.tokenizer, "chat_template", None) or "").strip()
    adapters = enumerate(zip(columns.fits, columns.sources, request.columns, strict=True), 1)
    other_templates = [
        message("compare.unproven.template", number=number)
        for number, (fits, sources, column) in adapters
        for fit, source in zip(fits, sources, strict=True)
        if source.run is None and column.is_plain and fit.saved
        if fit.saved.template is not None and fit.saved.template.strip() != base_template
    ]
    prompts = [repr([list(item.ids[number]) for item in items]) for number in range(len(columns.names))]
    return Proof(
        prompt_sha256=tuple(hashlib.sha256(each.encode()).hexdigest() for each in prompts),
        adapter_sha256=columns.hashes,
        base_sha256=columns.base_sha256,
        precision=str(columns.model.dtype).removeprefix("torch."),
        base_is_untouched=untouched,
        base_difference=difference,
        tolerance=recorded.tolerance,
        sides_differ=min((value for value in differences.values() if value is not None), default=0.0),
        template_as_trained=_all(as_trained.values()),
        made_for=tuple(max((fit.known for fit in fits), key=EVIDENCE.index, default=None) for fits in columns.fits),
        problems=tuple(problems),
        unproven=(*columns.unproven, *other_templates),
    )


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """Return whether all are true; None where one is not known and none is false."""
    known = list(verdicts)
    return False if False in known else None if None in known else True


def _probe_logits(columns: LoadedColumns, names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the base's logits on the probes, in the batch in which the untouched base had them, and all models' last.

    Base and adapter take turns by row; the base's rows are joined from passes with the adapter in odd and even ones.
    """
    ids, mask = columns.probe.ids, columns.probe.mask
    count = len(ids)
    if not columns.mixes or not names:
        with columns.using(BASE_MODEL):
            base = probe.logits(columns.model, ids, mask)
        last_logits = {BASE_MODEL: base[:, -1]}
        for name in names:
            with columns.using(name):
                last_logits[name] = probe.logits(columns.model, ids, mask)[:, -1]
        return base, last_logits
    base, last_logits = None, {}
    for name in names:
        even = probe.logits(columns.model, ids, mask, adapter_names=[BASE_MODEL, name] * (count // 2))
        odd = probe.logits(columns.model, ids, mask, adapter_names=[name, BASE_MODEL] * (count // 2))
        mixed = even.clone()
        mixed[1::2] = odd[1::2]
        passes = [mixed] if base is None else [base, mixed]
        base = max(passes, key=lambda logits: (logits[:, -1] - columns.probe.last).abs().max().item())
        last_logits[name] = even[1::2, -1].repeat_interleave(2, 0)
    last_logits[BASE_MODEL] = base[:, -1]
    return base, last_logits


def _difference(
    columns: LoadedColumns, items: Sequence[PromptBatchItem], first: Any, last_logits: Any, one: int, other: int
) -> float | None:
    """Return by how much a first token's probability differs between two columns."""
    same_prompt = [number for number, item in enumerate(items) if item.ids[one] == item.ids[other]]
    differences = (first[same_prompt, one].softmax(-1) - first[same_prompt, other].softmax(-1)).abs().nan_to_num()
    if same_prompt:
        return differences.max().item()
    names = columns.names[one], columns.names[other]
    if names[0] == names[1]:
        return None
    return (last_logits[names[0]].softmax(-1) - last_logits[names[1]].softmax(-1)).abs().max().item()


def _matches_training_template(
    request: CompareRequest, source: AdapterSource, items: Sequence[PromptBatchItem], number: int
) -> bool | None:
    """Return whether the adapter's own template and settings render the prompts into the same tokens."""
    if source.folder is None:
        return True
    if source.run is None:  # an external one is not opened
        return None
    files = sorted(path for path in source.folder.iterdir() if "token" in path.name or "template" in path.name)
    tokenizer = _tokenizer(source.folder, tuple((path.name, path.stat().st_mtime_ns) for path in files))
    if tokenizer is None:
        return None
    column = request.columns[number]
    try:
        renderer = run_renderer(source.run, tokenizer)
        return all(
            tuple(tokens.prompt_ids(renderer.question(request.turns(prompt, column)), tokenizer)) == item.ids[number]
            for prompt, item in zip(request.prompts, items, strict=True)
        )
    except StudioError:  # its own settings cannot render such a prompt at all
        return False


@lru_cache(maxsize=8)
def _tokenizer(folder: Path, files: tuple[tuple[str, int], ...]) -> Any:
    """Return the tokenizer beside an adapter, which has these files (names and times); None without one."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True) if files else None
    except (OSError, ValueError, KeyError):
        return None
