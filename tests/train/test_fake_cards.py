"""A run's whole step on cards that are not there: every preset's architecture, attention and precision, on one and two.

The tensors have a card, a type and a shape, and no numbers; see `tests.fake_cards`. The cases run in one process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fake_cards

pytestmark = pytest.mark.skipif(fake_cards.compiler() is None, reason="no C++ compiler builds the driver")

FAMILIES = ("smollm2", "llama-untied", "gemma2", "gemma3", "qwen2", "qwen2-untied")
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
PRECISIONS = ("bfloat16", "float16")
TIED = ("smollm2", "gemma2", "gemma3", "qwen2")


def matrix():
    """Return each family on one card and on two; each attention in each precision comes by on both."""
    pairs = [(attention, precision) for precision in PRECISIONS for attention in ATTENTIONS]
    for number, family in enumerate(FAMILIES):
        for cards in (1, 2):
            attention, precision = pairs[(number + 3 * (cards - 1)) % len(pairs)]
            yield {"family": family, "cards": cards, "attention": attention, "precision": precision}


CASES = [
    *matrix(),
    {"family": "smollm2", "cards": 1, "attention": "sdpa", "precision": "bfloat16", "checkpointing": "on"},
]


def name(case):
    return "-".join(str(part) for part in case.values())


@pytest.fixture(scope="module")
def results():
    """What came of each case, by its name."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tests.fake_cards.steps", json.dumps(CASES)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == len(CASES), ended.stderr[-3000:]
    return {name(line["case"]): line for line in lines}


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_step_an_evaluation_and_an_answer_stay_on_their_cards_and_in_their_types(results, case):
    made = results[name(case)]
    assert "error" not in made, made["error"] + "\n" + made["trace"]
    assert made["cards_used"] == [f"cuda:{card}" for card in range(case["cards"])]
    assert made["placement"] == ("one device" if case["cards"] == 1 else "auto")
    assert made["base_types"] == [f"torch.{case['precision']}"]
    assert made["trained_types"] == made["moments"] == ["torch.float32"]
    assert made["gradient_places"]
    assert made["scales"] == (case["precision"] == "float16")
    assert made["scored"]
    assert made["rows"] == ("packed" if case["attention"] == "flash_attention_2" else "padded")
    assert made["answers"] == [[1, 1], [1, 1]]  # ones are the end of a turn
    assert made["eval_loss"] == 1.0
    assert made["memory"] > 0


def test_the_plan_of_a_run_over_two_cards_is_that_of_the_card_that_is_filled_most(results):
    for case in CASES:
        made = results[name(case)]
        if case["cards"] == 2:
            assert made["plan_free"] < 10**6  # of one card, not of both
