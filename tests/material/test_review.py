"""Rows are looked through, and where they come from travels to the run and its model card as counts alone."""

import json
import sys
from pathlib import Path

import pytest

from studio import runs
from studio.data import provenance, source
from studio.errors import DataError
from studio.export import model_card
from studio.export.export_context import load_context
from studio.material import documents, make, reading
from studio.material.make import Request
from studio.material.review import DROP, KEEP, Review, parse_text, to_text

MATERIAL = Path(__file__).parents[2] / "presets" / "material"
EXPORT = MATERIAL / "kakaotalk.txt"


@pytest.fixture
def rows(tmp_path):
    out = tmp_path / "rows.jsonl"
    make.make(Request((EXPORT,), speaker="오로라"), out)
    return out


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_formats_and_recipes_that_are_counted_are_all_there_are():
    suffixes = [name.removeprefix(".") for name in documents.formats().split(", ")]
    assert set(provenance.FORMATS) == {module.NAME for module in reading.CHAT_FORMATS} | set(suffixes)


def test_a_row_is_kept_edited_dropped_and_all_of_it_undone(rows, tmp_path):
    review = Review(rows)
    before = rows.read_bytes()
    first, second = review.cards(1, 2)
    assert first.origin["recipe"] == "chat"
    assert first.origin["format"] == "KakaoTalk"
    review.decide(1, KEEP)
    review.decide(2, DROP)
    review.edit(3, to_text(review.cards(3, 1)[0].sections).replace("[assistant]\n", "[assistant]\n음, ", 1))
    counts = review.counts()
    assert (counts.rows, counts.kept, counts.edited, counts.dropped, counts.open) == (24, 2, 1, 1, 21)
    counts = Review(rows).counts()  # after a restart too
    assert (counts.kept, counts.dropped) == (2, 1)

    out = tmp_path / "left.jsonl"
    review.write(out)
    review.write_provenance(out)
    left = read(out)
    assert len(left) == 23
    assert left[0] == read(rows)[0]
    assert left[1]["source"]["edited"] is True
    assert left[1]["messages"][1]["content"].startswith("음, ")
    assert second.sections[0][1] not in {row["messages"][0]["content"] for row in left}
    assert Review(out).path == rows  # what is left is looked through as what it is of

    assert [review.undo() for _ in range(4)] == [3, 2, 1, None]
    assert review.counts().open == 24
    assert rows.read_bytes() == before


def test_a_dropped_row_that_was_edited_comes_back_edited(rows):
    review = Review(rows)
    review.edit(1, to_text(review.cards(1, 1)[0].sections) + " 끝.")
    review.decide(1, DROP)
    assert review.counts().edited == 0
    review.decide(1, KEEP)
    assert review.cards(1, 1)[0].sections[-1][1].endswith("끝.")


def test_rows_of_columns_keep_their_columns(tmp_path):
    out = tmp_path / "keys.jsonl"
    make.make(Request((MATERIAL / "lighthouse.md",), recipes=("keywords",), most_tokens=200), out)
    review = Review(out)
    text = to_text(review.cards(1, 1)[0].sections)
    review.edit(1, text.replace("[key2]\n", "[key2]\nlamp", 1))
    review.write(out.with_name("left.jsonl"))
    assert list(read(out.with_name("left.jsonl"))[0]) == list(read(out)[0])
    with pytest.raises(DataError, match="key2"):
        review.edit(1, text.replace("[key2]\n", ""))


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[user]\nhi", "[assistant]\nhi\n\n[user]\nho", "[user]\n\n[assistant]\nho", "[user]\nhi\n[user]\nho"],
)
def test_an_edit_that_loses_the_form_is_refused(rows, text):
    with pytest.raises(DataError) as error:
        Review(rows).edit(1, text)
    assert error.value.key == "material.edited"


def test_a_text_that_names_a_section_comes_back_as_it_was():
    sections = (("user", "a\n[assistant]\n\\[user]\n[user] b"), ("assistant", "c"))
    assert parse_text(to_text(sections), sections) == sections


def test_rows_of_another_kind_are_not_looked_through(style_file):
    with pytest.raises(DataError) as error:
        Review(style_file)
    assert error.value.key == "material.not_made"
    assert provenance.count(source.open_file(style_file), [1]) is None


def test_nothing_is_written_of_rows_that_were_all_dropped(tmp_path):
    rows = tmp_path / "one.jsonl"
    row = {"prompt": "a", "completion": "b", "source": {"file": "f", "place": "1", "recipe": "beginning"}}
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    review = Review(rows)
    review.decide(1, DROP)
    with pytest.raises(DataError) as error:
        review.write(tmp_path / "left.jsonl")
    assert error.value.key == "material.all_dropped"


