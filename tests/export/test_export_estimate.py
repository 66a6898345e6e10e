"""What an export will weigh is known before it is made, and what lies there is told as it is."""

import math
import os
from types import SimpleNamespace

import pytest

from studio.errors import ExportError
from studio.export import adapter, export_folder, gguf_file, inventory, merge, script
from studio.export.export_context import load_context
from studio.export.inventory import estimate_export, find_export, instructions, list_exports, stamp
from studio.export.request import KINDS
from studio.export.verify import verification
from studio.export.verify.verification import Agreement, Verification
from studio.files import size_of
from studio.i18n import has
from studio.model.adapter_files import BASE_RECORD, WEIGHTS


def on_progress(phase, share):
    pass


def written(run, kind):
    found, folder = load_context(run), export_folder.place(run, kind, None)
    if kind == "merged":
        return merge.export(found, folder, "float32", on_progress)
    return {"adapter": adapter.export, "example": adapter.export_example, "script": script.export}[kind](found, folder)


@pytest.mark.parametrize("kind", ["adapter", "example", "script", "merged"])
def test_what_is_foretold_is_what_it_weighs(finished_run, kind):
    found = estimate_export(finished_run, kind, "float32", "float32")
    assert found.blocker is None
    folder = written(finished_run, kind)
    texts = 60_000  # card, script and settings, which are not foretold
    assert found.bytes <= size_of(folder) <= found.bytes + texts
    names = {path.name for path in folder.rglob("*")}
    foretold = {name for part in found.parts for name in part.files.split(", ") if name.rstrip("/…")}
    assert {name.rstrip("/") for name in foretold} <= names


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_part_has_words(finished_run, kind):
    found = estimate_export(finished_run, kind, "float32")
    keys = [f"kinds.{kind}.{each}" for each in ("name", "use", "next")] + [f"parts.{part.name}" for part in found.parts]
    assert found.parts
    assert [key for key in keys if not has(f"ui.export.{key}")] == []


def test_a_merged_model_is_foretold_in_16_bit_and_its_reason_is_named(finished_run):
    half, whole = (estimate_export(finished_run, "merged", "float32", wanted) for wanted in ("auto", "float32"))
    assert half.precision.value == "bfloat16"
    assert half.precision.reason.text("ko")
    assert half.parts[0].bytes * 2 == whole.parts[0].bytes


