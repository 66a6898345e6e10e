"""How opening and scanning a data set grow with its rows: time to a first preview, time of the scan, peak memory.

python -m tests.bench.data_size [ROWS ...]    (default: 10000 100000 1000000; the last takes about ten minutes)
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SYLLABLES = ("ma", "sol", "ten", "riv", "bel", "cor", "dan")
WORDS = [f"{first}{last}" for first in SYLLABLES for last in ("a", "e", "or", "ing", "is", "um")]


def make(path: Path, rows: int) -> None:
    """Write a JSONL of questions and answers of about a thousand bytes a row."""
    draw = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(rows):
            question = " ".join(draw.choices(WORDS, k=20))
            answer = " ".join(draw.choices(WORDS, k=190))
            file.write(json.dumps({"instruction": f"{number} {question}?", "output": answer}) + "\n")


def measure(path: Path) -> dict[str, float]:
    """Open and scan `path` in this process, and return the figures."""
    from studio.config import RunConfig
    from studio.data import prepare
    from studio.data.preview import preview_row

    config = RunConfig().with_settings({"data.source": {"kind": "file", "name": str(path)}})
    began = time.perf_counter()
    table = prepare.table(config.data)
    shown = [table.names, table.first[:50], prepare.mapping(config.data), preview_row(config, 0).spans]
    first = time.perf_counter() - began
    assert all(shown)
    prepare.inspect(config)
    scanned = time.perf_counter() - began - first
    began = time.perf_counter()
    prepare.inspect(config)
    again = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": table.count, "first": first, "scan": scanned, "again": again, "peak": peak}


def main() -> None:
    """Measure each size in a process and a cache of its own, and print a table."""
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    print("     rows     MB   preview, s   scan, s   ms a row   cached, s   peak, MB")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / f"{size}.jsonl"
            make(path, size)
            models = Path(os.environ["RESTYLE_CACHE"]) / "models" if "RESTYLE_CACHE" in os.environ else None
            cache = Path(folder) / f"cache-{size}"
            cache.mkdir()
            if models is None:
                from studio.files import cache as users

                models = users() / "models"
            (cache / "models").symlink_to(models)
            environment = os.environ | {"RESTYLE_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
            command = [sys.executable, "-m", "tests.bench.data_size", "--one", str(path)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            got = json.loads(done.stdout.splitlines()[-1])
            row = f"{size:9,} {path.stat().st_size / 1e6:6.0f} {got['first']:12.2f} {got['scan']:9.1f}"
            print(f"{row} {1000 * got['scan'] / size:10.3f} {got['again']:11.2f} {got['peak']:10.0f}", flush=True)
            path.unlink()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        from studio.model.hardware import prepare_process

        prepare_process()
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        main()
