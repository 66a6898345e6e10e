"""An adapter of the Hub is fetched as models are: only what is needed, stopped at any moment, and never pickled."""

import threading

import outside
import pytest

from studio.errors import CompareError, ModelError
from studio.model import hub_adapters, hub_models

ID = "someone/captain"
CANARY = "hf_canarycanarycanary"


class Cancelled(Exception):
    pass


@pytest.fixture
def stand_in(hub_stand_in, tmp_path, tiny_model):
    folder = outside.make(tmp_path / "captain", tiny_model, "someone/tiny", r=64)  # more than one part of a file
    for name in ("training_args.bin", "optimizer.pt", "handler.py", "tokenizer.json"):
        (folder / name).write_bytes(b"not wanted")
    (folder / "checkpoint-9").mkdir()
    (folder / "checkpoint-9" / "adapter_model.safetensors").write_bytes(b"not wanted")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    hub_stand_in.add(ID, folder)
    return hub_stand_in


def test_only_settings_weights_and_template_are_fetched_and_then_found_without_the_hub(stand_in):
    told = []
    folder = hub_adapters.fetch(ID, told.append)
    assert {path.name for path in folder.iterdir()} == {*outside.FILES, "chat_template.jinja"}
    assert set(stand_in.fetched()) == {*outside.FILES, "chat_template.jinja"}
    assert told == sorted(told)
    assert told[-1] == 1.0
    asked = len(stand_in.requests)
    assert hub_adapters.local_folder(ID) == folder
    assert hub_adapters.fetch(ID) == folder
    assert hub_adapters.fetched() == {ID: folder}
    assert len(stand_in.requests) == asked


def test_a_revision_is_fetched_and_offered_as_it_was_named(stand_in):
    commit = stand_in.repositories[ID].commit
    folder = hub_adapters.fetch(f"{ID}@{commit}")
    assert folder.name == commit
    assert hub_adapters.fetched() == {f"{ID}@{commit}": folder}
    assert hub_adapters.local_folder(f"{ID}@{commit}") == folder


def test_pickled_weights_are_refused_unfetched_with_why_and_what_to_do(hub_stand_in, tmp_path, tiny_model):
    hub_stand_in.add(ID, outside.make(tmp_path / "pickled", tiny_model, "someone/tiny", pickled=True))
    with pytest.raises(CompareError, match=r"adapter_model\.bin.*can run code.*Ask its author") as caught:
        hub_adapters.fetch(ID)
    assert caught.value.key == "compare.hub.pickled"
    assert hub_stand_in.fetched() == []


def test_a_whole_model_is_no_adapter(hub_stand_in):
    with pytest.raises(CompareError, match="is not an adapter"):
        hub_adapters.fetch("someone/tiny")
    assert hub_stand_in.fetched() == []


def test_an_adapter_without_weights_and_a_huge_one_are_refused_unfetched(stand_in, monkeypatch):
    monkeypatch.setattr(hub_adapters, "MAX_WEIGHT_BYTES", 1000)
    with pytest.raises(CompareError, match="too large"):
        hub_adapters.fetch(ID)
    (stand_in.repositories[ID].folder / outside.FILES[1]).unlink()
    for name in ("training_args.bin", "optimizer.pt"):
        (stand_in.repositories[ID].folder / name).unlink()
    with pytest.raises(CompareError, match="has no weights"):
        hub_adapters.fetch(ID)
    assert stand_in.fetched() == []


def test_a_cancelled_fetch_leaves_nothing_half(stand_in, tmp_path):
    stand_in.hold = threading.Event()

    def going(share):
        if stand_in.halfway.is_set():
            raise Cancelled

    with pytest.raises(Cancelled):
        hub_adapters.fetch(ID, going)
    assert list(tmp_path.rglob("*.incomplete")) == []
    assert hub_adapters.fetched() == {}
    stand_in.hold.set()
    assert hub_adapters.fetch(ID).is_dir()


def test_a_token_is_for_one_call_and_refusals_never_tell_it(stand_in, tmp_path, home):
    repository = stand_in.repositories[ID]
    repository.gated = True
    with pytest.raises(ModelError, match=f"{stand_in.url}/{ID}"):
        hub_adapters.fetch(ID)
    stand_in.tokens.add(CANARY)
    with pytest.raises(ModelError) as caught:
        hub_adapters.fetch(ID, token=CANARY)
    assert caught.value.key == "model.gated"
    assert CANARY not in str(caught.value)
    repository.readers = {CANARY}
    hub_adapters.fetch(ID, token=CANARY)
    assert [p for p in tmp_path.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()] == []


@pytest.mark.parametrize("name", ["captain", "a/b/c", "a/b@", "../etc/x", "https://huggingface.co/a/b", ""])
def test_what_is_no_id_is_told(stand_in, name):
    with pytest.raises(CompareError, match="is not an id of the Hub"):
        hub_adapters.fetch(name)
    assert stand_in.requests == []


def test_missing_offline_and_a_full_disk_are_told_in_words_of_an_adapter(stand_in, monkeypatch):
    for name in ("someone/nothing", f"{ID}@v9"):
        with pytest.raises(CompareError) as caught:
            hub_adapters.fetch(name)
        assert caught.value.key == "compare.hub.unknown"
    with monkeypatch.context() as patched:
        patched.setattr(hub_models, "free_disk", lambda folder: 10**6)
        with pytest.raises(CompareError, match="too full for this adapter"):
            hub_adapters.fetch(ID)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CompareError, match="Hub cannot be reached"):
        hub_adapters.fetch(ID)
    with pytest.raises(CompareError, match="not on this machine"):
        hub_adapters.local_folder(ID)
