"""Preference data: pairs and labelled answers are found, shown, checked and tokenized through the one renderer."""

import json

import pytest
from tiny import TEMPLATES, make_tokenizer

from studio.config import RunConfig
from studio.data import prepare, tokens
from studio.data.conversation import Turn
from studio.data.preview import preview_row
from studio.data.tokens import IGNORED
from studio.errors import ConfigError, DataError
from studio.files import write_json_lines
from studio.model.load import load_tokenizer


def chat(*texts):
    return [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 4, texts, strict=False)]


SHAPES = {
    "texts": {"prompt": "a?", "chosen": "b", "rejected": "c"},
    "answers as turns": {"prompt": chat("a?"), "chosen": chat("a?", "b")[1:], "rejected": chat("a?", "c")[1:]},
    "implicit prompt": {"chosen": chat("a?", "b"), "rejected": chat("a?", "c")},
    "prompt and whole chats": {"prompt": "a?", "chosen": chat("a?", "b"), "rejected": chat("a?", "c")},
    "tagged texts": {"chosen": "\n\nHuman: a?\n\nAssistant: b", "rejected": "\n\nHuman: a?\n\nAssistant: c"},
    "other names": {"question": "a?", "chosen_response": "b", "rejected_response": "c"},
}
LABELLED = {
    "texts": {"prompt": "a?", "completion": "b", "label": True},
    "turns": {"prompt": chat("a?"), "completion": chat("a?", "b")[1:], "label": True},
    "thumbs": {"question": "a?", "answer": "b", "thumbs": "up"},
    "numbers": {"instruction": "a?", "output": "b", "kto_tag": 1},
}


@pytest.fixture
def prepared(tiny_config, style_file):
    def read(rows, method, **settings):
        write_json_lines(style_file, rows)
        config = tiny_config.with_settings({"train.method": method, **settings})
        return config, prepare.prepare(config, load_tokenizer(config.model))

    return read


def split(row, side=""):
    """Return the prompt and the answer of a row as text."""
    ids, labels = (row[f"{side}{name}"] for name in (("ids", "labels") if side else ("input_ids", "labels")))
    first = next(place for place, label in enumerate(labels) if label != IGNORED)
    tokenizer = make_tokenizer()
    return tokenizer.decode(ids[:first]), tokenizer.decode(ids[first:])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_a_pair_is_the_same_pair(prepared, shape):
    config, rows = prepared([SHAPES[shape]], "dpo")
    prompt = "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\n"
    assert split(rows.train[0]) == (prompt, "b<|im_end|>\n")
    assert split(rows.train[0], "rejected_") == (prompt, "c<|im_end|>\n")
    shown = preview_row(config, 0)
    assert "".join(text for text, label in shown.spans if label == "trained") == "b<|im_end|>\n"
    assert "".join(text for text, label in shown.rejected if label == "trained") == "c<|im_end|>\n"


@pytest.mark.parametrize("shape", LABELLED)
def test_every_shape_of_a_labelled_answer_is_read_with_its_label(prepared, shape):
    good = LABELLED[shape]
    column, value = list(good.items())[-1]
    other = "down" if value == "up" else type(value)(0)
    question = next(iter(good))
    config, rows = prepared([good, {**good, column: other, question: "z?"}], "kto")
    assert list(rows.train["good"]) == [True, False]
    assert split(rows.train[0])[1] == "b<|im_end|>\n"
    assert [preview_row(config, number).good for number in (0, 1)] == [True, False]


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_prompt_of_both_answers_is_the_one_that_is_compared(tiny_config, style_file, family):
    style_file.write_text(json.dumps({"prompt": "a?", "chosen": "bb", "rejected": "c"}) + "\n")
    tokenizer = make_tokenizer(TEMPLATES[family])
    config = tiny_config.with_settings({"train.method": "dpo", "data.prompt.system": None})
    row = prepare.prepare(config, tokenizer).train[0]
    render = prepare.renderer(config, tokenizer, prepare.mapping(config.data, "dpo").mapping)
    asked = tokens.prompt_ids(render.question([Turn("user", "a?")]), tokenizer)
    for ids, labels in ((row["input_ids"], row["labels"]), (row["rejected_ids"], row["rejected_labels"])):
        assert ids[: len(asked)] == list(asked)
        assert set(labels[: len(asked)]) == {IGNORED}
        assert labels[len(asked)] != IGNORED


def test_a_text_template_takes_the_worse_answer_in_the_better_ones_place(prepared):
    settings = {"data.prompt": {"style": "text", "template": "Q: {prompt}\nA: {chosen}"}}
    _, rows = prepared([SHAPES["texts"]], "dpo", **settings)
    assert split(rows.train[0]) == ("Q: a?\nA:", " b<|im_end|>")
    assert split(rows.train[0], "rejected_") == ("Q: a?\nA:", " c<|im_end|>")


def pair(prompt, chosen, rejected):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def kinds(prepared):
    return {problem.kind: problem.count for problem in prepared.report.problems}