def test_counts_travel_to_the_run_and_the_card_without_names(here, rows, tmp_path, tiny_config):
    review = Review(rows)
    review.decide(1, DROP)
    review.edit(2, to_text(review.cards(2, 1)[0].sections) + " 끝.")
    left = tmp_path / "left.jsonl"
    review.write(left)
    review.write_provenance(left)
    lines = read(left)
    lines[3]["source"] |= {"recipe": "지연의 비밀", "file": "KakaoTalk_지연.txt"}  # a file that somebody has made
    left.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    review.write_provenance(left)
    config = tiny_config.model_dump(mode="json")
    config["data"]["source"] = {"kind": "file", "name": str(left)}
    del config["data"]["mapping"]
    config["train"]["max_steps"] = 2
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    assert here("train", str(path)).returncode == 0
    run = runs.find("last")
    origin = run.resolved()["material"]
    assert sum(origin["recipes"].values()) == sum(origin["formats"].values()) > 15
    assert origin["recipes"]["other"] == 1
    assert set(origin["formats"]) == {"KakaoTalk"}
    assert (origin["edited"], origin["dropped"], origin["filtered"]) == (1, 1, 0)
    card = "\n".join(model_card._data_facts(load_context(run), []))
    assert "KakaoTalk (" in card
    assert "1 edited, 1 dropped" in card
    kept = b"".join(file.read_bytes() for file in run.path.rglob("*") if file.is_file())
    assert "지연".encode() not in kept
    assert "지연" not in card


def test_what_stands_beside_other_rows_is_not_read(rows):
    provenance.write(rows, {"pair_cut": 2}, 5)
    assert provenance.read(rows)["dropped"] == 5
    rows.write_text(rows.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert provenance.read(rows) == {}
    assert provenance.count(source.open_file(rows), [1, 2])["dropped"] == 0


def test_decisions_about_other_rows_at_the_same_place_do_not_count(rows):
    Review(rows).decide(1, DROP)
    make.make(Request((MATERIAL / "lighthouse.md",), recipes=("beginning",), most_tokens=200), rows)
    assert Review(rows).counts().open == Review(rows).counts().rows
    assert Review(rows).undo() is None
    make.make(Request((EXPORT,), speaker="오로라"), rows)
    assert Review(rows).counts().dropped == 1


@pytest.fixture
def press(rows, monkeypatch, here, tmp_path):
    """Pipes keys into the command, which edits with a program that puts words before an answer."""
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\nf = pathlib.Path(sys.argv[1])\n"
        "f.write_text(f.read_text('utf-8').replace('[assistant]\\n', '[assistant]\\n음, ', 1), 'utf-8')\n"
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    return lambda keys, *options: here("data", "review", str(rows), *options, input=keys)


def test_rows_are_looked_through_in_the_terminal_and_gone_on_with(press, rows, tmp_path):
    first = press("kdx\ne kd")  # what is no key of it means nothing
    assert first.returncode == 0, first.stderr
    counts = Review(rows).counts()
    assert (counts.kept, counts.edited, counts.dropped) == (2, 1, 2)
    assert "Row 1 of 24" in first.stdout
    assert "[assistant]" in first.stdout
    again = press("uuㅏq")  # row 4 is open again and then row 3, which stays edited; the Korean key keeps it
    assert "Row 5 of 24" in again.stdout.splitlines()[0]
    assert "Row 4: the last decision" in again.stdout
    left = tmp_path / "left.jsonl"
    done = press("k" * 30, "--out", str(left))
    assert Review(rows).counts().open == 0
    assert len(read(left)) == 23
    assert "Wrote 23 rows" in done.stdout
    assert provenance.read(left)["dropped"] == 1
    assert press("", "--out", str(rows)).returncode == 1  # the rows themselves are not replaced


def test_an_edit_that_cannot_be_used_changes_nothing(press, rows, monkeypatch):
    monkeypatch.delenv("EDITOR")
    assert "EDITOR" in press("e").stdout
    monkeypatch.setenv("EDITOR", f"{sys.executable} -c \"import sys; open(sys.argv[1], 'w').write('lost')\"")
    assert "lost its form" in press("e").stdout
    assert Review(rows).counts().open == 24


def test_a_row_cannot_command_the_terminal(rows, here):
    content = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a\x1b[2Jb"}]
    row = {"messages": content, "source": {"file": "f", "place": "1", "recipe": "chat"}}
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert "\x1b[2J" not in here("data", "review", str(rows), input="q").stdout
