"""What the studio does with each causal architecture of transformers, kept in a table.

`tests/model/architectures.json` has a line for each type: why a tiny model of it cannot be `made`, or what the `check`
says; whether its memory has a `forecast`; how a `run` of two steps ends, with `packed` or padded rows and the logits of
trained or all tokens; whether base and adapter answer `mixed` in a batch or `in turn`; whether the exported and
reloaded `merge` says the same as the adapter. Written anew, wholly or for some types, with

    PYTHONPATH=. python tests/architectures.py [TYPE …]

The whole table takes half an hour: `python -m pytest -m slow tests/model/test_architectures.py -n 0`.
"""

import json

import pytest
import torch
from architectures import TABLE, alone, kinds, make
from transformers import AutoModelForCausalLM

TABLED = json.loads(TABLE.read_text(encoding="utf-8"))
MADE = sorted(kind for kind, found in TABLED.items() if "made" not in found)
TRAINED = [kind for kind in MADE if TABLED[kind]["run"] == "finished"]
COMMON = ("bart", "falcon", "gpt2", "llama4_text", "mamba", "mixtral", "opt", "qwen2")
"""One of each way: refused, padded, transposed weights, in turn, without a forecast, a token of its class."""


def slow_but_common(names):
    return [name if name in COMMON else pytest.param(name, marks=pytest.mark.slow) for name in names]


def test_every_type_of_transformers_has_a_line():
    assert sorted(TABLED) == kinds()


def test_only_a_type_that_needs_another_package_is_not_made():
    assert {kind: found["made"][:15] for kind, found in TABLED.items() if "made" in found} == {
        "gemma3n": "no: ImportError"  # its picture encoder is timm's
    }


@pytest.mark.parametrize("kind", MADE)
def test_what_the_check_says_is_what_the_run_does(kind):
    found = TABLED[kind]
    assert found["run"] == {"ok": "finished"}.get(found["check"], found["check"])
    if found["run"] == "finished":
        assert found["compare"] in ("mixed", "in turn")
        assert found["merge"] in ("same", "export.shared_weights")


@pytest.mark.parametrize("kind", slow_but_common(MADE))
def test_a_type_does_what_the_table_says(kind, tmp_path):
    assert alone(kind, tmp_path) == TABLED[kind]


@pytest.mark.parametrize("kind", slow_but_common(TRAINED))
def test_no_token_sees_those_after_it(kind, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(make(kind, tmp_path)).eval()
    ids = torch.arange(5, 25)[None].repeat(2, 1)
    ids[1, -1] = 200
    with torch.no_grad():
        one, other = (
            model(input_ids=row[None], attention_mask=torch.ones_like(row[None]), use_cache=False).logits[0, :-1]
            for row in ids
        )
    assert torch.allclose(one, other, atol=1e-5)
