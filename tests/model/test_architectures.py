"""What the studio does with each causal architecture of transformers, kept in a table.

`tests/model/architectures.json` has a line for each type: whether a tiny model of it can be `made`; what the `check`
says; whether its memory has a `forecast`; how a `run` of two steps ends, with `packed` or padded rows and the logits of
trained or all tokens; whether base and adapter answer `mixed` in a batch or `in turn`; whether the exported and
reloaded `merge` says the same as the adapter. Written anew, wholly or for some types, with

    PYTHONPATH=. python tests/architectures.py [TYPE …]

The whole table takes half an hour: `python -m pytest -m slow tests/model/test_architectures.py -n 0`.
"""

import json

import pytest
from architectures import TABLE, alone, kinds

TABLED = json.loads(TABLE.read_text(encoding="utf-8"))
COMMON = ("bart", "bloom", "falcon", "gemma2", "gpt2", "gpt_neox", "mamba", "mixtral", "opt", "phi3", "qwen3")


def test_every_type_of_transformers_has_a_line():
    assert sorted(TABLED) == kinds()


@pytest.mark.parametrize("kind", sorted(TABLED))
def test_what_the_check_says_is_what_the_run_does(kind):
    found = TABLED[kind]
    if "made" in found:
        return
    assert (found["check"] == "ok") == (found["run"] == "finished")
    if found["run"] == "finished":
        assert found["compare"] in ("mixed", "in turn")
        assert found["merge"] == "same"


@pytest.mark.parametrize("kind", COMMON)
def test_common_types_do_what_the_table_says(kind, tmp_path):
    assert alone(kind, tmp_path) == TABLED[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(TABLED) - set(COMMON)))
def test_all_other_types_do_what_the_table_says(kind, tmp_path):
    assert alone(kind, tmp_path) == TABLED[kind]
