"""A data set of the Hub is read from its own repository at one commit, whatever its README names."""

import functools
import json
import os

import pytest

from studio.config import SourceConfig
from studio.data import hub_datasets
from studio.errors import DataError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BASE = f"hf://datasets/someone/set@{COMMIT}"
CANARY = "canary-77aa"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text(f"question,answer\n{CANARY},x\n", encoding="utf-8")
    return path


@pytest.fixture
def hub_of(tmp_path, monkeypatch):
    """Return a function that puts a README into the data set; what is asked of anything else is written down."""
    import datasets.load
    from huggingface_hub import HfApi, errors

    folder = tmp_path / "cache" / COMMIT
    folder.mkdir(parents=True)
    opened = []

    def put(head):
        (folder / "README.md").write_text(f"---\n{json.dumps(head)}\n---\n", encoding="utf-8")
        return opened

    def download(self, repo_id, filename, **settings):
        if filename != "README.md":
            raise errors.EntryNotFoundError("none")
        return str(folder / filename)

    def url_to_fs(pattern, **settings):
        opened.append(pattern)
        if pattern.startswith("hf:"):
            raise FileNotFoundError(pattern)
        return plain(pattern, **settings)

    plain = datasets.data_files.url_to_fs
    monkeypatch.setattr(hub_datasets, "reachable", lambda: True)
    monkeypatch.setattr(datasets.load, "_raise_if_offline_mode_is_enabled", lambda *args: None)
    monkeypatch.setattr(HfApi, "hf_hub_download", download)
    monkeypatch.setattr(datasets.load, "cached_path", functools.partial(_nothing))
    monkeypatch.setattr(datasets.data_files, "url_to_fs", url_to_fs)
    return put


def _nothing(*args, **settings):
    raise FileNotFoundError


FOREIGN = [
    "{secret}",
    "{folder}/*.csv",
    "file://{secret}",
    "data/../../../{secret}",
    "../other/x.csv",
    "http://127.0.0.1:9/x.csv",
    "https://attacker.example/x.csv",
    "ftp://attacker.example/x.csv",
    "s3://bucket/x.csv",
    "zip://x.csv::http://127.0.0.1:9/x.zip",
    "zip://x.csv::{secret}",
    "filecache::file://{secret}",
    f"{BASE}/x.csv::{{secret}}",
    "hf://datasets/other/set/x.csv",
    "hf://datasets/someone/set@main/x.csv",
    f"hf://datasets/someone/settler@{COMMIT}/x.csv",
    f"{BASE}/../../../x.csv",
    f"file://x::{BASE}/x.csv",
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("pattern", FOREIGN)
def test_files_outside_of_the_repository_are_refused_before_anything_opens_them(hub_of, secret, pattern, streaming):
    named = pattern.format(secret=secret, folder=secret.parent)
    opened = hub_of({"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": named}]}]})
    source = SourceConfig(kind="hub", name="someone/set")

    with pytest.raises(DataError, match="outside of its own repository"):
        hub_datasets.first_rows(source, 3) if streaming else hub_datasets.fetch(source)

    assert not opened


@pytest.mark.parametrize("folder", ["/etc", "{folder}", "../../..", "http://127.0.0.1:9/", "file:///etc"])
def test_a_folder_outside_of_the_repository_is_refused(hub_of, secret, folder):
    named = folder.format(folder=secret.parent)
    opened = hub_of({"configs": [{"config_name": "default", "data_dir": named}]})

    with pytest.raises(DataError):
        hub_datasets.first_rows(SourceConfig(kind="hub", name="someone/set"), 3)
    with pytest.raises(DataError):
        hub_datasets.structure("someone/set")

    assert all(each.startswith(f"{BASE}/") and ".." not in each for each in opened)


@pytest.mark.parametrize("pattern", ["data/*.csv", "x.csv", f"{BASE}/x.csv", f"zip://*.csv::{BASE}/x.zip"])
def test_files_of_the_repository_are_looked_for_there(hub_of, pattern):
    opened = hub_of({"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": pattern}]}]})

    with pytest.raises(DataError) as raised:
        hub_datasets.first_rows(SourceConfig(kind="hub", name="someone/set"), 3)

    assert "outside" not in str(raised.value)
    assert opened
    assert all(each.split("::")[-1].startswith(f"{BASE}/") for each in opened)


def test_files_of_this_machine_are_found_as_ever_when_no_data_set_of_the_hub_is_asked_for(secret):
    import datasets

    hub_datasets._guard_files()
    rows = datasets.load_dataset("csv", data_files=str(secret), split="train", cache_dir=str(secret.parent / "cache"))
    assert rows[0]["question"] == CANARY


@pytest.mark.parametrize("name", ["presets/data", "set", "json", "csv", "text", "parquet"])
def test_an_id_that_is_a_folder_or_a_reader_here_is_no_id(tmp_path, monkeypatch, secret, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub_datasets, "reachable", lambda: True)
    if name in ("presets/data", "set"):
        os.makedirs(name)
        os.link(secret, f"{name}/train.csv")

    for ask in (
        hub_datasets.fetch,
        lambda source: hub_datasets.first_rows(source, 1),
        lambda source: hub_datasets.structure(source.name),
    ):
        with pytest.raises(DataError) as raised:
            ask(SourceConfig(kind="hub", name=name))
        assert ("as a dataset id" in str(raised.value)) == (name in ("presets/data", "set"))


def test_a_path_in_a_cell_is_not_opened(tmp_path, monkeypatch):
    import datasets
    from PIL import Image

    picture = tmp_path / "private.png"
    Image.new("RGB", (2, 2)).save(picture)
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    rows = datasets.Dataset.from_dict({"image": [{"path": str(picture), "bytes": None}], "text": ["x"]}, features)
    monkeypatch.setattr(hub_datasets, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **settings: rows.to_iterable_dataset())
    monkeypatch.setattr("builtins.open", functools.partial(_recorded, open, tmp_path))

    row = hub_datasets.first_rows(SourceConfig(kind="hub", name="someone/set"), 1)[0]

    assert row == {"image": {"path": str(picture), "bytes": None}, "text": "x"}
    hub_datasets.fetch(SourceConfig(kind="hub", name="someone/set"), limit=1)


def _recorded(plain, folder, file, *args, **settings):
    assert not str(file).endswith("private.png")
    return plain(file, *args, **settings)
