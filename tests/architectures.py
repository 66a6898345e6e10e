"""Tiny models of all causal architectures that transformers has, and what the studio does with each."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tiny import make_config, make_style, make_tokenizer

TABLE = Path(__file__).parent / "model" / "architectures.json"
"""What was found out of each type: `PYTHONPATH=. python tests/architectures.py [TYPE …]` writes it anew."""

TINY = {
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "dim": 32,
    "embedding_size": 32,
    "embedding_dim": 32,
    "word_embed_proj_dim": 32,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "n_inner": 64,
    "dff": 64,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_hidden_layers": 2,
    "n_layer": 2,
    "n_layers": 2,
    "num_layers": 2,
    "num_blocks": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_kv_heads": 2,
    "num_global_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 8,
    "attention_head_dim": 8,
    "max_position_embeddings": 128,
    "n_positions": 128,
    "n_ctx": 128,
    "max_seq_len": 128,
    "sliding_window": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "moe_k": 2,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "moe_topk": 2,
    "top_k_experts": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "moe_shared_expert_intermediate_size": 16,
    "expert_ffn_hidden_size": 16,
    "shared_intermediate_size": 16,
    "intermediate_size_mlp": 64,
    "n_group": 1,
    "topk_group": 1,
    "num_expert_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 16,
    "v_head_dim": 8,
    "mamba_d_state": 8,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_n_heads": 4,
    "mamba_n_groups": 1,
    "mamba_d_head": 16,
    "mamba_d_ssm": 64,
    "mamba_dt_rank": 4,
    "mamba_headdim": 16,
    "mamba_head_dim": 16,
    "mamba_num_heads": 4,
    "mamba_chunk_size": 16,
    "chunk_size": 16,
    "state_size": 8,
    "ssm_state_size": 8,
    "time_step_rank": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "index_n_heads": 2,
    "index_head_dim": 16,
    "index_topk": 16,
    "hidden_size_per_layer_input": 8,
    "lru_width": 32,
    "attention_window_size": 32,
    "num_nextn_predict_layers": 0,
    "dense_layers": 1,
    "num_dense_layers": 1,
    "laurel_rank": 8,
    "num_kv_shared_layers": 0,
    "rotary_dim": 4,
    "attention_hidden_size": 32,
}
"""Values for what the configs call by these names."""

OVERRIDES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "blt": {"encoder_hash_byte_group_vocab": 50},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dory": {
        "layer_types": ["sliding_attention", "mlp", "full_attention", "mlp", "sliding_attention", "mlp"],
        "num_hidden_layers": 6,
        "n_input_layers": 2,
        "n_recurrent_layers": 2,
        "n_output_layers": 2,
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_text": {
        "per_layer_config": {"1": {"kv_lora_rank": 8}},
        "head_dim": 16,
        "shared_experts_intermediate_size": 16,
    },
    "dots3_note_vision_encoder": {"adapter_in_dim": 32, "adapter_out_dim": 32},
    "dots3_note_audio_encoder": {"adapter_input_size": 32, "adapter_output_size": 32},
    "gemma4_assistant": {
        "text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0, "num_kv_shared_layers": 2}
    },
    "gpt_neo": {
        "attention_types": [[["global", "local"], 1]],
        "attention_layers": ["global", "local"],
        "num_layers": 2,
    },
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "hrm_text": {"num_hidden_layers": 8, "num_layers_per_stack": 1},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8, "num_experts": 4, "moe_topk": 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "laguna": {"num_attention_heads_per_layer": [4, 4]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"ffn_hidden_size": 64, "zero_expert_num": 2},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h": {"n_groups": 1},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
    },
    "reformer": {
        "is_decoder": True,
        "attention_head_size": 8,
        "axial_pos_shape": [8, 16],
        "axial_pos_embds_dim": [16, 16],
    },
    "xlnet": {"d_head": 8, "d_inner": 64},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128, "num_heads": 2},
    "zamba": {
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "num_key_value_heads": 4,
        "layers_block_type": ["linear_attention", "linear_attention", "hybrid", "linear_attention", "hybrid"],
        "num_hidden_layers": 5,
    },
    "zamba2": {
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "num_key_value_heads": 4,
        "n_mamba_heads": 4,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
        "hybrid_layer_ids": [1, 3],
        "num_hidden_layers": 4,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""What single types need besides; a part of a model has a type of its own."""