def test_what_cannot_teach_a_preference_is_left_out_and_counted(prepared):
    rows = [
        pair("a?", "same", "same "),
        pair("b?", "yes", ""),
        pair("c?", "left", "right"),
        pair("c?", "right", "left"),
        {**pair("d?", "x", "y"), "chosen": chat("d?", "x"), "rejected": chat("e?", "y")},
        pair("f?", "good", "poor"),
    ]
    _, read = prepared(rows, "dpo")
    assert len(read.train) == 1
    expected = {"same_answers": 1, "no_rejected": 1, "contradiction": 2, "other_prompts": 1, "few_preferences": 1}
    assert expected.items() <= kinds(read).items()
    assert not [problem for problem in read.report.problems if problem.kind == "contradiction" and problem.used]


def test_a_preference_for_length_is_said(prepared):
    longer = [pair(f"{n}?", f"a long answer {n}", f"{n}") for n in range(15)]
    shorter = [pair(f"{n} again?", f"{n}", f"a long answer {n}") for n in range(5)]
    assert kinds(prepared([*longer, *shorter], "dpo")[1]) == {"longer_preferred": 15}
    swapped = [pair(row["prompt"], row["rejected"], row["chosen"]) for row in (*longer, *shorter)]
    assert kinds(prepared(swapped, "dpo")[1]) == {"shorter_preferred": 15}
    assert kinds(prepared([*longer[:10], *swapped[10:15]], "dpo")[1]) == {"few_preferences": 15}


def test_labels_that_say_nothing_or_contradict_each_other_are_counted(prepared):
    labelled = [{"prompt": f"{n}?", "completion": f"{n}", "label": bool(n % 2)} for n in range(6)]
    bad = {"prompt": "x?", "completion": "x", "label": "perhaps"}
    _, read = prepared([*labelled, {**labelled[0], "label": True}, bad], "kto")
    assert kinds(read) == {"no_label": 1, "contradiction": 2, "few_preferences": 5}
    _, same = prepared([row for row in labelled if row["label"]], "kto")
    assert kinds(same)["one_verdict"] == 3


def test_the_split_keeps_both_answers_of_a_pair_together(prepared):
    rows = [pair(f"{n}?", f"good {n}", f"poor {n}") for n in range(20)]
    _, read = prepared(rows, "dpo", **{"data.validation": {"kind": "fraction", "fraction": 0.25}})
    assert (len(read.train), len(read.validation)) == (15, 5)
    assert read.validation.column_names == ["input_ids", "labels", "rejected_ids", "rejected_labels"]


def test_the_hash_tells_pairs_with_another_worse_answer_apart(prepared):
    first, second = (prepared([pair("a?", "b", worse)], "dpo")[1].sha256 for worse in "cd")
    assert first != second


def test_only_the_last_answer_of_a_chat_is_preferred(prepared):
    row = {"chosen": chat("a?", "b", "c?", "d"), "rejected": chat("a?", "b", "c?", "e")}
    _, read = prepared([row], "dpo")
    assert split(read.train[0])[0].endswith("c?<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize(("method", "named"), [("dpo", "rejected"), ("kto", "label")])
def test_rows_without_preferences_are_refused_by_what_is_missing(tiny_config, method, named):
    config = tiny_config.with_settings({"train.method": method})
    with pytest.raises(DataError, match=named):
        prepare.mapping(config.data, method)
    mapped = tiny_config.with_settings({"data.mapping": {"prompt": ["instruction"], "completion": "output"}})
    with pytest.raises(DataError, match=f"data.mapping.{named}"):
        prepare.mapping(mapped.data, method)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_pairs_without_a_prompt_are_not_taken_for_question_and_answer(tiny_config, tmp_path, method):
    (tmp_path / "bare.jsonl").write_text('{"chosen": "The sky is blue.", "rejected": "The sky is green."}\n' * 3)
    config = tiny_config.with_settings({"data.source.name": str(tmp_path / "bare.jsonl"), "data.mapping": None})
    with pytest.raises(DataError, match=r"no prompts.*chosen and rejected"):
        prepare.mapping(config.data, method)


def test_answers_are_learned_from_pairs_as_before(prepared):
    _, read = prepared([SHAPES["texts"]], "sft")
    assert read.train.column_names == ["input_ids", "labels"]
    assert read.report.detected.mapping.rejected is None


def test_a_label_of_bad_answers_still_keeps_them_out_of_the_answers_to_learn(prepared):
    _, read = prepared([LABELLED["texts"], {**LABELLED["texts"], "prompt": "z?", "label": False}], "sft")
    assert len(read.train) == 1


@pytest.mark.parametrize("settings", [{"data.train_on": "all"}, {"train.neftune_alpha": 5.0}])
def test_what_does_not_go_with_preferences_is_refused(settings):
    with pytest.raises(ConfigError):
        RunConfig().with_settings({"train.method": "dpo", **settings})
