"""A value that hardly makes sense is warned of, with its figures and the way to its control; what suits is not."""

import pytest

from studio import presets
from studio.config import ModelConfig, RunConfig
from studio.i18n import LANGUAGES
from studio.model import load
from studio.train import preflight, setting_warnings

FREE = 8e9
FAR_OFF = [
    ({"train.learning_rate": 50}, "unwise.rate_high", "train.learning_rate", "25,000 times"),
    ({"train.learning_rate": 1e-7}, "unwise.rate_low", "train.learning_rate", "20,000 times less"),
    ({"lora.r": 512}, "unwise.rank", "lora.r", "512"),
    ({"lora.r": 1, "lora.alpha": 1024}, "unwise.scale", "lora.alpha", "1,024"),
    ({"lora.r": 4, "lora.alpha": 256, "lora.rslora": True}, "unwise.scale", "lora.alpha", "128"),
    ({"lora.dropout": 0.9}, "unwise.dropout", "lora.dropout", "90%"),
    ({"generation.temperature": 4.0}, "unwise.temperature", "generation.temperature", "4"),
    ({"train.batch_size": 100}, "unwise.batch", "train.batch_size", "100 rows"),
    ({"train.batch_size": 4, "train.gradient_accumulation": 50}, "unwise.batch", "train.gradient_accumulation", "200"),
    ({"train.epochs": 1000}, "unwise.passes", "train.epochs", "1,000 passes over 24 rows"),
    ({"train.max_steps": 3000}, "unwise.passes", "train.max_steps", "1,000 passes"),
]


@pytest.fixture
def sound():
    plain = {"train.learning_rate": 2e-3, "lora.r": 8, "lora.alpha": 16, "train.batch_size": 8}
    return RunConfig().with_settings(plain)


@pytest.fixture
def located(tiny_model):
    return load.locate(ModelConfig(id=str(tiny_model)))


@pytest.mark.parametrize(("settings", "key", "path", "figure"), FAR_OFF)
def test_a_value_far_off_is_warned_of_at_its_setting(sound, located, settings, key, path, figure):
    assert list(setting_warnings.find(sound, located, 24)) == []
    [found] = setting_warnings.find(sound.with_settings(settings), located, 24)
    assert (found.key, found.values["path"]) == (key, path)
    assert figure in found.text()
    assert all(len(found.text(language).splitlines()) == 2 for language in LANGUAGES)


@pytest.mark.parametrize(
    "settings",
    [
        {"train.learning_rate": 50, "train.optimizer": "sgd"},  # its steps are as long as the gradient
        {"train.learning_rate": 5e-7, "train.method": "dpo"},
        {"lora.r": 1, "lora.alpha": 32},
        {"train.max_steps": 60},
    ],
)
def test_what_is_unusual_and_can_work_is_not_warned_of(sound, located, settings):
    assert list(setting_warnings.find(sound.with_settings(settings), located, 24)) == []


def test_without_the_model_and_the_rows_what_no_model_can_use_is_warned_of(sound):
    settings = {"train.learning_rate": 50, "lora.r": 512, "train.epochs": 1000}
    found = {each.key for each in setting_warnings.find(sound.with_settings(settings))}
    assert found == {"unwise.rate_high", "unwise.epochs"}


@pytest.mark.parametrize("name", presets.names())
def test_no_preset_is_warned_of(name):
    assert list(setting_warnings.find(presets.load(name))) == []


def test_the_bounds_follow_the_model():
    small, _ = setting_warnings.suited_rate(
        {"hidden_size": 576, "model_type": "llama"}, 1.3e8, steps=60, quantized=False
    )
    large, _ = setting_warnings.suited_rate(
        {"hidden_size": 8192, "model_type": "llama"}, 7e10, steps=6000, quantized=True
    )
    assert (small, large) == (2e-3, 1e-4)
    config = RunConfig().with_settings({"train.learning_rate": 5e-3})
    assert list(setting_warnings.rate(config, small, small)) == []
    assert [found.key for found in setting_warnings.rate(config, large, large)] == ["unwise.rate_high"]


def test_a_check_warns_and_blocks_nothing(tiny_config):
    found = preflight.check(tiny_config.with_settings({"train.learning_rate": 50}), FREE)
    assert found.blocks == ()
    assert "unwise.rate_high" in [warning.key for warning in found.warnings]
    assert [found.key for found in setting_warnings.duration(tiny_config, 10 * 86_400)] == ["unwise.long"]
    assert list(setting_warnings.duration(tiny_config, 86_400)) == []
