"""Which architectures transformers can load as a causal language model, read from its sources without importing it."""

import ast
import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from studio.errors import ModelError

_LANGUAGE_MODEL = re.compile(r".*(ForCausalLM|LMHeadModel|ForConditionalGeneration)")
_ENCODERS = frozenset(
    (
        *("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert"),
        *("rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl"),
        *("xmod", "xlm"),
    )
)
"""Encoders: with `is_decoder` unset, as in their repositories, a token attends to those after it."""
_BIDIRECTIONAL = frozenset(("cpmant", "xlnet"))
"""Without masks of their own for each task, a token attends to those after it in these too."""
_DECODER_OF_A_PAIR = frozenset(
    (
        *("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "mvp", "pegasus", "plbart"),
        *("prophetnet", "trocr", "whisper", "moshi", "musicgen", "musicgen_melody"),
    )
)
"""Halves of an encoder-decoder model: transformers would leave the encoder out and answer without a prompt."""


@cache
def causal_models() -> Mapping[str, str]:
    """Return transformers' class of a causal language model for each `model_type` that has one."""
    spec = importlib.util.find_spec("transformers")
    for root in (spec and spec.submodule_search_locations) or ():
        tree = ast.parse(Path(root, "models", "auto", "modeling_auto.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES":
                pairs = ast.literal_eval(node.value.args[0])
                return {kind: name if isinstance(name, str) else name[0] for kind, name in pairs}
    return {}


def named(settings: Mapping[str, Any]) -> str | None:
    """Return the architecture that a config.json names (`LlamaForCausalLM`); None where it names none."""
    architectures = settings.get("architectures")
    return str(architectures[0]) if isinstance(architectures, list) and architectures else None


def is_loadable(settings: Mapping[str, Any]) -> bool:
    """Whether transformers has a causal language model for a config.json, with an own class, not the repository's."""
    kind, architecture = str(settings.get("model_type") or ""), named(settings)
    own = causal_models().get(kind)
    if own is None or kind in _DECODER_OF_A_PAIR or settings.get("is_encoder_decoder"):
        return False
    return not _sees_what_follows(settings) and _is_language_model(architecture, own)


def _sees_what_follows(settings: Mapping[str, Any]) -> bool:
    """Whether a token attends to those after it, so that what is to be learned is in sight."""
    kind = str(settings.get("model_type") or "")
    return kind in _BIDIRECTIONAL or (kind in _ENCODERS and not settings.get("is_decoder"))


def _is_language_model(architecture: str | None, own: str) -> bool:
    return architecture in (None, own) or bool(_LANGUAGE_MODEL.fullmatch(architecture or ""))


def require(settings: Mapping[str, Any], model_id: str) -> None:
    """Raise ModelError for a model that transformers cannot load as a causal language model.

    `auto_map` names code in the repository, which never runs. It matters only where transformers has no class of the
    same `model_type`: otherwise transformers' own is loaded.
    """
    if is_loadable(settings):
        return
    kind, architecture = str(settings.get("model_type") or ""), named(settings) or settings.get("model_type")
    if settings.get("auto_map") and kind not in causal_models():
        raise ModelError("model.remote_code", id=model_id, kind=kind or "–")
    if _sees_what_follows(settings) and _is_language_model(named(settings), causal_models().get(kind, "")):
        raise ModelError("model.not_causal", id=model_id, kind=kind)
    if architecture:  # without either, config.json is not that of a model: loading says so
        raise ModelError("model.architecture", id=model_id, architecture=architecture)
