"""What can be known of a run before it starts, without its model being loaded."""

import json

import pytest

from studio import gpu, runs
from studio.errors import DeviceError
from studio.train import preflight

FREE = 8e9


def test_nothing_stands_in_the_way_of_a_sound_run(tiny_config):
    found = preflight.check(tiny_config, FREE)
    assert found.blocks == ()
    assert found.plan.fits
    assert found.plan.steps == 6
    assert found.seconds > 0
    assert any("parameters are trained" in fact.text() for fact in found.facts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lora.target_modules": ["q_prog", "k_proj"]}, 'no module called "q_prog"'),
        ({"data.source.name": "gone.csv"}, "is not there"),
        ({"data.max_length": 16}, "exceed 16 tokens"),
        ({"train.trackers": ("wandb",)}, "pip install wandb"),
        ({"data.prompt.style": "text", "data.prompt.template": "{instruction}"}, "no place for the answer"),
    ],
)
def test_what_stands_in_the_way_is_named_before_anything_is_loaded(tiny_config, settings, said):
    found = preflight.check(tiny_config.with_settings(settings), FREE)
    assert any(said in block.text() for block in found.blocks), [block.text() for block in found.blocks]
    assert found.plan is None
    assert runs.all_runs() == []


def test_an_end_that_is_not_trained_stands_in_the_way(tiny_config, tiny_model, tmp_path):
    import shutil

    folder = tmp_path / "endless"
    shutil.copytree(tiny_model, folder)
    template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    for path in (folder / "chat_template.jinja", folder / "tokenizer_config.json"):
        if path.name.endswith(".jinja"):
            path.write_text(template)
    found = preflight.check(tiny_config.with_settings({"model.id": str(folder)}), FREE)
    assert any("end would not be trained" in block.text() for block in found.blocks)


def test_problems_of_the_data_are_warnings(tiny_config, style_file):
    with open(style_file, "a", encoding="utf-8") as file:
        file.write(json.dumps({"instruction": "What is 99?", "output": ""}) + "\n")
    found = preflight.check(tiny_config, FREE)
    assert found.blocks == ()
    assert any("mpty answer" in warning.text() for warning in found.warnings)


def test_too_little_memory_is_a_warning_with_figures(tiny_config):
    found = preflight.check(tiny_config, free=1e6)
    assert any("0.0 GB are free" in warning.text() for warning in found.warnings)


def test_a_model_that_cannot_be_reached_stands_in_the_way(tiny_config):
    found = preflight.check(tiny_config.with_settings({"model.id": "somebody/something"}), FREE)
    assert any("somebody/something is not on this machine" in block.text() for block in found.blocks)
    assert found.plan is None


def test_of_a_model_on_the_hub_the_licence_the_size_and_the_gate_are_told(tiny_config, hub_stand_in, tiny_model):
    hub_stand_in.tokens.add("hf_reader")
    hub_stand_in.add("owner/walled", tiny_model, gated=True, readers={"hf_reader"})
    config = tiny_config.with_settings({"model.id": "owner/walled"})
    found = preflight.check(config, FREE, token="hf_reader")
    told = " ".join(message.text() for message in (*found.facts, *found.warnings))
    assert found.blocks == ()
    assert "owner/walled is fetched first" in told
    assert "owner/walled is gated" in told
    assert found.plan is None


def test_a_model_without_a_licence_is_warned_of(tiny_config):
    found = preflight.check(tiny_config, FREE)
    assert any("states no licence" in warning.text() for warning in found.warnings)


def test_two_steps_can_be_measured_and_leave_nothing_behind(tiny_config, home):
    measured = gpu.thread().measure(tiny_config).result()
    assert measured.peak_bytes > 0
    assert measured.step_seconds > 0
    assert measured.seconds >= measured.step_seconds
    assert list((home / "runs").iterdir()) == []
    assert gpu.thread()._host.peft is None


def test_nothing_is_measured_while_a_run_trains(tiny_config):
    from following import wait_for, wait_until_over

    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step > 0)
    with pytest.raises(DeviceError, match=run.id):
        gpu.thread().measure(tiny_config).result()
    run.request("cancel")
    wait_until_over(run)


def test_the_sample_timeline_is_told_and_counted_in_the_time(tiny_config):
    off = preflight.check(tiny_config.with_settings({"samples.mode": "off"}), FREE)
    often = preflight.check(tiny_config.with_settings({"samples.every": 1, "samples.max_new_tokens": 64}), FREE)
    assert often.seconds > 1.05 * off.seconds
    assert any("7 frames of at most 64 tokens" in fact.text() for fact in often.facts)
    assert not any("frames" in fact.text() for fact in off.facts)
