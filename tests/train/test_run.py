"""A real run on a tiny model, from settings to adapter."""

import json
import math

import pytest
from following import losses, wait_for, wait_until_over

from studio import gpu, runs
from studio.compare.columns import CompareRequest
from studio.runs import State


def start(config):
    return gpu.thread().start_run(config)


def test_a_run_trains_and_leaves_an_adapter_behind(tiny_config):
    run = start(
        tiny_config.with_settings(
            {"data.validation": {"kind": "fraction", "fraction": 0.25}, "train.eval_steps": 3, "train.max_steps": 30}
        )
    )
    assert wait_until_over(run) is State.FINISHED
    assert run.has_adapter
    found = losses(run)
    assert len(found) == 30
    assert found[-1] < found[0] - 0.3
    events = run.events()[0]
    assert [event.step for event in events if event.type == "evaluated"] == [*range(3, 31, 3)]
    assert [event.value for event in events if event.type == "chosen" and event.name == "precision"] == ["float32"]
    phases = [event.phase for event in events if event.type == "phase"]
    assert phases[:4] == ["fetching", "reading", "loading", "training"]
    assert phases[-1] == "saving"
    assert {"base", "data", "mapping", "versions", "device"} <= run.resolved().keys()


def test_the_adapter_can_be_read_by_peft_alone(tiny_config, tiny_model):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = start(tiny_config)
    wait_until_over(run)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), run.adapter)
    assert sum(name.endswith("lora_B.default.weight") for name, _ in model.named_parameters()) == 14
    assert AutoTokenizer.from_pretrained(run.adapter).chat_template
    assert json.loads((run.adapter / "restyle.json").read_text())["base"] == run.resolved()["base"]
    assert not any(run.path.rglob("training_args.bin"))


def test_the_upper_half_of_the_layers_can_be_trained_alone(tiny_config):
    run = start(tiny_config.with_settings({"lora.layers": "upper-half"}))
    wait_until_over(run)
    assert json.loads((run.adapter / "adapter_config.json").read_text())["layers_to_transform"] == [1]


def test_the_same_settings_give_the_same_losses(tiny_config):
    config = tiny_config.with_settings({"lora.dropout": 0.1})
    first, second = start(config), None
    wait_until_over(first)
    second = start(config)
    wait_until_over(second)
    assert losses(first) == losses(second)


def test_the_studios_losses_are_those_of_a_plain_trl_script(tiny_config, tiny_model, tmp_path):
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from studio.data import prepare

    config = tiny_config.with_settings({"train.length_grouping": False, "train.max_steps": 20})
    run = start(config)
    wait_until_over(run)
    rows = [{k: row[k] for k in ("prompt", "completion")} for row in map(as_chat, prepare.table(config.data).rows())]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        args=SFTConfig(
            output_dir=str(tmp_path / "plain"), max_steps=20, learning_rate=1e-2, per_device_train_batch_size=4,
            logging_steps=1, seed=42, use_cpu=True, bf16=False, activation_checkpointing=False, max_length=128,
            report_to="none", save_strategy="no", weight_decay=0.0, disable_tqdm=True,
        ),
    )  # fmt: skip
    trainer.train()
    plain = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses(run) == pytest.approx(plain, abs=1e-4)


def as_chat(row):
    return {
        "prompt": [{"role": "user", "content": row["instruction"]}],
        "completion": [{"role": "assistant", "content": row["output"]}],
    }


def test_a_model_without_pad_token_and_chat_template_trains_with_a_text_template(tiny_config, tmp_path):
    from tiny import make_tiny_model

    folder = make_tiny_model(tmp_path / "base", seed=3, chat_template=None)
    for name in ("tokenizer_config.json", "config.json"):
        kept = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({k: v for k, v in kept.items() if not k.startswith("pad_token")}))
    template = "### q: {instruction}\n### a: {output}"
    config = tiny_config.with_settings({"model.id": str(folder), "data.prompt.template": template})
    run = start(config)
    assert wait_until_over(run) is State.FINISHED, run.status().error.text()
    made = gpu.thread().compare(CompareRequest(run.id, ("What is 3?",), config.generation)).result()
    assert len(made.texts()) == 2
    assert made.proof.base_is_untouched


