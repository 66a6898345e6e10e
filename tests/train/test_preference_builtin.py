"""Simulated voters and the built-in model: what a voter likes is learned, without loops; a coin teaches nothing.

python -m pytest -m slow tests/train/test_preference_builtin.py -s
"""

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from studio import presets, runs
from studio.config import ModelConfig
from studio.data import prepare, tokens
from studio.data.conversation import Turn
from studio.files import write_json_lines
from studio.model import builtin, load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

CONFIG = presets.load(presets.QUICKSTART)
TOKENS, BATCH, VOTES = 48, 20, 75


class Answering:
    """The quickstart's base and prompts, to answer with a run's adapter."""

    def __init__(self):
        self.loaded = load.load(ModelConfig(precision="float32"), load.locate(ModelConfig()))
        self.renderer = prepare.renderer(CONFIG, self.loaded.tokenizer, prepare.mapping(CONFIG.data).mapping)

    def answers(self, run, prompts, *, seed=None):
        """Return greedy answers, or sampled ones with a seed."""
        import torch
        from peft import PeftModel

        tokenizer = self.loaded.tokenizer
        model = PeftModel.from_pretrained(self.loaded.model, run.adapter).eval()
        sampling = {"do_sample": False} if seed is None else {"do_sample": True, "temperature": 1.0, "top_p": 0.95}
        torch.manual_seed(seed or 0)
        texts = []
        for start in range(0, len(prompts), BATCH):
            asked = [
                list(tokens.prompt_ids(self.renderer.question([Turn("user", prompt)]), tokenizer))
                for prompt in prompts[start : start + BATCH]
            ]
            batch = tokenizer.pad({"input_ids": asked}, padding_side="left", return_tensors="pt")
            with torch.no_grad():
                made = model.generate(**batch, max_new_tokens=TOKENS, pad_token_id=tokenizer.pad_token_id, **sampling)
            texts += [
                tokenizer.decode(ids, skip_special_tokens=True).strip()
                for ids in made[:, batch["input_ids"].shape[1] :].tolist()
            ]
        model.unload()
        return texts


def likes(text: str) -> bool:
    """The hidden preference: one is called lad, and not matey, which the quickstart says more often."""
    return bool(re.search(r"\blad", text, re.I)) and not re.search(r"\bmatey", text, re.I)


def loops(text: str) -> bool:
    """Whether a word comes three times in a row, or some words five times."""
    words = re.findall(r"[a-z']+", text.lower())
    in_a_row = any(words[at] == words[at + 1] == words[at + 2] for at in range(len(words) - 2))
    return in_a_row or max(Counter(pairwise(words)).values(), default=0) >= 5


def require_no_more_loops(before, after):
    """Fail where more answers loop than before; of 40, the small model repeats itself in one or two at any rate."""
    looping = [[text for text in texts if loops(text)] for texts in (before, after)]
    print(f"loops: {len(looping[0])} before, {len(looping[1])} after")
    assert len(looping[1]) <= len(looping[0]) + 1, looping


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    builtin.fetch()
    os.environ["RESTYLE_HOME"] = str(tmp_path_factory.mktemp("home"))
    command = [sys.executable, "-m", "studio", "train", "quickstart", "--set", "samples.mode=off"]
    subprocess.run(command, check=True, timeout=2400)
    return runs.find("last")


@pytest.fixture(autouse=True)
def home_of_parent(home, parent, monkeypatch):
    """Let each test find the run that it continues, in place of a home of its own."""
    monkeypatch.setenv("RESTYLE_HOME", str(parent.path.parents[1]))


@pytest.fixture(scope="module")
def answering():
    return Answering()


@pytest.fixture(scope="module")
def candidates(parent, answering):
    """Two sampled answers to each of some training prompts."""
    prompts = [row["instruction"] for row in prepare.table(CONFIG.data).rows()]
    random.Random(0).shuffle(prompts)
    prompts = prompts[:160]
    return list(zip(prompts, *(answering.answers(parent, prompts, seed=seed) for seed in (1, 2)), strict=True))


def preferred(parent, rows, tmp_path):
    """Return the run that `studio prefer` makes of pairs."""
    path = tmp_path / "pairs.jsonl"
    write_json_lines(path, rows)
    command = [sys.executable, "-m", "studio", "prefer", parent.id, "--from", str(path), "--set", "samples.mode=off"]
    subprocess.run(command, check=True, timeout=2400)
    return runs.find("last")


def measured(parent, run):
    """Return what the style meter says of both runs' answers to the held-out prompts, the parent's first."""
    command = [sys.executable, "-m", "studio", "style", parent.id, "--against", run.id, "--no-prompted", "--json"]
    ended = subprocess.run(command, check=True, timeout=2400, capture_output=True, text=True)
    columns = [each for each in json.loads(ended.stdout)["columns"] if each["column"]]
    by_adapter = {each["column"]["adapter"]: each for each in columns if each["column"]["kind"] == "adapter"}
    before, after = by_adapter["now"], by_adapter[run.id]
    print([(each["fit"], each["perplexity_distance"], each["fluent"]) for each in (before, after)])
    return before, after


def test_a_voter_gets_what_it_likes_and_nothing_loops(parent, answering, candidates, tmp_path):
    rows = [
        {"prompt": prompt, "chosen": one if likes(one) else other, "rejected": other if likes(one) else one}
        for prompt, one, other in candidates
        if likes(one) != likes(other)
    ][:VOTES]
    held_out = prepare.held_out(CONFIG.evaluation.prompts)
    before = answering.answers(parent, held_out)
    run = preferred(parent, rows, tmp_path)
    after = answering.answers(run, held_out)
    shares = [sum(map(likes, texts)) / len(texts) for texts in (before, after)]
    print(f"\n{len(rows)} votes; liked: {shares[0]:.0%} before, {shares[1]:.0%} after; e.g. {after[:3]}")
    assert len(rows) >= 25
    assert shares[0] <= 0.45
    assert shares[1] >= 0.8
    require_no_more_loops(before, after)
    known, now = measured(parent, run)
    assert now["fit"]["value"] >= known["fit"]["low"]
    assert now["fluent"]


def test_a_voter_who_flips_a_coin_teaches_nothing(parent, answering, candidates, tmp_path):
    coin = random.Random(1)
    rows = []
    for prompt, *answers in candidates[:VOTES]:
        coin.shuffle(answers)
        rows.append({"prompt": prompt, "chosen": answers[0], "rejected": answers[1]})
    held_out = prepare.held_out(CONFIG.evaluation.prompts)
    taught = preferred(parent, rows, tmp_path)
    before, after = (answering.answers(run, held_out) for run in (parent, taught))
    shares = [sum(map(likes, texts)) / len(texts) for texts in (before, after)]
    print(f"\nliked: {shares[0]:.0%} before, {shares[1]:.0%} after a coin's votes")
    assert abs(shares[1] - shares[0]) <= 0.15
    require_no_more_loops(before, after)
    known, now = measured(parent, taught)
    for name in ("fit", "perplexity_distance"):
        assert known[name]["low"] <= now[name]["value"] <= known[name]["high"]
