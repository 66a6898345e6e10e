"""The quickstart does what the README promises: a style that anybody sees, on the built-in model, in minutes.

python -m pytest -m slow tests/test_quickstart.py -s
"""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter

import pytest

from studio import presets, runs
from studio.config import ModelConfig
from studio.data import prepare, tokens
from studio.data.conversation import Turn
from studio.model import builtin, load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CONFIG = presets.load(presets.QUICKSTART)
LONGEST = 80
"""New tokens an answer may have."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The quickstart's run, made by its command, and the seconds that it took."""
    builtin.fetch()
    os.environ["RESTYLE_HOME"] = str(tmp_path_factory.mktemp("home"))
    began = time.monotonic()
    command = [sys.executable, "-m", "studio", "train", "quickstart"]
    subprocess.run(command, check=True, timeout=1500)
    return runs.find("last"), time.monotonic() - began


@pytest.fixture(scope="module")
def answers(trained):
    """The greedy answers of base and adapter to the held-out prompts, by plain transformers and PEFT."""
    from peft import PeftModel

    run, _ = trained
    loaded = load.load(ModelConfig(precision=CONFIG.model.precision), load.locate(ModelConfig()))
    model = PeftModel.from_pretrained(loaded.model, run.adapter).eval()
    render = prepare.renderer(CONFIG, loaded.tokenizer, prepare.mapping(CONFIG.data).mapping)
    asked = [
        tokens.prompt_ids(render.question([Turn("user", prompt)]), loaded.tokenizer)
        for prompt in prepare.held_out(CONFIG.evaluation.prompts)
    ]
    after = generate(model, loaded.tokenizer, asked)
    with model.disable_adapter():
        return generate(model, loaded.tokenizer, asked), after


