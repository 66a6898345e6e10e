"""Data sets of the Hub: what leaves this machine, what is kept, and what is said when it cannot be had."""

import time

import datasets
import pytest
from datasets.exceptions import DatasetNotFoundError

from studio.config import DataConfig, SourceConfig
from studio.data import hub_datasets, prepare, source
from studio.errors import DataError

ROWS = [{"input": f"문맥 {n}", "target": f"질문 {n}?"} for n in range(30)]


@pytest.fixture
def asked(monkeypatch):
    """Stand in for the Hub: every call is recorded, and answered with `ROWS`."""
    calls = []

    def load_dataset(name, subset, *, split, revision, token, streaming):
        calls.append({"name": name, "subset": subset, "split": split, "token": token, "streaming": streaming})
        rows = datasets.Dataset.from_list(ROWS)
        return rows.to_iterable_dataset() if streaming else rows

    monkeypatch.setattr(hub_datasets, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_a_split_is_fetched_once_and_read_like_any_file(asked):
    wanted = SourceConfig(kind="hub", name="someone/socratic", split="validation")
    for _ in range(2):
        table = source.open_table(wanted)
        assert list(table.rows()) == ROWS
        assert table.names == ["input", "target"]
    assert [(call["split"], call["streaming"]) for call in asked] == [("validation", False)]


def test_what_was_fetched_is_there_without_a_network(asked, monkeypatch):
    wanted = SourceConfig(kind="hub", name="someone/socratic")
    hub_datasets.fetch(wanted)
    monkeypatch.setattr(hub_datasets, "reachable", lambda: False)
    assert source.open_table(wanted).count == 30
    with pytest.raises(DataError, match="cannot be reached"):
        source.open_table(wanted.model_copy(update={"split": "test"}))


def test_a_limit_asks_for_no_more_than_its_rows(asked):
    data = DataConfig(source=SourceConfig(kind="hub", name="someone/socratic"), limit=10)
    assert prepare.table(data).count == 10
    assert asked[0]["streaming"] is True
    assert prepare.table(data.model_copy(update={"limit": None})).count == 30
    assert prepare.table(data).count == 30  # all of it is here now, and the limit takes the first of it
    assert len(asked) == 2


def test_the_first_rows_are_streamed(asked):
    assert hub_datasets.first_rows(SourceConfig(kind="hub", name="someone/socratic"), 3) == ROWS[:3]
    assert asked[0]["streaming"] is True


def test_a_token_is_handed_on_and_kept_nowhere(asked, cache):
    hub_datasets.fetch(SourceConfig(kind="hub", name="someone/socratic"), token="hf_canary")
    assert asked[0]["token"] == "hf_canary"
    for path in cache.rglob("*"):
        assert "hf_canary" not in path.name
        assert path.is_dir() or b"hf_canary" not in path.read_bytes()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DatasetNotFoundError("Dataset 'a/b' is a gated dataset on the Hub."), "is gated"),
        (DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub or cannot be accessed."), "no dataset"),
        (ValueError("Unknown split 'tset'. Should be one of ['train', 'test']."), "['train', 'test']"),
        (ConnectionError("hf_canary"), "answered with an error"),
        (RuntimeError("Dataset scripts are no longer supported"), "answered with an error"),
    ],
)
def test_what_goes_wrong_is_told_apart_and_the_token_is_never_said(monkeypatch, error, said):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(hub_datasets, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError) as caught:
        hub_datasets.fetch(SourceConfig(kind="hub", name="a/b"), token="hf_canary")
    assert said in str(caught.value)
    assert "hf_canary" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["https://evil.invalid/x", "/etc/passwd", "../../x", "a/b/c", "zip://x", "x y", "data.csv::z"]
)
def test_what_is_no_id_is_refused_before_anything_is_asked(asked, name):
    with pytest.raises(DataError, match="not a dataset id"):
        hub_datasets.fetch(SourceConfig(kind="hub", name=name))
    assert asked == []


def test_offline_is_told_within_five_seconds(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://nobody.invalid")
    began = time.monotonic()
    with pytest.raises(DataError, match="cannot be reached"):
        hub_datasets.structure("someone/socratic")
    assert time.monotonic() - began < 5
