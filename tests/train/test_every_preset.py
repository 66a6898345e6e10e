"""Every preset trains for two steps, on a tiny model of its own family's architecture, quantized where it is."""

import json

import pytest
from following import wait_until_over
from tiny import TEMPLATES, make_tokenizer

from studio import gpu, presets
from studio.config import BUILTIN_MODEL
from studio.runs import State
from studio.train import samples

SIZES = {
    "vocab_size": 259,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "pad_token_id": 2,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def make_family(folder, model_id):
    """Save a random model of the architecture that `model_id` has."""
    from transformers import (
        Gemma2Config,
        Gemma2ForCausalLM,
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    config, model, template = {
        "google/gemma-2-2b": (Gemma2Config, Gemma2ForCausalLM, None),
        "google/gemma-3-1b-it": (Gemma3TextConfig, Gemma3ForCausalLM, TEMPLATES["gemma"]),
        "Qwen/Qwen1.5-1.8B": (Qwen2Config, Qwen2ForCausalLM, TEMPLATES["chatml"]),
        "Qwen/Qwen2.5-7B-Instruct": (Qwen2Config, Qwen2ForCausalLM, TEMPLATES["chatml"]),
        "Qwen/Qwen2.5-0.5B": (Qwen2Config, Qwen2ForCausalLM, TEMPLATES["chatml"]),
        BUILTIN_MODEL: (LlamaConfig, LlamaForCausalLM, TEMPLATES["chatml"]),
    }[model_id]
    model(config(**SIZES)).save_pretrained(folder)
    make_tokenizer(template).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:.*bitsandbytes.*", "ignore:.*MatMul8bitLt.*", "ignore:.*[Pp]aged.*")
@pytest.mark.parametrize("name", presets.names())
def test_a_preset_trains_for_two_steps(name, tmp_path):
    preset = presets.load(name)
    sample = presets.offline_sample(preset)
    changes = {
        "model": {**preset.model.model_dump(), "id": str(make_family(tmp_path / "model", preset.model.id))},
        "train.max_steps": 2,
        "train.warmup_steps": 0,
        "train.logging_steps": 1,
        "data.limit": 16,
    }
    run = gpu.thread().start_run(sample.with_settings(changes))
    assert wait_until_over(run) is State.FINISHED, run.status().error and run.status().error.text()
    assert run.has_adapter
    config = json.loads((run.adapter / "adapter_config.json").read_text())
    assert config["r"] == preset.lora.r
    events = run.events()[0]
    assert [event.step for event in events if event.type == "step"] == [1, 2]
    counts = [event.message.values for event in events if event.type == "note" and event.message.key == "log.rows"]
    assert [count["usable"] for count in counts] == [16]
    strip = samples.read(run)
    assert [frame.step for frame in strip.frames] == [0, 1, 2]
    assert not preset.samples.prompts or strip.prompts == preset.samples.prompts


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*bitsandbytes.*", "ignore:.*MatMul8bitLt.*")
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantized_base_is_quantized_trained_and_compared(tiny_config, tmp_path, quantization):
    from studio.compare.columns import CompareRequest

    folder = make_family(tmp_path / "model", "Qwen/Qwen2.5-0.5B")
    settings = {"model.id": str(folder), "model.quantization": quantization, "train.max_steps": 30, "lora.r": 8}
    run = gpu.thread().start_run(tiny_config.with_settings(settings))
    assert wait_until_over(run) is State.FINISHED, run.status().error and run.status().error.text()
    losses = [event.loss for event in run.events()[0] if event.type == "step"]
    assert losses[-1] < losses[0] - 0.3
    made = gpu.thread().compare(CompareRequest(run.id, ("What is 3?",), run.config().generation)).result()
    before, after = made.texts()
    assert before != after
    assert made.proof.verified, made.proof
    kinds = {type(part).__name__ for part in gpu.thread()._host.loaded.model.modules()}
    assert ("Linear4bit" if quantization == "nf4" else "Linear8bitLt") in kinds


@pytest.mark.parametrize(
    "settings",
    [
        {"lora.rslora": True},
        {"lora.dora": True},
        {"lora.init": "gaussian"},
        {"train.neftune_alpha": 5.0},
        {"train.gradient_checkpointing": "on"},
        {"train.schedule": "cosine", "train.warmup_ratio": 0.2},
        {"train.optimizer": "adamw_torch_fused"},
        {"train.optimizer": "adamw_8bit"},
        {"train.optimizer": "paged_adamw_32bit"},
        {"train.optimizer": "adafactor"},
        {"model.attention": "eager"},
        {"train.batch_size": 2, "train.gradient_accumulation": 3},
    ],
    ids=lambda settings: " ".join(f"{path}={value}" for path, value in settings.items()),
)
@pytest.mark.filterwarnings("ignore:.*[Pp]aged.*", "ignore:.*bitsandbytes.*")
def test_every_setting_trains(tiny_config, settings):
    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 3, "samples.mode": "off", **settings}))
    assert wait_until_over(run) is State.FINISHED, run.status().error and run.status().error.text()
    assert run.has_adapter
