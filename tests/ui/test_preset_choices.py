"""What a preset needs, as the list says it."""

import pytest

from studio import presets
from studio.config import RunConfig, SourceConfig
from studio.model import catalogue, hardware
from studio.ui import preset_choices, uploads

LLAMA_MODULES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture
def on(monkeypatch):
    """Set the device, and what is here of a model."""

    def set_up(device: str, here: bool) -> None:
        monkeypatch.setattr(hardware, "quick_device", lambda: device)
        found = catalogue.ModelFacts("it", "cache", here=True, parameters=2_600_000_000) if here else None
        monkeypatch.setattr(catalogue, "describe_here", lambda config: found)

    return set_up


@pytest.mark.parametrize(
    ("device", "here", "needs"),
    [
        ("CPU · 2", False, "10.5 GB · GPU · login"),
        ("NVIDIA GPU", False, "10.5 GB · GPU · login"),
        ("CPU · 2", True, "GPU"),
        ("NVIDIA GPU", True, "here"),
    ],
)
def test_a_preset_needs_what_this_machine_lacks(on, device, here, needs):
    on(device, here)
    assert preset_choices.needs(presets.load("lyrics"), "en") == needs


def test_what_every_presets_model_needs_is_known_without_the_hub(on):
    on("CPU · 2", False)
    models = {presets.load(name).model.id for name in presets.names()} - {RunConfig().model.id}
    assert models == set(catalogue.PRESET_MODELS)


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_can_be_had_with_the_built_in_model(name):
    config = presets.offline_sample(presets.load(name))
    assert config.model.quantization == "none"
    assert config.lora.target_modules == "all-linear" or set(config.lora.target_modules) <= LLAMA_MODULES


def test_a_run_on_ones_own_rows_is_named_after_them(home, tmp_path):
    file = tmp_path / "봄 노래.v2.csv"
    file.write_text("a,b\n", encoding="utf-8")
    kept = uploads.keep(str(file))
    names = [uploads.title(SourceConfig(kind="file", name=str(path))) for path in (file, kept, f"{'x' * 99}.csv")]
    assert names == ["봄 노래.v2", "봄-노래.v2", "x" * 60]
    assert uploads.title(SourceConfig(kind="hub", name="someone/rows")) == "rows"
