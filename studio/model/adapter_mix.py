"""Adapters of one base mixed into one by PEFT's `add_weighted_adapter`, and saved as an adapter of its own.

The mix is of LoRA's two matrices, so the base's weights take no part in it, quantized or not. With B·A as what an
adapter adds to a module, times its scaling and weight: `cat` puts the matrices side by side and is exactly the sum;
`svd` is the nearest matrix to the sum of the largest rank that takes part; `linear` adds the A and the B by themselves,
which is another thing. The others prune what each adapter adds before they join it: TIES (Yadav et al. 2023,
"TIES-Merging") keeps the largest values and the sign that most agree on, DARE (Yu et al. 2023, "Language models are
super Mario") keeps some at random and enlarges them, `magnitude_prune` keeps the largest.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.errors import CompareError, one_line
from studio.files import replace_file
from studio.model import multi_adapter
from studio.model.adapter_files import BASE_RECORD, MAX_RANK, SETTINGS, WEIGHTS, SavedAdapter
from studio.model.hardware import random_state, set_random_state

EXACT = ("cat", "svd")
OF_EQUAL_RANKS = ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune")
"""Combinations that join the matrices themselves, which must be of one size."""
COMBINATIONS = (*EXACT, *OF_EQUAL_RANKS, *(f"{name}_svd" for name in OF_EQUAL_RANKS[1:]))
_SEED = 0
"""Seeds what DARE keeps, so that a mix is the same whenever it is made on one kind of device."""


def prunes(combination: str) -> bool:
    """Whether a combination keeps a share of the values only: its density."""
    return combination not in (*EXACT, "linear")


def require_mixable(adapters: Sequence[SavedAdapter], combination: str) -> None:
    """Raise CompareError for adapters that are more than two matrices, or whose ranks the combination cannot join."""
    for adapter in adapters:
        more = [name for name in ("use_dora", "lora_bias") if adapter.settings.get(name)]
        if more:
            raise CompareError("compare.mix.more", folder=adapter.folder.name, kind=", ".join(more))
    ranks = [{shape.rank for shape in adapter.modules.values()} for adapter in adapters]
    if combination in OF_EQUAL_RANKS and len(set().union(*ranks)) > 1:
        listed = ", ".join("/".join(map(str, sorted(each))) for each in ranks)
        raise CompareError("compare.mix.ranks", combination=combination, ranks=listed)
    if combination == "cat" and (total := sum(map(max, ranks))) > MAX_RANK:
        raise CompareError("compare.mix.too_large", rank=total, most=MAX_RANK)


def add(
    model: Any, names: Sequence[str], weights: Sequence[float], combination: str, density: float, name: str
) -> None:
    """Add the mix of some adapters of a PEFT model to it; raises CompareError where PEFT cannot mix them.

    PEFT takes the settings of the first adapter for the mix, in which all scaling is done: so these have none of a kind
    of their own (rsLoRA) and no dropout.
    """
    import torch

    configs, first = model.peft_config, names[0]
    before, state = configs[first], random_state()
    configs[first] = replace(before, use_rslora=False, lora_dropout=0.0)
    size = max(max(config.r, *(config.rank_pattern or {}).values(), 1) for config in map(configs.get, names))
    layers = [layer for _, layer in multi_adapter.lora_layers(model) if set(names) & set(layer.scaling)]
    smallest_side = min(min(layer.in_features, layer.out_features) for layer in layers)  # no rank can be larger
    torch.manual_seed(_SEED)
    try:
        with _in_float32(model, name):
            model.add_weighted_adapter(
                list(names),
                list(weights),
                name,
                combination,
                svd_rank=min(size, smallest_side) if combination.endswith("svd") else None,
                svd_full_matrices=False,
                density=density if prunes(combination) else None,
            )
    except (ValueError, RuntimeError, TypeError, IndexError, NotImplementedError) as error:
        multi_adapter.remove(model, [name])
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise CompareError("compare.mix.refused", combination=combination, detail=one_line(error)) from error
    finally:
        configs[first] = before
        set_random_state(state)


@contextmanager
def _in_float32(model: Any, name: str) -> Iterator[None]:
    """Let PEFT keep the new adapter in float32, as it keeps those that are loaded; it would take the base's 16 bits."""
    tuner = model.base_model
    inject = tuner.inject_adapter

    def inject_in_float32(*args: Any, **kwargs: Any) -> None:
        inject(*args, **kwargs)
        tuner._cast_adapter_dtype(adapter_name=name, autocast_adapter_dtype=True)

    tuner.inject_adapter = inject_in_float32
    try:
        yield
    finally:
        del tuner.inject_adapter


def save(model: Any, name: str, tokenizer: Any, folder: Path, record: dict[str, Any], about: str) -> None:
    """Save an adapter of a PEFT model into an empty folder; `record` is its `restyle.json`, `about` its `README.md`."""
    model.save_pretrained(folder, selected_adapters=[name], safe_serialization=True, save_embedding_layers=False)
    for file in (WEIGHTS, SETTINGS):
        (folder / name / file).replace(folder / file)
    for left in (folder / name).iterdir():
        left.unlink()
    (folder / name).rmdir()
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    base = record["base"]
    settings |= {"base_model_name_or_path": base["id"], "revision": base.get("revision")}
    replace_file(folder / SETTINGS, json.dumps(settings, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    tokenizer.save_pretrained(folder)
    replace_file(folder / BASE_RECORD, json.dumps(record, ensure_ascii=False, indent=1))
    replace_file(folder / "README.md", about)
