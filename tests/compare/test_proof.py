"""A comparison says that it is verified, or loudly what is wrong with it."""

import hashlib
import shutil
from dataclasses import replace

import pytest
from asking import GREEDY, compare
from following import trained, wait_for

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest
from studio.model import probe


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config)


def wrong(comparison) -> list[str]:
    return [problem.key for problem in comparison.proof.problems]


def test_a_comparison_of_base_and_adapter_is_verified(run, tiny_model):
    proof = compare(run, ["What is 3?", "hi"]).proof
    assert proof.verified
    assert proof.base_is_untouched
    assert proof.base_difference <= proof.tolerance
    assert proof.precision == "float32"
    assert proof.sides_differ > 1e-3
    assert proof.template_as_trained
    assert proof.prompt_sha256[0] == proof.prompt_sha256[1] != compare(run, "hi").proof.prompt_sha256[0]
    file = (run.adapter / "adapter_model.safetensors").read_bytes()
    assert proof.adapter_sha256 == (None, hashlib.sha256(file).hexdigest())
    assert proof.base_sha256 == hashlib.sha256((tiny_model / "model.safetensors").read_bytes()).hexdigest()


def test_the_same_model_on_both_sides_is_told(run):
    for columns in ([ADAPTED, ADAPTED], [BASE, BASE], [BASE, replace(ADAPTED, strength=0.0)]):
        made = compare(run, "hi", columns=columns)
        assert wrong(made) == ["compare.wrong.same"]
        assert "Columns 1 and 2 are the same model" in made.proof.problems[0].text()
        assert made.proof.sides_differ < 1e-6


def test_an_adapter_that_adds_nothing_is_told(run, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "zero"
    shutil.copytree(run.adapter, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: part * 0 if "lora_B" in name else part for name, part in weights.items()},
        folder / "adapter_model.safetensors",
    )
    made = compare(run, "hi", columns=[BASE, ADAPTED, Column("adapter", str(folder))])
    assert [problem.values for problem in made.proof.problems] == [{"first": 1, "second": 3}]


def test_a_base_that_was_changed_is_told(run):
    assert compare(run, "hi").proof.verified
    host = gpu.thread()._host
    weights = host.loaded.model.get_output_embeddings().weight
    kept = weights.data.clone()
    try:
        weights.data += 0.05 * weights.data.roll(1, 0)
        made = compare(run, "hi")
        assert not made.proof.base_is_untouched
        assert made.proof.base_difference > made.proof.tolerance
        assert wrong(made) == ["compare.wrong.base"]
    finally:
        weights.data = kept
    assert compare(run, "hi").proof.verified


def test_another_template_than_in_training_is_told(run):
    template = run.adapter / "chat_template.jinja"
    text = template.read_text(encoding="utf-8")
    template.write_text(text.replace("\n{{ message", ": {{ message"), encoding="utf-8")
    assert template.read_text(encoding="utf-8") != text
    made = compare(run, "hi")
    assert made.proof.template_as_trained is False
    assert [problem.text() for problem in made.proof.problems] == [
        "Column 2 was trained with another template: this prompt has other tokens than in training."
    ]


def test_another_run_with_another_system_prompt_was_trained_on_another_template(run, tiny_config):
    other = trained(tiny_config, **{"data.prompt.system": "Be a captain."})
    made = compare(run, "hi", columns=[BASE, ADAPTED, Column("adapter", other.id)])
    assert [(problem.key, problem.values) for problem in made.proof.problems] == [
        ("compare.wrong.template", {"number": 3})
    ]


def test_an_adapter_from_outside_says_nothing_of_its_template(run, tmp_path):
    folder = tmp_path / "outside"
    shutil.copytree(run.adapter, folder)
    made = compare(run, "hi", columns=[BASE, Column("adapter", str(folder))])
    assert made.proof.template_as_trained is None
    assert made.proof.verified


def test_the_half_trained_adapter_is_proved_too(tiny_config):
    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step >= 3)
    proofs = [compare(run, "hi").proof]
    done = run.status().step
    wait_for(run, lambda status: status.step > done + 1)
    proofs.append(compare(run, "hi").proof)
    run.request("cancel")
    assert all(proof.verified for proof in proofs)
    assert proofs[0].adapter_sha256[1] != proofs[1].adapter_sha256[1]
    wait_for(run, lambda status: not status.state.alive)


def test_the_first_pass_is_of_the_same_shape_as_the_later_ones(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval()
    taken = probe.record(model, AutoTokenizer.from_pretrained(tiny_model))
    assert len(taken.ids) == 2 * len(probe.PROMPTS)
    assert len(set(taken.mask.sum(-1).tolist())) > 1  # left padding is part of it
    assert taken.ids[0::2].equal(taken.ids[1::2])
    assert probe.logits(model, taken.ids, taken.mask)[:, -1].equal(taken.last) or taken.tolerance > 0


def test_a_stopped_comparison_is_proved_as_well(run):
    request = CompareRequest(run.id, ("hi",), GREEDY.model_copy(update={"max_new_tokens": 900, "temperature": 1.5}))
    job = gpu.thread().compare(request)
    job.stop()
    assert job.result().proof.verified
