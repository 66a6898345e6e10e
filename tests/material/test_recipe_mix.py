"""Several recipes in one making: which passages each gets, and in which shape the rows are."""

import json
from pathlib import Path

import endpoint_stand_in
import pytest

from studio.material import endpoint
from studio.material.endpoint import ConfirmationRequired, Endpoint, EndpointWriter
from studio.material.make import interleave, make, share_out
from studio.material.reading import Request

MATERIAL = Path(__file__).parents[2] / "presets" / "material"
CHAT, BOOK = MATERIAL / "kakaotalk.txt", MATERIAL / "lighthouse.md"


def rows_of(tmp_path, paths, recipes, writer=None, **more):
    out = tmp_path / "rows.jsonl"
    request = Request(tuple(paths), recipes=recipes, most_tokens=120, **more)
    summary = make(request, out, writer=writer)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    counted = {name: sum(row["source"]["recipe"] == name for row in rows) for name in recipes}
    assert summary.recipes == counted
    return summary, rows


def completion(row):
    return row["completion"] if "completion" in row else row["messages"][-1]["content"]


def test_every_item_is_in_one_share_and_the_shares_are_even():
    shares = share_out(range(11), 3)
    assert sorted(item for share in shares for item in share) == list(range(11))
    assert [len(share) for share in shares] == [4, 4, 3]
    assert max(map(len, share_out([1], 3))) == 1


def test_rows_come_in_turn_until_each_stream_has_ended():
    streams = [iter([{"n": 1}, {"n": 2}, {"n": 3}]), iter([]), iter([{"n": 9}])]
    assert [row["n"] for row in interleave(streams)] == [1, 9, 2, 3]


def test_shared_passages_are_trained_once_and_the_others_in_every_way(tmp_path):
    recipes = ("keywords", "beginning")
    summary, shared = rows_of(tmp_path, [BOOK], recipes)
    places = [row["source"]["place"] + completion(row)[-40:] for row in shared]
    assert len(set(places)) == len(places)
    assert all(row.keys() == {"prompt", "completion", "source"} for row in shared)
    assert [row["source"]["recipe"] for row in shared[:4]] == ["keywords", "beginning"] * 2
    assert shared[0]["prompt"].count(", ") == 4
    assert abs(summary.recipes["keywords"] - summary.recipes["beginning"]) <= 2 + summary.left_out["no_rest"]
    assert rows_of(tmp_path, [BOOK], recipes)[1] == shared  # no luck in it
    _, every = rows_of(tmp_path, [BOOK], recipes, every_way=True)
    assert len(every) > 1.5 * len(shared)
    alone = [rows_of(tmp_path, [BOOK], (name,))[0].rows for name in recipes]
    assert len(every) == sum(alone)


def test_a_chat_and_a_book_become_conversations_of_one_shape(tmp_path):
    given = {"speaker": "오로라", "least_tokens": 4, "silence": 3600.0}
    summary, rows = rows_of(tmp_path, [CHAT, BOOK], ("chat", "beginning"), **given)
    assert all(row.keys() == {"messages", "source"} for row in rows)
    assert all(row["messages"][0]["role"] == "user" and row["messages"][-1]["role"] == "assistant" for row in rows)
    assert min(summary.recipes.values()) > 3
    assert {row["source"]["format"] for row in rows} == {"KakaoTalk", "md"}
    by_recipe = {
        name: {t["content"] for row in rows if row["source"]["recipe"] == name for t in row["messages"]}
        for name in ("chat", "beginning")
    }
    assert not by_recipe["chat"] & by_recipe["beginning"]
    assert sum(summary.left_out[kind] for kind in ("other_file", "pair_cut")) == 0
    every, _ = rows_of(tmp_path, [CHAT, BOOK], ("chat", "beginning"), every_way=True, **given)
    alone, _ = rows_of(tmp_path, [CHAT], ("chat",), speaker="오로라", silence=3600.0)
    assert every.recipes["chat"] == alone.rows > summary.recipes["chat"]
    assert every.left_out["other_speaker"] == 0  # they are the prompts


def test_all_that_an_endpoint_is_asked_is_told_before_anything_is_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "BACKOFF_SECONDS", 0.0)
    recipes = ("plain", "question", "beginning")
    with endpoint_stand_in.serve() as served:

        def making(confirmed):
            return rows_of(tmp_path, [BOOK], recipes, EndpointWriter(Endpoint(served.url, "m"), confirmed))

        with pytest.raises(ConfirmationRequired) as required:
            making(None)
        assert served.requests == []
        cost = required.value.cost
        served.write = lambda prompt: prompt.rpartition("\n\n")[2][:60] + "?"
        summary, rows = making(cost)
        assert len(served.requests) == cost.requests
        prompts = "\n".join(served.prompts)
        assert len([row for row in rows if completion(row)[:50] in prompts]) <= cost.requests
        assert summary.recipes["beginning"] > 0


def test_the_limit_is_one_of_each_recipe_that_asks_a_model(tmp_path):
    with endpoint_stand_in.serve() as served:
        writer = EndpointWriter(Endpoint(served.url, "m"))
        with pytest.raises(ConfirmationRequired) as required:
            rows_of(tmp_path, [BOOK], ("plain", "question"), writer, limit=2)
    assert required.value.cost.requests == 4


@pytest.mark.parametrize(
    ("instructions", "works"), [(("plain=Say: {text}", "question=Ask: {text}"), True), (("Say: {text}",), False)]
)
def test_two_recipes_have_an_instruction_each(here, tmp_path, instructions, works):
    options = [part for each in instructions for part in ("--instruction", each)]
    with endpoint_stand_in.serve() as served:
        options += ["--endpoint", served.url, "--endpoint-model", "m", "--recipe", "plain", "--recipe", "question"]
        asked = here("data", "make", str(BOOK), "-o", str(tmp_path / "rows.jsonl"), *options)
        assert served.requests == []
    assert asked.returncode == (0 if works else 1), asked.stderr
    assert ("names no recipe" in asked.stderr) is not works


def test_the_command_counts_the_rows_of_each_recipe(here, tmp_path, tiny_model):
    out = tmp_path / "rows.jsonl"
    options = ("--recipe", "keywords", "--recipe", "beginning", "--max-tokens", "120")
    printed = here("data", "make", str(BOOK), "-o", str(out), *options)
    assert printed.returncode == 0, printed.stderr
    assert "five keywords" in printed.stdout
    told = json.loads(here("data", "make", str(BOOK), "-o", str(out), *options, "--json").stdout)
    assert set(told["recipes"]) == {"keywords", "beginning"}
    assert sum(told["recipes"].values()) == told["rows"]
    report = json.loads(here("data", "inspect", str(out), "--model", str(tiny_model), "--json").stdout)
    assert report["usable"] == told["rows"]
