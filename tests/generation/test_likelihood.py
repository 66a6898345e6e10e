"""How likely base and adapter find a text, token by token."""

import numpy
import pytest
from asking import GREEDY, compare
from following import trained

from studio import gpu
from studio.compare.columns import CompareRequest


@pytest.mark.parametrize("dora", [False, True])
def test_each_token_has_the_probability_that_plain_transformers_gives_it(tiny_config, tiny_model, dora):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = trained(tiny_config, **{"lora.dora": dora})
    made = compare(run, "안녕?")
    answer = made.answers[0][1].ids
    weighed = gpu.thread().score_answer(made.request, answer).result()

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "안녕?"}], add_generation_prompt=True)
    asked = list(asked["input_ids"])
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval()
    sums = []
    for number in range(2):
        if number:
            model = PeftModel.from_pretrained(model, run.adapter).eval()
        with torch.no_grad():
            logits = model(torch.tensor([[*asked, *answer]])).logits[0].log_softmax(-1)
        sums.append(sum(logits[len(asked) - 1 + place, token].item() for place, token in enumerate(answer)))
    for column, total in enumerate(sums):
        assert sum(each.log_probabilities[column] for each in weighed) == pytest.approx(total, abs=1e-3)
    assert sum(each.gain for each in weighed) == pytest.approx(sums[1] - sums[0], abs=1e-3)
    assert sums[1] > sums[0]  # the adapter's own answer


def test_parts_of_one_character_are_joined(tiny_config):
    run = trained(tiny_config)
    request = CompareRequest(run.id, ("hi",), GREEDY)
    tokenizer = gpu.thread()._host.loaded.tokenizer
    answer = tokenizer("a바b", add_special_tokens=False)["input_ids"]
    assert len(answer) == 5
    weighed = gpu.thread().score_answer(request, answer).result()
    assert [each.text for each in weighed] == ["a", "바", "b"]


def test_many_references_weigh_the_same_in_one_pass_and_in_many(tiny_config, monkeypatch):
    from studio.evaluate.evaluation_job import EvaluationRequest
    from studio.generation import likelihood

    run = trained(tiny_config, **{"data.validation": {"kind": "fraction", "fraction": 0.25}})
    figures = []
    for most, limit in ((1 << 26, 5), (1, 6)):
        monkeypatch.setattr(likelihood, "MAX_LOGITS", most)
        made = gpu.thread().evaluate(EvaluationRequest(run.id, limit=limit, forgetting=False)).result()
        figures.append([[side.nll for side in pair] for pair in made.pairs][:5])
    assert numpy.allclose(*figures, atol=1e-5)