def generate(model, tokenizer, prompts):
    """Return text and whether it ended by itself, for every prompt, in batches of ten."""
    answered = []
    for start in range(0, len(prompts), 10):
        batch = tokenizer.pad({"input_ids": prompts[start : start + 10]}, padding_side="left", return_tensors="pt")
        made = model.generate(**batch, max_new_tokens=LONGEST, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for ids in made[:, batch["input_ids"].shape[1] :].tolist():
            answered.append((tokenizer.decode(ids, skip_special_tokens=True).strip(), tokenizer.eos_token_id in ids))
    return answered


def has_marker(text: str) -> bool:
    return re.search(CONFIG.evaluation.marker, text) is not None


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_the_style_is_there_with_the_adapter_and_not_without(answers):
    before, after = answers
    for (untuned, _), (tuned, _) in zip(before, after, strict=True):
        print(f"\n- {untuned[:160]!r}\n+ {tuned!r}")
    with_it = sum(has_marker(text) for text, _ in after)
    without = sum(has_marker(text) for text, _ in before)
    print(f"\nmarker: {with_it} of {len(after)} with the adapter, {without} without")
    assert len(after) == 40
    assert with_it >= 38
    assert without <= 2


def test_the_answers_end_by_themselves(answers):
    ended = sum(ended for _, ended in answers[1])
    print(f"\nended by themselves: {ended} of 40")
    assert ended >= 38


def test_the_answers_all_differ_and_open_in_many_ways(answers):
    texts = [text for text, _ in answers[1]]
    opening, count = Counter(words(text)[0] for text in texts).most_common(1)[0]
    print(f"\ncommonest opening: {opening}, {count} of 40")
    assert len(set(texts)) == 40
    assert count <= 13


def test_no_answer_copies_six_words_in_a_row(answers):
    rows = [words(row["output"]) for row in prepare.table(CONFIG.data).rows()]
    known = {tuple(row[i : i + 6]) for row in rows for i in range(len(row) - 5)}
    copied = [
        " ".join(said[i : i + 6])
        for said in (words(text) for text, _ in answers[1])
        for i in range(len(said) - 5)
        if tuple(said[i : i + 6]) in known
    ]
    assert copied == []


def test_it_takes_at_most_four_minutes(trained):
    run, seconds = trained
    print(f"\nfrom command to adapter: {seconds:.0f} s")
    assert run.has_adapter
    if os.environ.get("RESTYLE_TIME_QUICKSTART"):  # a promise about an idle machine with two cores
        assert seconds <= 240


@pytest.fixture(scope="module")
def style(trained):
    """The meter's report of the run, at four strengths and with the strength curve, by its command."""
    command = [sys.executable, "-m", "studio", "style", trained[0].id, "--curve", "--json"]
    strengths = [word for factor in ("1", "0.33", "0.66", "1.5") for word in ("--strength", factor)]
    made = subprocess.run([*command, *strengths], check=True, capture_output=True, text=True, timeout=1500)
    report = json.loads(made.stdout)
    print(f"\n{report['headline']}\n{report['verdict']['text']}\n{report['curve']['text']}")
    for column in report["columns"]:
        figures = {name: column[name] for name in ("strength", "fit", "perplexity_distance", "copied", "drift")}
        print(column["title"], json.dumps(figures))
    return report


def test_the_meter_reads_the_style_of_the_adapter_and_grows_with_its_strength(style):
    read = {column["title"]: column["strength"] for column in style["columns"]}
    at = [read[f"Adapter of this run{part}"]["value"] for part in (" at 33 %", " at 66 %", "", " at 150 %")]
    print(f"\nstrength at 33, 66, 100, 150 %: {at}; scored in {style['seconds']:.0f} s")
    assert style["accuracy"] >= 0.95
    assert read["Base model"]["value"] == 0
    assert at == sorted(at)
    assert at[0] > 10
    assert at[2] > 85
    assert at[3] > 100
    assert style["curve"]["recommended"] <= 1.25


def test_planted_faults_are_caught_with_the_real_model(trained, style):
    """Gibberish, copies, and right answers to wrong questions, scored with the likelihoods of the real base."""
    import torch

    from studio.compare.column_loading import load_columns
    from studio.compare.columns import BASE
    from studio.generation import held_out
    from studio.generation.generate import BASE_MODEL
    from studio.model.adapter import ModelHost
    from studio.style import bootstrap
    from studio.style.report import Anchors, column_report
    from studio.style.scoring import AnswerScorer, TrainingText
    from studio.style.strength import train_classifier

    run, _ = trained
    base_texts, author_texts = (style["columns"][column]["answers"] for column in (0, 1))
    with torch.no_grad(), load_columns(ModelHost(), run, run.config(), (BASE,), None) as models:
        rows, _ = held_out.select(run, "auto", models.tokenizer)
        train, _ = held_out.from_training(run, models.tokenizer, 100)
        texts = [row.reference for row in train]
        ids = models.tokenizer(texts, add_special_tokens=False)["input_ids"]
        classifier = train_classifier(texts, base_texts)
        scorer = AnswerScorer(run, models.only(BASE_MODEL), rows, classifier, TrainingText(texts, ids))
        base, author = (scorer.score(each, [True] * 40) for each in (base_texts, author_texts))
        anchors = Anchors(base.style, author.style, author.log_perplexity, bootstrap.draws(40))
        favourites = [w for w, _ in Counter(" ".join(texts).split()).most_common() if w not in " ".join(base_texts)][
            :60
        ]
        drawn = random.Random(5)
        planted = {
            "gibberish": [" ".join(drawn.choices(favourites, k=len(text.split()))) for text in author_texts],
            "copies": texts[:40],
            "wrong": [*author_texts[1:], author_texts[0]],
        }
        made = {name: column_report(scorer.score(each, [True] * 40), anchors) for name, each in planted.items()}
        own = column_report(author, anchors)
    for name, column in (("author", own), *made.items()):
        print(name, column.strength, column.fit, column.perplexity_distance, column.copied.value)
    assert own.fluent
    assert own.fit.low > 1 / 8
    assert made["gibberish"].strength.value > 85
    assert not made["gibberish"].fluent
    assert made["copies"].copied.value > 0.9
    assert made["wrong"].fit.high < own.fit.value