@pytest.mark.parametrize(
    ("wanted", "bits", "peak_bits"), [("float16", 16, 32), ("auto", 8.5, 24.5), ("q4_k_m", 6.3, 32)]
)
def test_a_gguf_file_needs_room_for_the_merged_model_too(finished_run, monkeypatch, wanted, bits, peak_bits):
    whole = estimate_export(finished_run, "merged", "float32", "float32").parts[0].bytes
    found = estimate_export(finished_run, "gguf", "float32", wanted)
    assert found.bytes == pytest.approx(whole * bits / 32, abs=1)
    peak = whole * peak_bits / 32
    for free, fits in ((int(0.99 * peak), False), (int(1.01 * peak), True)):
        monkeypatch.setattr("shutil.disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert (estimate_export(finished_run, "gguf", "float32", wanted).blocker is None) == fits


def test_what_stands_in_the_way_is_told_before(finished_run, monkeypatch):
    (finished_run.path / "data" / "order.npy").unlink()
    assert estimate_export(finished_run, "script", "float32").blocker.key == "errors.export.no_record"
    monkeypatch.setattr(inventory.merge, "weight_bytes", lambda base, dtype: 1 << 60)
    full = estimate_export(finished_run, "merged", "float32")
    assert full.blocker.key == "errors.home.full"
    assert full.parts
    (finished_run.adapter / WEIGHTS).unlink()
    assert estimate_export(finished_run, "adapter", "float32").blocker.key == "errors.export.no_adapter"


def test_a_result_of_a_check_belongs_to_the_export_that_was_checked(finished_run):
    assert list_exports(finished_run) == []
    folder = written(finished_run, "adapter")
    agreement = Agreement(8, 8, 0, 1.0, None, (2.0, 2.0))
    verification.save(Verification("adapter", "float32", agreement, "held_out", (3, 3), made=1.0), folder)
    [found] = list_exports(finished_run)
    assert (found.kind, found.verification.passed, found.is_outdated) == ("adapter", True, False)
    assert [size for _, size in found.files] == sorted((size for _, size in found.files), reverse=True)
    assert found.bytes == size_of(folder) - (folder / BASE_RECORD).stat().st_size
    before = stamp(finished_run)
    later = verification.path_of(folder).stat().st_mtime + 5
    os.utime(folder / BASE_RECORD, (later, later))
    assert find_export(finished_run, "adapter").verification is None
    assert stamp(finished_run) != before
    os.utime(finished_run.adapter / WEIGHTS, (later + 5, later + 5))
    assert find_export(finished_run, "adapter").is_outdated


def test_a_result_of_another_version_is_no_result(finished_run):
    folder = written(finished_run, "adapter")
    for content in ("{", "[]", '{"passed": true, "said": [], "agreement": {"no": 1}, "distance": null}'):
        verification.path_of(folder).write_text(content, encoding="utf-8")
        assert find_export(finished_run, "adapter").verification is None


def test_how_it_is_used_names_its_folder_and_its_script(finished_run):
    written(finished_run, "adapter")
    lines = instructions(find_export(finished_run, "adapter"), "/home/my adapter", "Käpt'n 선장").splitlines()
    assert lines == ["cd '/home/my adapter'", "pip install -r requirements.txt", 'python ask.py "How are you?"']


def test_an_export_that_is_not_there_is_not_checked(finished_run):
    from studio import gpu
    from studio.errors import ExportError
    from studio.export.request import ExportRequest

    with pytest.raises(ExportError) as raised:
        gpu.thread().export(ExportRequest(finished_run.id, "adapter", verify=True, write=False)).result()
    assert raised.value.key == "export.not_made"


@pytest.mark.parametrize(
    ("sizes", "wanted", "outcome"),
    [
        ((48, 96), "auto", ("float16", "gguf_float16")),
        ((48, 96), "q8_0", ("q8_0", "gguf_partly")),
        ((48, 96), "q4_k_m", "errors.export.rows_not_in_blocks"),
        ((64, 80), "auto", ("q8_0", "gguf_partly")),
        ((64, 80), "q4_k_m", ("q4_k_m", "gguf_partly")),
        ((64, 96), "auto", ("q8_0", "gguf_q8_0")),
    ],
)
def test_rows_that_are_not_whole_blocks_are_known_before(finished_run, monkeypatch, sizes, wanted, outcome):
    """What llama.cpp does with such models was seen with its converter and its quantizer, on tiny ones."""
    width, inner = sizes
    shapes = {"embed": [1000, width], "up": [inner, width], "down": [width, inner], "norm": [width], "conv": [width, 4]}
    total = sum(math.prod(shape) for shape in shapes.values())
    monkeypatch.setattr(gguf_file, "headers", lambda base: {name: {"shape": shape} for name, shape in shapes.items()})
    monkeypatch.setattr(gguf_file, "parameters", lambda base: total)
    monkeypatch.setattr(gguf_file, "has_llama_cpp", lambda: True)
    base = load_context(finished_run).base
    settings = {**base.settings, "hidden_size": width}

    if isinstance(outcome, str):
        with pytest.raises(ExportError) as raised:
            gguf_file.plan("float32", base.path, settings, wanted)
        assert raised.value.key == outcome.removeprefix("errors.")
        assert "--precision float16" in str(raised.value)
        return
    planned = gguf_file.plan("float32", base.path, settings, wanted)
    assert (planned.precision.value, planned.precision.reason.key) == (outcome[0], f"choice.precision.{outcome[1]}")
    if sizes == (64, 80) and wanted == "auto":
        left = width * inner  # the down projection alone has rows of 80
        assert planned.bytes == pytest.approx((left * 16 + (total - left) * 8.5) / 8, abs=1)
        assert f"{left / total:.0%}" in planned.precision.reason.text()
