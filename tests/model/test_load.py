"""Models are found locally first, and nothing of theirs ever runs."""

import json
import shutil
import time

import pytest

from studio.config import ModelConfig
from studio.errors import ModelError
from studio.model import hardware, hub_models, load


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_a_folder_is_found_and_known_by_its_weights(tiny_model, copy):
    first, second = load.locate(ModelConfig(id=str(tiny_model))), load.locate(ModelConfig(id=str(copy)))
    assert first.identity["weights"] == second.identity["weights"]
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert load.locate(ModelConfig(id=str(copy))).identity["weights"] != first.identity["weights"]


def with_code(folder, **settings):
    """Give a model's folder code of its own that leaves a marker when it runs, for all that transformers asks for."""
    marker = folder / "ran"
    for name in ("modeling_evil", "configuration_evil", "tokenization_evil", "custom_generate/generate"):
        (folder / f"{name}.py").parent.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    names = {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": names} | settings))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["auto_map"] = {"AutoTokenizer": ["tokenization_evil.Evil", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return marker


def test_a_repository_that_needs_code_of_its_own_is_refused_and_its_code_does_not_run(copy):
    marker = with_code(copy, model_type="evil")
    with pytest.raises(ModelError, match="code of its own"):
        load.locate(ModelConfig(id=str(copy)))
    assert not marker.exists()


@pytest.mark.parametrize("named", [["LlamaForCausalLM"], ["EvilForCausalLM"], None])
def test_a_repository_whose_type_transformers_has_loads_with_transformers_own_class(copy, named):
    marker = with_code(copy, architectures=named)
    config = ModelConfig(id=str(copy))
    loaded = load.load(config, load.locate(config))

    assert type(loaded.model).__module__ == "transformers.models.llama.modeling_llama"
    assert type(loaded.tokenizer).__module__.startswith("transformers.")
    assert not marker.exists()


def test_pickled_weights_are_refused_and_never_opened(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load.locate(ModelConfig(id=str(copy)))


@pytest.mark.parametrize("damage", [b"", b"\x10\0\0\0\0\0\0\0{}", None])
def test_damaged_weights_are_an_error_that_says_so(copy, damage):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000] if damage is None else damage)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load.locate(ModelConfig(id=str(copy)))


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json"):
        load.locate(ModelConfig(id=str(tmp_path)))


def test_offline_is_told_within_five_seconds(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://nobody.invalid")
    began = time.monotonic()
    assert not hub_models.reachable()
    assert time.monotonic() - began < 5
    with pytest.raises(ModelError, match="cannot be reached"):
        load.fetch(ModelConfig(id="nobody/nothing"))


def test_a_silent_host_counts_as_out_of_reach(monkeypatch):
    import socket

    with socket.socket() as silent:  # its queue of connections is full, so a knock gets no answer
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for knock in waiting:
            knock.setblocking(False)
            knock.connect_ex(silent.getsockname())
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(hub_models, "CONNECT_SECONDS", 0.3)
        assert not hub_models.reachable()
        for knock in waiting:
            knock.close()


@pytest.mark.parametrize("name", ["a/b/c", "../secrets", "x y", "-"])
def test_a_name_that_no_model_can_have_is_refused(name):
    with pytest.raises(ModelError):
        load.fetch(ModelConfig(id=name))


def test_every_choice_has_its_reason_in_both_languages():
    for choice in hardware.describe():
        assert choice.reason.text("en") != choice.reason.text("ko")
    assert hardware.precision("float16").reason.key == "choice.precision.asked"


@pytest.mark.parametrize(
    ("kind", "native", "model_type", "value"),
    [
        ("cuda", True, "", "bfloat16"),
        ("cuda", False, "llama", "float16"),
        ("cuda", False, "gemma3_text", "float32"),
        ("cuda", False, "gemma2", "float16"),
        ("cuda", False, "qwen3_5_text", "float32"),
        ("mps", False, "", "float32"),
        ("cpu", True, "", "bfloat16"),
        ("cpu", False, "", "float32"),
    ],
)
def test_precision_follows_device_and_model(monkeypatch, kind, native, model_type, value):
    import torch

    monkeypatch.setattr(hardware, "device", lambda: kind)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    monkeypatch.setattr(hardware, "_native_bfloat16", lambda: native)
    assert hardware.precision("auto", model_type).value == value
