"""The report counts what is odd in the rows, names it, and says what to do; the advice works."""

import json
import shlex

import pytest

from studio.config import parse_setting
from studio.data import clean, prepare
from studio.files import write_json_lines


def user(content="q") -> dict:
    return {"role": "user", "content": content}


def assistant(content="a", **more) -> dict:
    return {"role": "assistant", "content": content, **more}


def write(path, rows: list[dict]) -> None:
    write_json_lines(path, rows)


def follow(config, words: str):
    """Return the settings after doing what a message says to give on the command line."""
    flag, setting = shlex.split(words[words.index("--set") :])
    assert flag == "--set"
    return config.with_settings(dict([parse_setting(setting)]))


def problems(config) -> dict:
    return {problem.kind: problem for problem in prepare.inspect(config).problems}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_an_unknown_role_is_named_with_its_rows_and_the_advice_reads_them(tiny_config, style_file, language):
    chats = [[user(f"q{n}"), {"role": "wizard", "content": f"spell {n}"}] for n in range(3)]
    write(style_file, [{"messages": messages} for messages in [[user(), assistant()], *chats]])
    problem = problems(tiny_config)["unknown_role"]
    assert (problem.rows, problem.used) == ([2, 3, 4], False)
    assert "wizard" in problem.message.text(language)
    assert prepare.inspect(follow(tiny_config, problem.effect.text(language))).usable == 4


def test_roles_that_a_setting_names_stay_in_the_advice_about_others(tiny_config, style_file):
    write(style_file, [{"m": [{"role": "kim", "content": "q"}, {"role": "lee", "content": "a"}]}])
    mapping = {"shape": "messages", "messages": "m", "roles": {"kim": "user"}}
    partly = tiny_config.with_settings({"data.mapping": mapping})
    words = problems(partly)["unknown_role"].effect.text("en")
    assert prepare.inspect(follow(partly, words)).usable == 1


@pytest.mark.parametrize(("rows", "kind", "usable"), [
    ([{"prompt": "q", "completion": word, "label": word == "good"} for word in ("good", "bad")], "marked", 1),
    ([{"messages": [user(), assistant("b", weight=0), user(), assistant()]}], "marked_turn", 1),
])  # fmt: skip
@pytest.mark.parametrize("language", ["en", "ko"])
def test_marked_rows_are_counted_and_the_advice_trains_on_them(tiny_config, style_file, rows, kind, usable, language):
    write(style_file, rows)
    problem = problems(tiny_config)[kind]
    assert prepare.inspect(tiny_config).usable == usable
    assert (problem.rows, problem.used) == ([len(rows)], kind == "marked_turn")
    config = follow(tiny_config, problem.effect.text(language))
    assert prepare.inspect(config).usable == len(rows)
    assert kind not in problems(config)


def test_rows_with_notes_are_used_and_counted_with_their_numbers(tiny_config, style_file):
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    write(style_file, [
        {"messages": [user("p"), assistant("z")]},
        {"messages": [user(), call, {"role": "tool", "content": "1"}, assistant()], "tools": [{"name": "f"}]},
        {"messages": [user("r"), assistant("b", reasoning_content="Hm."), user("s")]},
    ])  # fmt: skip
    report = prepare.inspect(tiny_config)
    assert report.usable == 3
    assert {problem.kind: (problem.rows, problem.used) for problem in report.problems} == {
        "tool_definitions": ([2], True),
        "tool_calls": ([2], True),
        "reasoning": ([3], True),
        "unanswered": ([3], True),
    }


def test_many_names_that_are_not_known_are_not_all_listed(tiny_config, style_file):
    write(style_file, [{"messages": [user(), assistant()]}, *[
        {"messages": [user(), {"role": f"person {n}", "content": "a"}]} for n in range(40)
    ]])  # fmt: skip
    problem = problems(tiny_config)["unknown_role"]
    assert problem.count == 40
    assert len(problem.names.split(", ")) == 20


def test_without_a_tokenizer_the_names_are_counted_too(tiny_config, style_file):
    write(style_file, [{"messages": [user(), assistant()]}, {"messages": [user(), {"role": "wizard", "content": "a"}]}])
    config = tiny_config.with_settings({"model.id": "no/such-model"})
    assert problems(config)["unknown_role"].names == "wizard"


def test_every_usable_conversation_is_written_to_the_cleaned_file(tiny_config, style_file, tmp_path):
    write(style_file, [{"messages": [user(f"q{n}"), assistant(f"a{n}")]} for n in range(4)])

    assert clean.write(tiny_config, tmp_path / "clean.jsonl") == 4


def test_cleaned_rows_keep_their_marks_and_their_group(tiny_config, style_file, tmp_path):
    row = {
        "system": "Be brief.",
        "topic": "sea",
        "messages": [user(), assistant("b", train=False), user("r"), assistant()],
    }
    write(style_file, [row, {"messages": [user(), assistant(weight=0)]}])
    config = tiny_config.with_settings({"data.validation": {"kind": "fraction", "group": "topic"}})
    assert clean.write(config, tmp_path / "clean.jsonl") == 1
    assert json.loads((tmp_path / "clean.jsonl").read_text(encoding="utf-8")) == {
        "topic": "sea",
        "messages": [
            {"role": "system", "content": "Be brief."},
            user(),
            {"role": "assistant", "content": "b", "weight": 0},
            user("r"),
            assistant(),
        ],
    }
    again = config.with_settings({"data.source.name": str(tmp_path / "clean.jsonl")})
    assert "marked_turn" in problems(again)
    assert prepare.inspect(again).trained_each.tolist() == prepare.inspect(config).trained_each.tolist()
