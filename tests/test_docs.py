"""README and docs: their commands parse and run, their figures and links hold, both languages say the same."""

import importlib
import io
import json
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from studio import presets
from studio.cli import app
from studio.config import RunConfig, parse_setting
from studio.sweep import axes

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "studio" / "docs"
ENGLISH = sorted(DOCS.glob("*.md"))
KOREAN = sorted((DOCS / "ko").glob("*.md"))
PAGES = [ROOT / "README.md", *ENGLISH, *KOREAN]

PROGRAMS = ("python", "pip", "accelerate", "hf")
OUTSIDE = ("hf auth login", "hf repos delete YOU/NAME")
"""Commands of other programs that are named and not started."""
STUDIO = ("python", "-m", "studio")


def fences(text: str) -> list[tuple[str, str]]:
    """Return the language and the text of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)


def commands(text: str) -> list[list[str]]:
    """Return the words of every command: lines of shell blocks, then code within a sentence; parts of `&&` alone."""
    lines = [line for language, block in fences(text) if language == "sh" for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines += [code for code in re.findall(r"`([^`\n]+)`", prose) if code.split()[0] in PROGRAMS and " " in code]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        while "&&" in words:
            end = words.index("&&")
            found.append(words[:end])
            words = words[end + 1 :]
        if words:
            found.append(words)
    return found


def parse(arguments: list[str]) -> dict[str, Any]:
    """Return the values of arguments of `python -m studio`, without running it; raises what the command line says."""
    command, context = typer.main.get_command(app), None
    while True:
        context = command.make_context(command.name, list(arguments), parent=context)
        rest = [*context._protected_args, *context.args] if hasattr(command, "resolve_command") else []
        if not rest:
            return context.params
        _, command, arguments = command.resolve_command(context, rest)


def check(words: list[str]) -> None:
    """Raise unless a command exists with these options and values."""
    if " ".join(words) in OUTSIDE:
        return
    if tuple(words[:3]) == STUDIO:
        check_studio(words[3:])
    elif words[:2] == ["accelerate", "launch"]:
        assert words[2] == "--config_file"
        assert (ROOT / words[3]).is_file()
        assert words[4:6] == ["-m", "studio"]
        check_studio(words[6:])
    elif words[:2] == ["python", "app.py"]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "argv", list(words[1:]))
            importlib.import_module("app")._options()
    elif words[:2] == ["python", "-m"] and words[2].split(".")[0] == "tests":
        check_measurement(words[2], words[3:])
    elif words[:3] == ["python", "-m", "pytest"]:
        assert all((ROOT / word).is_file() for word in words[3:] if word.startswith("tests/"))
        assert {word for word in words[3:] if word.startswith("-")} <= {"-n", "-m", "-s"}
    elif words[:2] == ["pip", "install"]:
        assert {word for word in words[2:] if word.startswith("-")} <= {"-r"}
        assert words[2] != "-r" or (ROOT / words[3]).is_file()
    else:
        raise AssertionError(f"no such command: {' '.join(words)}")


def check_studio(arguments: list[str]) -> None:
    """Raise unless these arguments of the studio exist, with presets and settings that exist."""
    if arguments in ([], ["--help"]):
        return
    given = parse(arguments)
    config = RunConfig()
    if given.get("preset") not in (None, "run.yaml"):
        config = presets.load(given["preset"])
    if settings := given.get("settings"):
        config.with_settings(dict(parse_setting(setting) for setting in settings))
    for written in given.get("over") or ():
        axes.parse(written)
    for name in (given.get("name"), given.get("accelerate")):
        assert "presets/" not in str(name) or (ROOT / str(name)).is_file()


def check_measurement(module: str, arguments: list[str]) -> None:
    """Raise unless a module of the tests can be started and knows each option."""
    path = ROOT / module.replace(".", "/")
    source = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    assert '__name__ == "__main__"' in source
    assert all(f'"{word}"' in source for word in arguments if word.startswith("-")), arguments


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_on_a_page_exists_with_its_options(page):
    for words in commands(page.read_text(encoding="utf-8")):
        check(words)


@pytest.mark.parametrize(
    "line",
    [
        "python -m studio train quickstart --no-such-option",
        "python -m studio train quickstart --set train.no_such_setting=1",
        "python -m studio train no-such-preset",
        "python -m studio runs no-such-command",
        "python -m studio sweep quickstart --over lora.no_such_setting=1,2",
        "python -m studio export last --to nothing",
        "python -m studio data inspect presets/data/gone.jsonl",
        "python app.py --no-such-option",
        "python -m tests.bench.no_such_measurement",
        "python -m tests.bench.following --no-such-option",
        "python -m tests.gpu --no-such-option",
        "python -m pytest --no-such-option",
        "pip install --no-such-option x",
        "accelerate launch --config_file presets/accelerate/gone.yaml -m studio train run.yaml",
        "restyle train",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line):
    with pytest.raises((Exception, SystemExit)):
        check(shlex.split(line))


def test_commands_are_read_from_blocks_and_sentences():
    block = "```sh\npip install x && python app.py --share  # a link\n# no command\n```\n"
    text = f"Say `python -m a b` and `x.y=1`.\n\n{block}"

    assert commands(text) == [
        ["pip", "install", "x"],
        ["python", "app.py", "--share"],
        ["python", "-m", "a", "b"],
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_of_code_are_commands_and_links_and_pictures_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")

    assert {language for language, _ in fences(text)} <= {"sh", "text"}
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_is_short_and_leads_to_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= 250
    assert text.count("![") == 1
    assert [page for page in (*ENGLISH, *KOREAN) if f"({page.relative_to(ROOT).as_posix()})" not in text] == []
    test_command = next(line for line in text.splitlines() if "pytest" in line)
    assert test_command == "pip install -r tests/requirements.txt && python -m pytest"


@pytest.mark.parametrize("page", ENGLISH, ids=lambda path: path.stem)
def test_both_languages_have_the_same_headings_commands_and_rows(page):
    english, korean = (path.read_text(encoding="utf-8") for path in (page, DOCS / "ko" / page.name))

    def shape(text: str) -> list[str]:
        return re.findall(r"^(#+) ", text, re.M)

    assert shape(english) == shape(korean)
    assert sorted(commands(english)) == sorted(commands(korean))
    assert len(re.findall(r"^\|", english, re.M)) == len(re.findall(r"^\|", korean, re.M))
    assert len(re.findall("[가-힣]", korean)) > 300


@pytest.mark.parametrize("page", [DOCS / "measured.md", DOCS / "ko" / "measured.md"], ids=["en", "ko"])
def test_figures_of_the_training_bench_are_those_of_its_results(page):
    results = [_cells(line) for line in (ROOT / "tests/bench/training.md").read_text("utf-8").splitlines()[4:]]
    by_arm = {(rows, arm): rest for rows, arm, *rest in results}
    text = page.read_text(encoding="utf-8")
    table = [_cells(line) for line in text.split("training.svg", 1)[1].splitlines() if line.startswith("| ")][1:7]
    arms = ("studio", "studio32", "trl", "padded", "loop", "loop16")

    assert len(table) == len(arms)
    for arm, (_, seconds, share, loss, real, logits) in zip(arms, table, strict=True):
        runs = [by_arm[rows, arm] for rows in ("short", "long") if (rows, arm) in by_arm]
        assert _numbers(share) in ([], [float(run[2]) for run in runs])
        assert _numbers(loss) == [float(run[4]) for run in runs]
        assert _numbers(seconds) == pytest.approx([float(run[0]) for run in runs], abs=0.51)
        assert _numbers(real) == pytest.approx([float(run[5].rstrip("%")) for run in runs], abs=0.51)
        of_run = [float(run[6]) for run in runs]
        assert all(any(abs(number - one) <= 0.05 for one in of_run) for number in _numbers(logits))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)]


REAL = (
    "python -m studio compare last --prompt",
    "python -m studio evaluate last",
    "python -m studio pairs last",
    "python -m studio style last",
    "python -m studio mix last",
    "python -m studio samples",
    "python -m studio runs",
    "python -m studio sweep list",
    "python -m studio export last --to adapter --zip",
    "python -m studio export last --to example",
    "python -m studio model list",
    "python -m studio doctor",
    "python -m studio data",
    "python -m studio pause",
    "python -m studio stop",
    "python -m studio cancel",
)
"""What is carried out for real, on a finished run of the tiny model; the rest needs a network, a GPU or minutes."""


def test_what_needs_no_network_and_no_gpu_runs(finished_run, tiny_model, tmp_path, monkeypatch):
    found = {tuple(words): None for page in PAGES[: 1 + len(ENGLISH)] for words in commands(page.read_text("utf-8"))}
    real = [list(words) for words in found if " ".join(words).startswith(REAL) and not needs_writer(words)]
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    (tmp_path / "run.yaml").write_text(finished_run.config().to_yaml(), encoding="utf-8")
    pair = {"prompt": "What is 3?", "chosen": "Aye, 3.", "rejected": "3."}
    (tmp_path / "preferences.jsonl").write_text(json.dumps(pair) + "\n", encoding="utf-8")
    (tmp_path / "prompts.txt").write_text("What is 3?\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("kdq"))  # keys for `data review`

    assert len(real) > 20
    for words in real:
        model = ["--model", str(tiny_model)] if words[3] == "data" and words[4] not in ("clean", "review") else []
        run_here([*words[3:], *model])
    assert (tmp_path / "card.png").is_file()
    assert (tmp_path / "clean.jsonl").is_file()


def needs_writer(words: tuple[str, ...]) -> bool:
    """Whether a command's model has to write text that is of use, which the tiny one does not."""
    return bool({"plain", "question"} & set(words)) and "--endpoint" not in words


def run_here(arguments: list[str]) -> None:
    """Run a command of the studio in this process; its handling of Ctrl-C ends with it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert not app(arguments, standalone_mode=False), arguments
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_json_keys_on_the_page_are_those_that_data_inspect_prints(tiny_model, capsys):
    page = (DOCS / "data.md").read_text(encoding="utf-8").split("## The JSON of an inspection", 1)[1]

    app(
        ["data", "inspect", str(ROOT / "presets/data/captain.jsonl"), "--model", str(tiny_model), "--json"],
        standalone_mode=False,
    )
    printed = json.loads(capsys.readouterr().out)

    assert [key for key in (*printed, *printed["tokens"]) if f"`{key}`" not in page] == []
