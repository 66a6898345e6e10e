"""Base and adapter in one batch: what differs is the model, and not luck."""

import threading

import pytest
from following import wait_until_over

from studio import gpu, runs
from studio.compare.columns import CompareRequest
from studio.config import GenerationConfig, RunConfig
from studio.errors import CompareError, RunError
from studio.generation.generate import _answer_limits, logits_processors

GREEDY = GenerationConfig(max_new_tokens=12, temperature=0.0)
PROMPTS = ["What is 3?", "안녕하세요?", "x" * 60]


@pytest.fixture
def run(tiny_config):
    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 30}))
    wait_until_over(run)
    return run


def ask(run, prompt, settings=GREEDY):
    return gpu.thread().compare(CompareRequest(run.id, (prompt,), settings)).result().answers[0]


def alone(folder, prompt, adapter=None):
    """Answer greedily with plain transformers, without the studio."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).eval()
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = model.generate(**asked, max_new_tokens=12, do_sample=False)[0, asked["input_ids"].shape[1] :]
    return tokenizer.decode(ids, skip_special_tokens=True).rstrip("\ufffd").lstrip()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_base_side_is_the_untouched_base_and_the_other_the_adapter(run, tiny_model, prompt):
    before, after = ask(run, prompt)
    assert before.text == alone(tiny_model, prompt)
    assert after.text == alone(tiny_model, prompt, run.adapter)
    assert before.text != after.text


def test_an_answer_says_how_it_ended(run):
    _, after = ask(run, "What is 3?", GenerationConfig(max_new_tokens=3, temperature=0.0))
    assert (after.tokens, after.end) == (3, "length")
    assert after.seconds > 0


def test_the_same_seed_gives_the_same_answers_and_another_gives_others(run):
    first = [ask(run, "hi", GenerationConfig(max_new_tokens=12, temperature=1.0, seed=seed)) for seed in (1, 1, 2)]
    texts = [[side.text for side in sides] for sides in first]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_both_sides_draw_with_the_same_noise():
    import torch

    logits = torch.randn(50).repeat(2, 1)
    for _ in range(5):
        noisy = logits
        for step in logits_processors(GenerationConfig(temperature=1.0, top_k=0, top_p=1.0, seed=3), ["a", "a"], None):
            noisy = step(torch.zeros(2, 1, dtype=torch.long), noisy)
        assert noisy[0].equal(noisy[1])


def test_adding_the_noise_and_taking_the_largest_is_sampling():
    import torch

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    steps = logits_processors(GenerationConfig(temperature=1.0, top_k=0, top_p=1.0, seed=5), ["a"], None)
    counts = torch.zeros(4)
    for _ in range(4000):
        noisy = logits
        for step in steps:
            noisy = step(torch.zeros(1, 1, dtype=torch.long), noisy)
        counts[noisy.argmax()] += 1
    expected = logits.softmax(-1)[0] * 4000
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 16.3  # 0.1 % quantile of chi-squared with 3 degrees of freedom


def test_answers_stream_and_a_stop_ends_them(run):
    comparison = gpu.thread().compare(
        CompareRequest(run.id, ("hi",), GenerationConfig(max_new_tokens=900, temperature=1.5, top_k=0, top_p=1.0))
    )
    lengths = []
    for made in comparison.updates():
        sides = made.answers[0]
        lengths.append(max(side.tokens for side in sides))
        if lengths[-1] > 3:
            comparison.stop()
    assert len(lengths) > 2
    assert lengths == sorted(lengths)
    assert lengths[-1] < 900
    assert "stopped" in {side.end for side in sides}


def test_a_run_without_an_adapter_cannot_be_compared():
    run = runs.create(RunConfig())
    with pytest.raises(CompareError, match="has no adapter"):
        ask(run, "hi")
    with pytest.raises(RunError):
        gpu.thread().compare(CompareRequest("nothing", ("hi",), GREEDY)).result()


def test_an_adapter_of_another_base_of_the_same_shape_is_refused(run, tiny_model, tmp_path, monkeypatch):
    from tiny import make_tiny_model

    other = make_tiny_model(tmp_path / "other", seed=1)
    config = run.config().with_settings({"model.id": str(other)})
    (run.path / "run.yaml").write_text(config.to_yaml(), encoding="utf-8")
    with pytest.raises(CompareError, match="another base"):
        ask(run, "hi")


def test_many_at_once_are_answered_one_after_the_other(run):
    expected = [side.text for side in ask(run, "hi")]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(run, "hi"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[side.text for side in sides] for sides in answers] == [expected] * 6


def test_a_model_without_a_limit_of_its_length_has_room_for_any_answer():
    from types import SimpleNamespace

    from transformers import LlamaConfig, XLNetConfig

    def room(config):
        return _answer_limits(SimpleNamespace(model=SimpleNamespace(config=config)), [SimpleNamespace(ids=[[5] * 10])])[
            0
        ]

    assert room(LlamaConfig(max_position_embeddings=64)) == 54
    assert room(XLNetConfig()) > 1_000_000
