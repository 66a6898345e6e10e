"""The command line: in this process, where torch is imported already; what is about a process, as one of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import outside
import pytest
import yaml

from studio import runs
from studio.config import RunConfig
from studio.events import Step
from studio.runs import checkpoints


def studio(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "studio", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, **kwargs)


@pytest.fixture
def config_file(tiny_config, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_config.to_yaml(), encoding="utf-8")
    return str(path)


def test_help_names_every_command_and_imports_no_torch():
    shown = studio("--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("train", "compare", "data", "runs", "model", "doctor"))
    code = "import sys, studio.cli; sys.exit(bool({'torch', 'transformers', 'gradio', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_train_then_compare_then_list(config_file, here, warm_python):
    trained = studio("train", config_file, "--set", "train.max_steps=4", "--set", "train.learning_rate=1e-2")
    assert trained.returncode == 0, trained.stderr
    run = runs.find("last")
    assert trained.stdout.splitlines()[0] == str(run.path)
    assert run.config().train.max_steps == 4
    assert run.config().train.learning_rate == 0.01
    assert "Too short to judge: 4 losses were logged, and 8 are needed." in " ".join(trained.stdout.split())

    compared = here("compare", "last", "--prompt", "What is 3?", "--json")
    made = json.loads(compared.stdout)
    assert made["run"] == run.id
    assert made["columns"] == ["Base model", "Adapter of this run"]
    documented = {"text", "tokens", "seconds", "first_seconds", "tokens_a_second", "end"}
    assert all(side.keys() == documented for side in made["answers"][0]["sides"])
    assert made["proof"]["verified"]
    assert made["proof"]["problems"] == made["notes"] == []

    listed = json.loads(here("runs", "--json").stdout)
    assert [(row["id"], row["state"], row["step"]) for row in listed] == [(run.id, "finished", 4)]


def test_runs_are_named_noted_shown_cleaned_deleted_and_put_back(here):
    run = runs.create(RunConfig(name="captain", preset="quickstart"))
    run.emit(Step(step=1, total=1, epoch=1, loss=2.5, learning_rate=1e-3, tokens=5))
    for step in (1, 2):
        checkpoints.write(run.path, step, lambda folder: (folder / "optimizer.pt").write_bytes(b"x" * 1000))
    assert "still going on" in here("runs", "delete", run.id).stderr
    run.enter(runs.State.FINISHED, step=1, total=1)

    assert "Aye [bold]" in here("runs", "rename", run.id, "Aye [bold]").stdout
    here("runs", "note", "last", "keep this")
    [listed] = json.loads(here("runs", "list", "--json").stdout)
    assert (listed["id"], listed["name"], listed["note"]) == (run.id, "Aye [bold]", "keep this")
    assert (listed["preset"], listed["loss"]["last"]) == ("quickstart", 2.5)
    shown = json.loads(here("runs", "show", run.id, "--json").stdout)
    assert shown["differs_from_preset"]["train.learning_rate"] == {"run": 2e-4, "preset": 0.0018}
    assert shown["checkpoints"] == [2, 1]
    assert f"runs clean {run.id}" in here("runs", "show").stdout
    assert "newest checkpoint" in here("runs", "clean", run.id).stdout
    assert [path.name for path in checkpoints.all_of(run.path)] == ["step-000002"]

    assert f"runs restore {run.id}" in here("runs", "delete", run.id).stdout
    assert json.loads(here("runs", "--json").stdout) == []
    assert run.id in here("runs", "list", "--trash").stdout
    assert here("runs", "empty-trash", input="n\n").returncode == 1
    here("runs", "restore")
    assert run.id in here("runs").stdout
    here("runs", "delete", run.id)
    assert "Removed 1" in here("runs", "empty-trash", "--yes").stdout
    assert "no run called" in " ".join(here("runs", "show", run.id).stderr.split())


def test_compare_many_prompts_against_a_checkpoint_and_write_a_card(finished_run, here, tmp_path):
    (tmp_path / "prompts.txt").write_text("What is 3?\nWhat is 4?\n", encoding="utf-8")
    page, picture = tmp_path / "card.html", tmp_path / "card.png"
    given = ("--prompts", str(tmp_path / "prompts.txt"), "--against", "base", "--against", "15", "--strength", "0.5")
    made = json.loads(here("compare", "last", *given, "--html", str(page), "--png", str(picture), "--json").stdout)
    assert made["columns"] == ["Base model", "Checkpoint at step 15", "Adapter of this run at 50 %"]
    assert [answer["prompt"] for answer in made["answers"]] == ["What is 3?", "What is 4?"]
    assert "What is 4?" in page.read_text(encoding="utf-8")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "the same model" in here("compare", "last", "--prompt", "hi", "--strength", "0").stdout


def test_an_adapter_from_a_zip_answers_and_one_of_another_base_is_refused_with_both_names(
    finished_run, tmp_path, tiny_model, here
):
    fits = outside.make(tmp_path / "captain", tiny_model, "/home/bob/base")
    zipped = outside.zipped(fits, tmp_path / "captain.zip")
    compared = here("compare", "last", "--prompt", "hi", "--against", "base", "--against", str(zipped), "--json")
    assert compared.returncode == 0, compared.stderr
    made = json.loads(compared.stdout)
    assert made["columns"][1].startswith("Adapter captain-")
    assert made["proof"]["made_for"] == [None, "shapes", "weights"]
    assert "/home/bob/base" in made["proof"]["unproven"][0]
    assert "upload:captain-" in compared.stderr

    alien = outside.make(tmp_path / "alien", tiny_model, "someone/else")
    refused = here("compare", "last", "--prompt", "hi", "--against", str(alien))
    assert refused.returncode == 1
    told = " ".join(refused.stderr.split())
    assert "someone/else" in told
    assert tiny_model.name in told.replace(" ", "")


def test_evaluate_prints_the_scoreboard_and_the_next_card_holds_it(finished_run, here, tmp_path):
    told = json.loads(here("evaluate", "last", "--limit", "4", "--json").stdout)
    assert told["scoreboard"]["rows"] == told["forgetting"]["rows"] == 4
    assert "perplexity" in {score["name"] for score in told["scoreboard"]["scores"]}
    assert "Perplexity" in here("evaluate", "last", "--limit", "4").stdout
    page = tmp_path / "card.html"
    here("compare", "last", "--prompt", "What is 3?", "--html", str(page))
    assert "Perplexity" in page.read_text(encoding="utf-8")


def test_suggested_settings_are_told_and_applied(config_file, here):
    given = ("--set", "train.max_steps=4", "--set", "train.logging_steps=50", "--suggest")
    told = json.loads(here("train", config_file, *given, "--check", "--json").stdout)
    assert "train.logging_steps" in {s["path"] for s in told["suggestions"]}
    trained = here("train", config_file, *given)
    assert trained.returncode == 0, trained.stderr
    assert "train.logging_steps: 50 → 1." in trained.stdout
    assert runs.find("last").config().train.logging_steps == 1


def test_a_run_that_fails_ends_with_1_and_says_why(config_file, here):
    failed = here("train", config_file, "--set", "model.id=nobody/nothing")
    assert failed.returncode == 1
    assert "cannot be reached" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "no-such-preset"), "quickstart"),
        (("train", "quickstart", "--set", "train.max_step=3"), "train.max_steps"),
        (("train", "quickstart", "--set", "lora.r=0"), "from 1 to 512"),
        (("compare", "last", "--prompt", "hi"), "no run yet"),
        (("compare", "../../etc", "--prompt", "hi"), "no run called"),
        (("data", "inspect", "gone.csv"), "gone.csv"),
    ],
)
def test_a_mistake_is_answered_in_three_lines_without_a_traceback(arguments, said, here):
    answered = here(*arguments)
    assert answered.returncode == 1
    assert said in answered.stderr
    assert "Traceback" not in answered.stderr
    assert len(answered.stderr.strip().splitlines()) == 3


def test_the_language_follows_the_system():
    said = studio("compare", "last", "--prompt", "hi", env=os.environ | {"LC_ALL": "ko_KR.UTF-8"})
    assert "아직 실행이 없어요" in said.stderr
    assert said.returncode == 1
    assert len(said.stderr.strip().splitlines()) == 3


def test_inspect_tells_shape_mapping_rows_and_problems(style_file, here):
    with open(style_file, "a", encoding="utf-8") as file:
        file.write(json.dumps({"instruction": "x", "output": ""}) + "\n")
    found = json.loads(here("data", "inspect", str(style_file), "--json").stdout)
    assert found["format"] == "pair"
    assert found["mapping"]["completion"] == "output"
    assert (found["rows"], found["usable"], found["encoding"]) == (25, 24, "utf-8")
    assert [(p["kind"], p["count"], p["rows"]) for p in found["problems"]] == [("empty_answer", 1, [25])]
    documented = {"kind", "count", "rows", "example", "effect", "fix", "fixed"}
    assert found["problems"][0].keys() == documented


def test_preview_and_clean_tell_the_same_story(style_file, tiny_model, tmp_path, here):
    with open(style_file, "a", encoding="utf-8") as file:
        file.write(json.dumps({"instruction": "x", "output": ""}) + "\n")
    model = ("--model", str(tiny_model))
    found = json.loads(here("data", "preview", str(style_file), "--row", "2", *model, "--json").stdout)
    assert found["raw"]["instruction"] == "What is 1?"
    assert "".join(text for text, _ in found["tokens"]) == found["text"]
    assert found["ends"] is True
    left_out = json.loads(here("data", "preview", str(style_file), "--row", "25", *model, "--json").stdout)
    assert "Empty answers" in left_out["problem"]
    here("data", "clean", str(style_file), "-o", str(tmp_path / "out.jsonl"), *model)
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 24


def test_an_id_of_the_hub_is_told_offline_within_seconds(here):
    answered = here("data", "inspect", "owner/some-data")
    assert answered.returncode == 1
    assert "the Hub cannot be reached" in " ".join(answered.stderr.split())


def test_doctor_answers_offline_within_seconds():
    began = time.monotonic()
    told = json.loads(studio("doctor", "--json").stdout)
    assert time.monotonic() - began < 60
    assert told["hub_reachable"] is False
    assert told["choices"]["precision"]["reason"]


def test_a_second_process_is_told_who_runs(config_file, here, warm_python):
    command = [sys.executable, "-m", "studio", "train", config_file, "--set", "train.max_steps=100000", "--json"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and not runs.alive_runs():
            time.sleep(0.1)
        second = here("train", config_file)
        assert second.returncode == 1
        assert runs.find("last").id in second.stderr
    finally:
        runs.find("last").request("stop")
        told = json.loads(first.communicate(timeout=120)[0])
        assert told["state"] == "stopped"
        assert told["reading"]["over"]


def test_the_settings_of_a_run_can_be_trained_again(finished_run, here):
    kept = finished_run.path / "run.yaml"
    again = here("train", str(kept), "--set", "train.max_steps=1")
    assert again.returncode == 0, again.stderr
    assert yaml.safe_load((runs.find("last").path / "run.yaml").read_text())["train"]["max_steps"] == 1
    assert len(runs.all_runs()) == 2


def test_a_model_is_pulled_listed_and_described(hub_stand_in, here):
    pulled = here("model", "pull", "someone/tiny")
    assert pulled.returncode == 0, pulled.stderr
    path, identity = pulled.stdout.splitlines()

    listed = json.loads(here("model", "list", "--json").stdout)
    assert [(model["id"], model["here"]) for model in listed] == [("builtin", False), ("someone/tiny", True)]
    assert listed[1]["path"] == path
    told = json.loads(here("model", "info", "someone/tiny", "--json").stdout)
    assert (told["where"], told["path"], told["problem"]) == ("cache", path, None)
    assert identity.startswith("sha256 ")
    assert "someone/tiny" in here("model", "list").stdout
    assert "someone" in here("model", "info", "someone/tiny").stdout


def test_the_token_comes_from_the_environment_and_is_told_nowhere(hub_stand_in, here, monkeypatch):
    repository = hub_stand_in.repositories["someone/tiny"]
    repository.gated, repository.readers = True, {"hf_canary"}
    hub_stand_in.tokens.add("hf_canary")
    refused = here("model", "pull", "someone/tiny")
    assert refused.returncode == 1
    assert f"{hub_stand_in.url}/someone/tiny" in refused.stderr.replace("\n", "")

    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    pulled = here("model", "pull", "someone/tiny")
    assert pulled.returncode == 0, pulled.stderr
    assert "hf_canary" not in pulled.stdout + pulled.stderr
    assert "token" not in here("model", "pull", "--help").stdout.lower()


def test_ctrl_c_ends_a_download_and_leaves_nothing_half(hub_stand_in, tmp_path):
    hub_stand_in.hold = threading.Event()
    command = [sys.executable, "-m", "studio", "model", "pull", "someone/tiny"]
    pulling = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert hub_stand_in.halfway.wait(60)
    os.killpg(pulling.pid, signal.SIGINT)
    _, said = pulling.communicate(timeout=60)

    assert pulling.returncode == 130
    assert "Cancelled" in said
    assert "Traceback" not in said
    assert list(tmp_path.rglob("*.incomplete")) == []


def test_a_model_that_cannot_be_found_is_told_and_ends_with_1(hub_stand_in, here):
    told = here("model", "info", "someone/nothing")
    assert told.returncode == 1
    assert "The Hub has no model someone/nothing" in told.stdout


def test_export_writes_and_verifies_an_adapter(config_file, tmp_path, here):
    here("train", config_file)
    run = runs.find("last")
    made = here("export", "last", "--to", "adapter", "--out", str(tmp_path / "mine"), "--zip", "--verify", "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["run"] == run.id
    assert told["path"] == str(tmp_path / "mine")
    assert told["zip"] == str(tmp_path / "mine.zip")
    assert told["verification"]["passed"]
    assert told["verification"]["agreement"]["equal"] == 8
    ignored = here("export", "last", "--to", "adapter", "--precision", "q8_0")
    assert ignored.returncode == 1
    assert "no number format" in ignored.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    refused = here("export", "last", "--to", "script", "--out", str(tmp_path / "other"))
    assert refused.returncode == 1
    assert "--out" in refused.stderr
