"""The merged model: transformers loads it alone, and it says what the adapter says on its base."""

import json

import pytest
from exporting import without_chat_template
from following import trained

from studio import gpu
from studio.errors import ExportError, HomeError
from studio.export import merge
from studio.export.export_context import load_context
from studio.export.request import ExportRequest


def on_progress(phase, share):
    pass


def merged(run, folder, number_format="float32", **settings):
    return merge.export(load_context(run), folder, number_format, on_progress, **settings)


def logits(model, ids):
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].float()


def on_its_base(run, number_format):
    """Return the adapter on its base in a number format, computed in float32."""
    from peft import PeftModel

    model = merge.base(load_context(run).base.path, number_format).float()
    return PeftModel.from_pretrained(model, run.adapter).eval()


def alone(folder):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).to(torch.float32).eval()


@pytest.mark.parametrize("settings", [{}, {"lora.dora": True, "lora.rslora": True}, {"model.quantization": "nf4"}])
@pytest.mark.parametrize(("number_format", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.06), ("float16", 0.01)])
def test_it_says_what_the_adapter_says_on_the_same_base(tiny_config, tmp_path, settings, number_format, tolerance):
    run = trained(tiny_config, **settings)
    folder = merged(run, tmp_path / "mine", number_format)
    ids = load_context(run).tokenizer("What is 3?")["input_ids"]
    wanted, said = logits(on_its_base(run, number_format), ids), logits(alone(folder), ids)
    assert (wanted - said).abs().max().item() < tolerance
    untouched = logits(merge.base(load_context(run).base.path, "float32"), ids)
    assert (untouched - said).abs().max().item() > 0.5
    assert json.loads((folder / "config.json").read_text())["dtype"] == number_format
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


def test_it_is_saved_in_shards_and_ends_where_the_run_ends(tiny_config, tiny_model, tmp_path):
    from transformers import AutoTokenizer, GenerationConfig

    run = trained(tiny_config, **{"generation.temperature": 0.5})
    folder = merged(run, tmp_path / "mine", "bfloat16", shard="30KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    made = GenerationConfig.from_pretrained(folder)
    assert made.eos_token_id == [1]
    assert made.pad_token_id == 2
    assert made.do_sample
    assert made.temperature == 0.5
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert json.loads((folder / "restyle.json").read_text())["precision"] == "bfloat16"
    for path in folder.iterdir():
        assert str(tiny_model.parent).encode() not in path.read_bytes(), path.name
    assert alone(folder)


def test_tied_embeddings_stay_tied_and_added_tokens_stay(tiny_config, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model, tie_word_embeddings=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["<pirate>"])
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path / "tied")
    tokenizer.save_pretrained(tmp_path / "tied")
    run = trained(tiny_config, **{"model.id": str(tmp_path / "tied"), "data.prompt.system": "<pirate>"})
    folder = merged(run, tmp_path / "mine")
    found = AutoTokenizer.from_pretrained(folder)
    assert len(found("<pirate>")["input_ids"]) == 1
    read = alone(folder)
    assert read.get_input_embeddings().weight.data_ptr() == read.get_output_embeddings().weight.data_ptr()
    ids = found("<pirate> What is 3?")["input_ids"]
    assert (logits(on_its_base(run, "float32"), ids) - logits(read, ids)).abs().max().item() < 1e-4


def test_a_base_whose_own_weights_are_quantized_is_unpacked(tiny_config, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    packed = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=packed).save_pretrained(tmp_path / "nf4")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "nf4")
    run = trained(tiny_config, **{"model.id": str(tmp_path / "nf4")})
    folder = merged(run, tmp_path / "mine")
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    ids = load_context(run).tokenizer("What is 3?")["input_ids"]
    assert (logits(on_its_base(run, "float32"), ids) - logits(alone(folder), ids)).abs().max().item() < 1e-3


def test_its_number_format_is_the_runs_else_the_bases_else_bfloat16():
    assert merge.choose_precision("float32", {}, "auto").value == "bfloat16"
    assert merge.choose_precision("float32", {}, "float32").value == "float32"
    assert merge.choose_precision("float32", {"dtype": "float16"}, "auto").value == "float16"
    assert merge.choose_precision("bfloat16", {"dtype": "float16"}, "auto").value == "bfloat16"


def test_a_disk_without_room_is_told_before_anything_is_loaded(tmp_path):
    with pytest.raises(HomeError):
        merge.require_room(tmp_path / "a" / "b", 1 << 60)


def test_the_job_merges_on_a_clean_device_and_the_next_run_trains(tiny_config, tmp_path):
    run = trained(tiny_config, **without_chat_template(tmp_path / "base"))
    job = gpu.thread().export(ExportRequest(run.id, "merged"))
    states = list(job.updates())
    assert states[-1].folder == run.path / "exports" / "merged"
    assert alone(states[-1].folder)
    assert any("float" in note.text() for note in states[-1].notes)
    assert trained(tiny_config).has_adapter


def test_a_stop_leaves_nothing_behind(tiny_config, tmp_path):
    run = trained(tiny_config)
    waits = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 60}))
    job = gpu.thread().export(ExportRequest(run.id, "merged", tmp_path / "mine"))
    job.stop()
    with pytest.raises(ExportError) as raised:
        job.result()
    assert raised.value.key == "export.stopped"
    assert waits.status().state.value == "finished"
    assert not (tmp_path / "mine").exists()


def test_layers_that_share_their_weights_are_not_merged(tiny_model):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from studio.model import multi_adapter

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    first, second = (layer.self_attn for layer in model.model.layers)
    second.q_proj.weight = first.q_proj.weight
    layers = multi_adapter.lora_layers(get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "k_proj"])))
    merge.require_separate_weights([pair for pair in layers if "k_proj" in pair[0]], "some/model")
    with pytest.raises(
        ExportError, match=r"layers\.0\.self_attn\.q_proj, model\.layers\.1\.self_attn\.q_proj"
    ) as refused:
        merge.require_separate_weights(layers, "some/model")
    assert "--to adapter" in refused.value.message.text("en")
    assert "--to adapter" in refused.value.message.text("ko")