def test_a_stop_keeps_the_adapter_as_it_is_then(tiny_config):
    run = start(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step >= 3)
    run.request("stop")
    assert wait_until_over(run, 10) is State.STOPPED
    assert run.has_adapter
    assert run.status().step < 100_000


def test_a_stop_before_training_leaves_no_adapter_and_frees_the_device(tiny_config, monkeypatch):
    from studio.model import load

    real = load.fetch

    def ask_to_stop_while_fetching(*args):
        runs.alive_runs()[0].request("stop")
        return real(*args)

    monkeypatch.setattr(load, "fetch", ask_to_stop_while_fetching)
    run = start(tiny_config)
    assert wait_until_over(run) is State.STOPPED
    assert not run.has_adapter
    monkeypatch.setattr(load, "fetch", real)
    assert wait_until_over(start(tiny_config)) is State.FINISHED


def test_a_cancel_keeps_no_adapter(tiny_config):
    run = start(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step >= 3)
    run.request("cancel")
    assert wait_until_over(run, 10) is State.STOPPED
    assert not run.has_adapter


def test_numbers_that_break_leave_the_last_good_adapter_behind(tiny_config, monkeypatch):
    import torch
    from safetensors.torch import load_file
    from trl import SFTTrainer

    real = SFTTrainer.training_step

    def broken(self, *args, **kwargs):
        loss = real(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 5 else loss

    whole = start(tiny_config.with_settings({"train.max_steps": 5, "train.schedule": "constant"}))
    assert wait_until_over(whole) is State.FINISHED
    monkeypatch.setattr(SFTTrainer, "training_step", broken)
    run = start(tiny_config.with_settings({"train.max_steps": 9, "train.schedule": "constant"}))
    assert wait_until_over(run) is State.FAILED
    assert "at step 6" in run.status().error.text()
    notes = [event.message for event in run.events()[0] if event.type == "note"]
    assert [note.values for note in notes if note.key == "log.kept_good"] == [{"step": 4}]
    kept, later = (load_file(r.adapter / "adapter_model.safetensors") for r in (run, whole))
    assert all(torch.isfinite(weights).all() for weights in kept.values())
    assert any((kept[name] != later[name]).any() for name in kept)  # step 5's were not known to be good


def test_noise_on_the_embeddings_is_gone_from_the_base_after_a_stop(tiny_config):
    run = start(tiny_config.with_settings({"train.max_steps": 100_000, "train.neftune_alpha": 5.0}))
    wait_for(run, lambda status: status.step >= 2)
    run.request("stop")
    assert wait_until_over(run, 10) is State.STOPPED
    assert not gpu.thread()._host.loaded.model.get_input_embeddings()._forward_hooks


def test_tensorboard_keeps_its_files_in_the_runs_folder(tiny_config):
    run = start(tiny_config.with_settings({"train.trackers": ("tensorboard",)}))
    assert wait_until_over(run) is State.FINISHED, run.status().error.text()
    assert list((run.path / "tensorboard").glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model.id": "nobody/nothing"}, "cannot be reached"),
        ({"data.source.name": "gone.csv"}, "is not there"),
        ({"lora.target_modules": ["q_prog", "k_proj"]}, "q_proj"),
        ({"train.learning_rate": 1e30, "train.max_grad_norm": 1e30, "train.optimizer": "sgd"}, "infinite or undefined"),
    ],
)
def test_a_run_that_fails_says_why_and_the_next_one_starts(tiny_config, settings, said):
    run = start(tiny_config.with_settings(settings))
    assert wait_until_over(run) is State.FAILED
    assert said in run.status().error.text()
    assert "Traceback" in run.log.read_text()
    assert wait_until_over(start(tiny_config)) is State.FINISHED


def test_every_loss_is_a_number(tiny_config):
    run = start(tiny_config)
    wait_until_over(run)
    assert all(math.isfinite(loss) for loss in losses(run))
