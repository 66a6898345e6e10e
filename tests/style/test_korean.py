"""The meter on a Korean set that is made of the bundled samples, from the command line, in both languages."""

import json
from pathlib import Path

import pytest
from following import trained
from sea import SETTINGS

from studio import presets
from studio.cli import console
from studio.cli import style as command
from studio.data import speech_levels
from studio.style import style_store

QUICK = ("--set", "generation.max_new_tokens=8", "--set", "generation.temperature=0")
DATA = Path(presets.__file__).parent.parent / "presets" / "data"


def read(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def korean(tiny_config, tmp_path):
    """A run on the answers of the tea shop and of the household helper, all in 해요, but for one that mixes levels."""
    rows = read("instruct-sample.jsonl")
    for row in read("chat-sample.jsonl"):
        turns = [turn["content"] for turn in row["messages"] if turn["role"] != "system"]
        rows += [{"instruction": ask, "output": answer} for ask, answer in zip(turns[::2], turns[1::2], strict=True)]
    rows[0]["output"] = "문은 열 시에 열어요. 월요일은 쉰다."
    path = tmp_path / "korean.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return trained(tiny_config, **SETTINGS, **{"data.source": {"kind": "file", "name": str(path)}})


@pytest.mark.long
@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_meter_of_a_korean_set_speaks_of_levels_verdict_and_style(korean, here, monkeypatch, language):
    for module in (console, command):
        monkeypatch.setattr(module, "LANGUAGE", language)
    done = here("style", "last", *QUICK)
    assert done.returncode == 0, done.stderr
    [report] = style_store.all_of(korean)
    shares = speech_levels.describe(report.author.answers, language)
    assert shares.startswith({"ko": "해요체 8", "en": "haeyo"}[language])
    said = " ".join(done.stdout.split())
    assert " ".join(shares.split()) in said
    words = {
        "ko": ("학습이 프롬프트보다 나았나요?", "작성자 말투까지", "질문에 맞음"),
        "en": ("Did training", "author", "fit their question"),
    }
    assert all(each in said for each in words[language])
    assert report.prompted.column.system.startswith("앞의 답변들과")
    assert report.accuracy > 0.9
    assert report.verdict is not None


def test_an_answer_with_mixed_levels_is_in_the_datas_health(korean, here, monkeypatch):
    from studio.cli import data

    for module in (console, data):
        monkeypatch.setattr(module, "LANGUAGE", "ko")
    config = korean.config()
    given = ("data", "inspect", config.data.source.name, "--model", config.model.id)
    done = here(*given)
    assert done.returncode == 0, done.stderr
    [mixed] = [
        problem for problem in json.loads(here(*given, "--json").stdout)["problems"] if "speech" in problem["kind"]
    ]
    assert (mixed["count"], mixed["rows"]) == (1, [1])
