"""The exported adapter: PEFT loads it, it says what it rests on, and it asks as the run did."""

import json
import zipfile

import pytest
from exporting import TEMPLATE, answer, fresh, two_columns, without_chat_template
from following import trained

from studio.data import tokens
from studio.errors import ExportError
from studio.export import adapter, export_folder
from studio.export.export_context import load_context


def exported(run, folder):
    return adapter.export(load_context(run), folder)


def test_peft_loads_it_with_the_base_and_finds_every_weight(tiny_config, tiny_model, tmp_path):
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = trained(tiny_config, **{"lora.dora": True, "lora.rslora": True})
    folder = exported(run, tmp_path / "mine")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), folder)
    held = model.state_dict()
    kept = load_file(run.adapter / "adapter_model.safetensors")
    assert any("lora_magnitude_vector" in name for name in kept)
    for name, weights in kept.items():
        inside = name.replace(".lora_magnitude_vector", ".lora_magnitude_vector.default.weight")
        for part in ("lora_A", "lora_B"):
            inside = inside.replace(f".{part}.weight", f".{part}.default.weight")
        assert torch.equal(held[inside], weights)
    settings = model.peft_config["default"]
    assert settings.use_dora
    assert settings.use_rslora
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_it_names_its_base_and_no_path_of_this_machine(tiny_config, tiny_model, tmp_path):
    run = trained(tiny_config)
    folder = exported(run, tmp_path / "mine")
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == tiny_model.name
    record = json.loads((folder / "restyle.json").read_text())
    assert record["export"] == "adapter"
    assert record["run"] == run.id
    assert record["base"]["weights"] == run.resolved()["base"]["weights"]
    for path in folder.iterdir():
        assert str(tiny_model.parent).encode() not in path.read_bytes(), path.name
    assert {path.name for path in folder.iterdir()} >= {"README.md", "ask.py", "tokenizer.json", "chat_template.jinja"}


def test_a_base_from_the_hub_is_named_with_its_commit(tiny_config, hub_stand_in, tmp_path):
    run = trained(tiny_config, **{"model.id": "someone/tiny"})
    settings = json.loads((exported(run, tmp_path / "mine") / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "someone/tiny"
    assert settings["revision"] == run.resolved()["base"]["revision"]
    assert len(settings["revision"]) == 40


def test_the_card_has_metadata_that_can_be_read(tiny_config, tmp_path):
    from huggingface_hub import ModelCard

    card = ModelCard.load(exported(trained(tiny_config), tmp_path / "mine") / "README.md")
    assert card.data.library_name == "peft"
    assert "lora.r" in card.text


def test_a_text_template_becomes_a_chat_template_that_asks_token_for_token_alike(tiny_config, tmp_path):
    from transformers import AutoTokenizer

    template = 'Say "{{ok}}" – {instruction}\\n\n🙂 a: {output}!'
    run = trained(tiny_config, **(without_chat_template(tmp_path / "base") | {"data.prompt.template": template}))
    folder = exported(run, tmp_path / "mine")
    assert (folder / "prompt_template.txt").read_text(encoding="utf-8") == template
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "What is 3?"}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert prompt == 'Say "{ok}" – What is 3?\\n\n🙂 a:'
    whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": "Aye"}], tokenize=False)
    assert whole == prompt + " Aye!<|im_end|>"


def test_a_chat_template_that_was_not_used_is_not_given_on(tiny_config, tmp_path):
    from transformers import AutoTokenizer

    run = trained(tiny_config, **{"data.prompt": {"style": "text", "template": TEMPLATE}})
    template = AutoTokenizer.from_pretrained(exported(run, tmp_path / "mine")).chat_template
    assert "<|im_start|>" not in template
    assert "### q: " in template


def test_it_never_replaces_what_is_not_an_export(tiny_config, tmp_path):
    run = trained(tiny_config)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(ExportError) as raised:
        exported(run, tmp_path / "thesis")
    assert raised.value.key == "export.not_ours"
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]
    folder = exported(run, tmp_path / "mine")
    (folder / "old.txt").write_text("old")
    exported(run, folder)
    assert not (folder / "old.txt").exists()