NEEDED: dict[str, dict[str, Any]] = {
    "gemma4_assistant": {
        "text_config": {"model_type": "gemma4_text", "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}
    },
}
"""Without these transformers refuses to make the config of a type at all."""

VOCABULARIES = ("vocab_size", "unpadded_vocab_size", "vocab_size_per_layer_input")
LAYERS = ("layer_types", "layers_block_type", "mlp_layer_types", "block_types", "attention_layers")


def kinds() -> list[str]:
    """Return all model types that transformers has a causal language model of."""
    from studio.model.architecture import causal_models

    return sorted(causal_models())


def shrink(settings: dict[str, Any], vocabulary: int, kind: str | None = None) -> dict[str, Any]:
    """Return the settings of a model of the same architecture with two narrow layers."""
    small: dict[str, Any] = {}
    for name, value in settings.items():
        if name in TINY and isinstance(value, int) and not isinstance(value, bool):
            small[name] = TINY[name]
        elif name in LAYERS and isinstance(value, list):
            seen = list(dict.fromkeys(value))
            small[name] = (seen * 2)[: max(2, len(seen))]
        elif name.endswith("_config") and name != "per_layer_config" and isinstance(value, dict):
            small[name] = shrink(value, vocabulary, value.get("model_type"))
        else:
            small[name] = value
    small |= {name: vocabulary for name in VOCABULARIES if name in small}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    small |= {name: value for name, value in ids.items() if name in small}
    for name in LAYERS:
        if isinstance(small.get(name), list) and "num_hidden_layers" in small:
            small["num_hidden_layers"] = max(small["num_hidden_layers"], len(small[name]))
    _shrink_by_layer(small, settings.get("num_hidden_layers"))
    if "kv_lora_rank" in small and "num_key_value_heads" in small:
        small["num_key_value_heads"] = small["num_attention_heads"]  # latent attention has no groups
    for name, value in OVERRIDES.get(kind or "", {}).items():
        small[name] = small.get(name, {}) | value if isinstance(value, dict) else value
    return small


def _shrink_by_layer(small: dict[str, Any], layers: int | None) -> None:
    """Shorten what a config says of each layer by itself."""
    small.pop("per_layer_config", None)
    for name, value in small.items():
        if isinstance(value, list) and name not in LAYERS and len(value) == layers:
            width = TINY.get(name)
            small[name] = [width or each for each in value[: small["num_hidden_layers"]]]


def tiny_config(kind: str, vocabulary: int) -> Any:
    """Return the config of a tiny model of a type."""
    from transformers import CONFIG_MAPPING

    made = CONFIG_MAPPING[kind]
    return made.from_dict(shrink(made(**NEEDED.get(kind, {})).to_dict(), vocabulary, kind))


def make(kind: str, folder: Path) -> Path:
    """Save a random model of a type with a byte-level tokenizer; raises what transformers raises for its settings.

    A type that the check refuses for what its config.json says gets weights that say nothing.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    from studio.model import architecture

    tokenizer = make_tokenizer()
    config = tiny_config(kind, len(tokenizer))
    tokenizer.save_pretrained(folder)
    if not architecture.is_loadable(config.to_dict()):
        config.save_pretrained(folder)
        save_file({"weights": torch.zeros(1)}, folder / "model.safetensors")
        return folder
    torch.manual_seed(0)
    with torch.device("meta"):
        count = sum(weights.numel() for weights in AutoModelForCausalLM.from_config(config).parameters())
    if count > 5_000_000:
        raise ValueError(f"{count:,} weights are not tiny")
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for weights in model.parameters():
        if not weights.isfinite().all():
            torch.nn.init.normal_(weights, std=0.02)
    model.save_pretrained(folder)
    return folder


def examine(kind: str, folder: Path) -> dict[str, str]:
    """Say what the check, a run of two steps, a comparison and a merge do with a tiny model of a type."""
    from following import wait_until_over

    from studio import gpu
    from studio.errors import StudioError
    from studio.train import preflight

    folder.mkdir(parents=True, exist_ok=True)
    try:
        model = make(kind, folder / "model")
    except Exception as error:
        return {"made": f"no: {type(error).__name__}: {' '.join(str(error).split())[:100]}"}
    config = make_config(model, make_style(folder / "style.jsonl")).with_settings(
        {"train.max_steps": 2, "train.save": "no", "samples.mode": "off", "generation.max_new_tokens": 4}
    )
    checked = preflight.check(config, gpu.thread().free_memory())
    found = {"check": _keys(checked.blocks) or "ok"}
    if checked.plan:
        found["forecast"] = "yes" if checked.plan.memory.is_whole else "no"
    try:
        run = gpu.thread().start_run(config)
        state = wait_until_over(run)
    except StudioError as error:
        return found | {"run": error.key}
    found["run"] = state.value if not run.status().error else run.status().error.key
    if found["run"] == "errors.unexpected":
        values = run.status().error.values
        found["run"] += f": {values['kind']}: {' '.join(str(values['detail']).split())[:150]}"
    if state.value != "finished":
        return found
    choices = {event.name: event.value for event in run.events()[0] if event.type == "chosen"}
    found |= {"rows": choices["rows"], "logits": choices["logits"].split()[0]}
    found["compare"] = _compare(run)
    found["merge"] = _merge(run)
    return found


def _keys(messages) -> str:
    return ", ".join(message.key for message in messages)


def _compare(run) -> str:
    from studio import gpu
    from studio.compare.columns import ADAPTED, BASE, CompareRequest
    from studio.config import GenerationConfig
    from studio.errors import StudioError

    settings = GenerationConfig(max_new_tokens=4, temperature=0.0)
    try:
        made = gpu.thread().compare(CompareRequest(run.id, ("What is 3?", "hi"), settings, (BASE, ADAPTED))).result()
    except StudioError as error:
        return f"{error.key} {error.values.get('kind', '')} {error.values.get('detail', '')}".strip()[:200]
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    wrong = _keys(made.proof.problems)
    turns = "in turn" if any(note.key == "compare.note.in_turn" for note in made.notes) else "mixed"
    return f"{turns}, {wrong}" if wrong else turns


def _merge(run) -> str:
    """Export the merged model, load it alone, and compare its logits with those of the adapter on its base."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from studio import gpu
    from studio.errors import StudioError
    from studio.export import merge
    from studio.export.export_context import load_context
    from studio.export.request import ExportRequest

    try:
        made = gpu.thread().export(ExportRequest(run.id, "merged", precision="float32")).result()
        ids = torch.tensor([[5, 9, 40, 80, 33]])
        with torch.no_grad():
            alone = AutoModelForCausalLM.from_pretrained(made.folder).eval()(input_ids=ids).logits
            base = merge.base(load_context(run).base.path, "float32")
            wanted = PeftModel.from_pretrained(base, run.adapter).eval()(input_ids=ids).logits
    except StudioError as error:
        return f"{error.key} {error.values.get('kind', '')} {error.values.get('detail', '')}".strip()[:200]
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
    shutil.rmtree(made.folder, ignore_errors=True)
    return "same" if (alone - wanted).abs().max() < 1e-4 * max(1.0, wanted.abs().max()) else "differs"


def alone(kind: str, place: Path) -> dict[str, str]:
    """Examine a type in a home of its own, which is left as it was before."""
    names = ("RESTYLE_HOME", "RESTYLE_CACHE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: str(place / name) for name in names})
    try:
        return examine(kind, place / "work")
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def main() -> None:
    """Examine the types that are named on the command line, or all, and write what was found into the table."""
    for kind in sys.argv[1:] or kinds():
        with tempfile.TemporaryDirectory() as place:
            found = alone(kind, Path(place))
        table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
        write(table | {kind: found})
        print(json.dumps({kind: found}), flush=True)


def write(table: dict[str, dict[str, str]]) -> None:
    """Write the table, one type a line."""
    lines = (f"{json.dumps(kind)}: {json.dumps(table[kind], ensure_ascii=False)}" for kind in sorted(table))
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    from studio import gpu
    from studio.model.hardware import prepare_process

    prepare_process()
    main()
    gpu.shutdown()
