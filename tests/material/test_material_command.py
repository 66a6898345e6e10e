"""`data make` as a command, and the walk from an export to a model."""

import json
from pathlib import Path

import pytest
import yaml

from studio import runs

EXPORT = str(Path(__file__).parents[2] / "presets" / "material" / "kakaotalk.txt")


def test_without_a_speaker_the_speakers_are_listed_and_nothing_is_written(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = here("data", "make", EXPORT)
    assert listed.returncode == 0
    assert "오로라" in listed.stdout
    assert "--speaker" in listed.stdout
    told = json.loads(here("data", "make", EXPORT, "--json").stdout)
    assert set(told["speakers"]) == {"한가람", "오로라"}
    assert told["rows"] == 0
    assert told["out"] is None
    assert list(tmp_path.glob("*.jsonl")) == []


def test_the_summary_says_what_was_made_left_out_and_replaced(here, tmp_path):
    out = tmp_path / "rows.jsonl"
    made = here("data", "make", EXPORT, "--speaker", "오로라", "-o", str(out), "--keep", "address", "--silence", "90m")
    assert made.returncode == 0, made.stderr
    printed = " ".join(made.stdout.split())
    assert "Wrote 24 rows" in printed
    assert "A silence of 90 minutes ends a conversation, as chosen." in printed
    for words in (
        "stickers",
        "telephone numbers",
        "names of other speakers",
        "[전화번호 1]",
        "Not replaced",
        "Rules find",
    ):
        assert words in printed
    text = out.read_text(encoding="utf-8")
    assert "가람로 123" in text
    assert "010-5555-0142" not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--recipe", "poem"), "no recipe"),
        (("--keep", "shoes"), "no kind"),
        (("--silence", "long"), "not a length"),
        (("--min-tokens", "99", "--max-tokens", "99"), "is empty"),
        (("--speaker", "Nobody"), "한가람"),
    ],
)
def test_a_wrong_option_is_refused_with_what_there_is(here, tmp_path, options, words):
    refused = here("data", "make", EXPORT, "-o", str(tmp_path / "rows.jsonl"), *options)
    assert refused.returncode == 1
    assert words in " ".join(refused.stderr.split())
    assert not (tmp_path / "rows.jsonl").exists()


def test_an_export_becomes_a_trained_model(here, tmp_path, tiny_config):
    out = tmp_path / "rows.jsonl"
    assert here("data", "make", EXPORT, "--speaker", "오로라", "-o", str(out)).returncode == 0
    model = tiny_config.model.id
    report = json.loads(here("data", "inspect", str(out), "--model", model, "--json").stdout)
    assert (report["format"], report["rows"], report["usable"], report["blocks"]) == ("messages", 24, 24, [])
    config = tiny_config.model_dump(mode="json")
    config["data"]["source"] = {"kind": "file", "name": str(out)}
    del config["data"]["mapping"]
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    trained = here("train", str(path), "--set", "train.max_steps=4")
    assert trained.returncode == 0, trained.stderr
    assert runs.find("last").status().state is runs.State.FINISHED
