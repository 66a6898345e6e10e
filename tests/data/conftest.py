"""What the tests of readers and detection share."""

import pytest

from studio.data import source
from studio.files import write_json_lines


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file and opens it as a table."""

    def opened(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return source.open_file(path)

    return opened


@pytest.fixture
def table(tmp_path):
    """Return a function that makes a table of rows."""

    def make(*rows: dict):
        path = tmp_path / "table.jsonl"
        write_json_lines(path, rows)
        return source.open_file(path)

    return make
