"""What is small outside and large inside is refused, or read in parts: in a process that may have little memory."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("resource")
ROOT = Path(__file__).parent.parent.parent
ROOM = 1200 * 1024**2
"""Bytes that the child may take on top of what its libraries hold."""
CHILD = """
import resource, sys
from studio.config import RunConfig
from studio.data import prepare, source
from studio.errors import StudioError
import pandas, pyarrow.parquet, openpyxl
pyarrow.array(["x" * 10**7]).take(pyarrow.array([0]))  # Arrow reserves addresses with its first array
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + {room}, held + {room}))
config = RunConfig().with_settings({{"data.source": {{"kind": "file", "name": sys.argv[1]}}}})
try:
    table = prepare.table(config.data)
    print("read", len(table.columns), sum(1 for _ in table.reader.rows(0, 3)))
except StudioError as error:
    print("refused", error)
"""


def sparse(path, head=b""):
    """Make a file of 20 GB that takes no room."""
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(20 * 1024**3)


def spreadsheet(path):
    parts = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with parts, parts.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
        for _ in range(300):
            part.write(b" " * 1024**2)


def deep(path):
    path.write_text('{"a":' * 200_000 + "1" + "}" * 200_000, encoding="utf-8")


def dictionary(path):
    """Make a file of a kilobyte in which one text of 20 MB stands 1000 times."""
    import pyarrow
    from pyarrow import parquet

    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1000, "int32"), ["x" * 20_000_000])
    parquet.write_table(pyarrow.table({"question": texts, "answer": ["b"] * 1000}), path, compression="zstd")


def lists(path):
    """Make one row that holds one text of 1 MB 2000 times."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"question": [["x" * 10**6] * 2000], "answer": ["b"]}), path, compression="zstd")


def dictionary_in_arrow(path):
    import pyarrow

    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1000, "int32"), ["x" * 20_000_000])
    table = pyarrow.table({"question": texts, "answer": ["b"] * 1000})
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def wide(path):
    path.write_text(",".join(f"c{n}" for n in range(200_000)) + "\n" + "," * 199_999 + "\n", encoding="utf-8")


MADE = {
    "zeros.csv": sparse,
    "zeros.jsonl": sparse,
    "zeros.txt": sparse,
    "head.csv": lambda path: sparse(path, b"question,answer\na,b\n"),
    "zeros.parquet": sparse,
    "sheet.xlsx": spreadsheet,
    "deep.json": deep,
    "deep.jsonl": deep,
    "wide.csv": wide,
    "dictionary.parquet": dictionary,
    "lists.parquet": lists,
    "dictionary.arrow": dictionary_in_arrow,
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize("name", MADE)
def test_a_bomb_is_refused_or_read_in_parts(tmp_path, name):
    MADE[name](tmp_path / name)

    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(room=ROOM), str(tmp_path / name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.split(" ")[0] in ("read", "refused"), done.stderr[-800:]


LARGE = """
import resource, sys
from pathlib import Path
from studio.data import source
from studio.data.readers import columnar
from studio.data.readers.base import BadRow
from studio.errors import DataError

columnar.MEMORY = 256 << 20
try:
    kinds = [row.kind if isinstance(row, BadRow) else "row" for row in source.open_file(Path(sys.argv[1])).rows()]
    print("read", *kinds)
except DataError as error:
    print("refused", error.key)
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def cells(name):
    """Return a table of one large cell."""
    import numpy
    import pyarrow

    text = "x" * (30 if "small" in name else 300) * 2**20
    if "dictionary" in name:
        return pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 20, "int32"), [text])
    if "numbers" in name:
        return pyarrow.array([numpy.zeros(7 * 10**7, "int32")], pyarrow.list_(pyarrow.int32()))
    if "nulls" in name:  # which take no room in the file
        return pyarrow.ListArray.from_arrays(pyarrow.array([0, 10**9], "int32"), pyarrow.nulls(10**9))
    if "view" in name:
        child = pyarrow.array(["x" * 2**20] * 100)
        return pyarrow.ListViewArray.from_arrays([0] * 100, [100] * 100, child)
    return pyarrow.array([text, "short"])


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("text.parquet", "refused data.unpacks"),
        ("small text.parquet", "read too_long row"),
        ("dictionary.parquet", "refused data.unpacks"),
        ("small dictionary.parquet", "refused data.no_readable_row"),
        ("numbers.parquet", "refused data.unpacks"),
        ("text.arrow", "refused data.unpacks"),
        ("small text.arrow", "read too_long row"),
        ("nulls.arrow", "refused data.no_readable_row"),
        ("view.arrow", "refused data.damaged"),
    ],
)
def test_one_huge_cell_is_never_in_memory(tmp_path, name, answer):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"question": cells(name)})
    if name.endswith(".parquet"):
        parquet.write_table(table, tmp_path / name, compression="zstd", use_dictionary="dictionary" in name)
    else:
        options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
        with pyarrow.ipc.new_file(tmp_path / name, table.schema, options=options) as writer:
            writer.write_table(table)
    assert (tmp_path / name).stat().st_size < 100_000

    command = [sys.executable, "-c", LARGE, str(tmp_path / name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    told, own, of_children = done.stdout.splitlines()
    assert told == answer
    assert int(own) < 150
    assert int(of_children) < 500
