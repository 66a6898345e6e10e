"""The command `style`: a table and a sentence, or one JSON document."""

import json

from studio.style import prompted_store, style_store

QUICK = ("--set", "generation.max_new_tokens=8", "--set", "generation.temperature=0")


def test_the_command_prints_every_column_the_words_the_verdict_and_the_headline(run, here):
    given = ("style", "last", "--strength", "1", "--strength", "0.5", "--against", "1", "--curve", *QUICK)
    done = here(*given)
    assert done.returncode == 0, done.stderr
    names = ("Style", "Fits", "Fluency", "Copied", "Ordinary answers")
    titles = ("Base model", "The author's own answers", "Adapter of this run at 50 %", "Checkpoint at step 1")
    shown = done.stdout.split()  # a narrow table breaks its cells between words
    assert all(word in shown for name in (*names, *titles) for word in name.split())
    assert "Carries the author's style: " in done.stdout
    assert "Did training beat asking?" in done.stdout
    assert "Strength curve" in done.stdout
    assert "Use " in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert "answers fit their question" in last

    [report] = style_store.all_of(run)
    made = json.loads(here(*given, "--json").stdout)
    assert made["headline"] == last
    assert made["path"].endswith(f"report-{report.id}.json")
    assert [column["title"] for column in made["columns"]] == [column.title() for column in report.columns]
    assert made["verdict"]["text"] == report.verdict.reason.text()
    assert [point["factor"] for point in made["curve"]["points"]] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]
    assert made["curve"]["recommended"] == report.curve.recommended > 0
    assert made["author_words"][0].keys() == {"word", "ngram", "weight"}
    assert set(made["columns"][0]["strength"]) == {"value", "low", "high"}


def test_too_little_text_is_all_that_the_command_says(finished_run, here):
    done = here("style", "last")
    assert done.returncode == 0, done.stderr
    assert "Too little text" in done.stdout
    assert json.loads(here("style", "last", "--json").stdout)["columns"] == []


def test_the_prompted_base_is_a_column_of_compare_with_its_cost_and_its_prompt_a_file(run, here, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("Talk like a sailor.\n\nuser: What is wind?\nassistant: Aye.", encoding="utf-8")
    done = here("compare", "last", "--prompt", "What is 99?", "--against", "prompted", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "with examples: 4" in done.stdout
    automatic = prompted_store.read(run).automatic
    assert f"{prompted_store.prompt_tokens(run, automatic)} tokens more in every prompt" in done.stdout

    done = here("style", "last", "--prompt-file", str(path), "--limit", "1", *QUICK)
    assert done.returncode == 0, done.stderr
    assert prompted_store.read(run).column.shots[1].content == "Aye."
    assert prompted_store.read(run).automatic == automatic