def test_a_break_leaves_the_export_that_was_there(tiny_config, tmp_path, monkeypatch):
    run = trained(tiny_config)
    folder = exported(run, tmp_path / "mine")
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.setattr(adapter, "save_tokenizer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exported(run, folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_the_zip_holds_every_file_and_replaces_only_its_like(tiny_config, tmp_path):
    folder = exported(trained(tiny_config), tmp_path / "mine")
    packed = export_folder.zipped(folder)
    with zipfile.ZipFile(packed) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == sorted(f"mine/{path.name}" for path in folder.iterdir())
        assert file.read("mine/README.md") == (folder / "README.md").read_bytes()
    assert export_folder.zipped(folder) == packed
    packed.write_bytes(b"something else")
    with pytest.raises(ExportError):
        export_folder.zipped(folder)


@pytest.mark.parametrize("style", ["chat", pytest.param("text", marks=pytest.mark.slow)])
def test_the_example_streams_the_runs_answer_in_a_fresh_process(tiny_config, tmp_path, style, request):
    if style == "chat":  # the slow suite begins without the libraries
        request.getfixturevalue("warm_python")
    settings = {"data.prompt.system": "Speak old."} if style == "chat" else without_chat_template(tmp_path / "base")
    run = trained(tiny_config, **settings)
    folder = adapter.export_example(load_context(run), tmp_path / "mine")
    said = fresh(folder / "ask.py", "What is 3?", "--greedy", "--base", run.config().model.id)
    wanted = answer(run, "What is 3?")
    assert wanted.text
    assert said.strip() == wanted.text.strip()


@pytest.mark.slow
def test_the_example_of_a_quantized_run_loads_the_base_quantized(tiny_config, tmp_path):
    run = trained(tiny_config, **{"model.quantization": "nf4"})
    folder = adapter.export_example(load_context(run), tmp_path / "mine")
    assert "bitsandbytes==" in (folder / "requirements.txt").read_text()
    said = fresh(folder / "ask.py", "What is 3?", "--greedy", "--base", run.config().model.id)
    assert said.strip() == answer(run, "What is 3?").text.strip()


@pytest.mark.usefixtures("warm_python")
def test_an_example_that_fails_says_so(tiny_config, tmp_path):
    folder = adapter.export_example(load_context(trained(tiny_config)), tmp_path / "mine")
    broken = (folder / "ask.py").read_text(encoding="utf-8").replace('max_new_tokens": 12', 'max_new_tokens": -1')
    (folder / "ask.py").write_text(broken, encoding="utf-8")
    with pytest.raises(AssertionError, match="max_new_tokens"):
        fresh(folder / "ask.py", "What is 3?", "--greedy", "--base", tiny_config.model.id)


@pytest.mark.slow
def test_an_example_with_more_columns_asks_for_each(tiny_config, tmp_path):
    run = trained(tiny_config, **two_columns(tmp_path))
    made = load_context(run)
    assert made.prompt.columns == ("genre", "title")
    assert made.prompt.before.format("a", "b") == "a: b"
    assert made.prompt.chat_template() is None
    folder = adapter.export_example(made, tmp_path / "mine")
    assert not (folder / "adapter" / "chat_template.jinja").exists()
    assert fresh(folder / "ask.py", "folk", "t3", "--greedy", "--base", run.config().model.id)


def test_the_stops_are_those_that_end_a_turn(tiny_config):
    made = load_context(trained(tiny_config))
    assert made.stop_ids == tuple(sorted(tokens.stop_ids(made.tokenizer)))
    assert made.stop_ids == (1,)


def test_a_run_without_a_result_has_nothing_to_export(tiny_config):
    from studio import runs

    with pytest.raises(ExportError) as raised:
        load_context(runs.create(tiny_config))
    assert raised.value.key == "export.no_adapter"
