"""Uploads are checked before they are kept, each once, and a zip from anybody does no harm."""

import shutil
import stat
import struct
import warnings
import zipfile

import outside
import pytest

from studio.errors import CompareError, HomeError
from studio.model import uploaded_adapters

NAMES = outside.FILES


@pytest.fixture
def folder(tmp_path, tiny_model):
    return outside.make(tmp_path / "captain", tiny_model, "someone/tiny")


def left(home):
    return [path.name for path in (home / "adapters").iterdir()]


def pack(folder, file, *more):
    """Pack an adapter, and entries of any kind beside it."""
    outside.zipped(folder, file)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two files with one name
        for entry, content in more:
            archive.writestr(entry, content)
    return file


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def test_two_files_and_zips_of_them_are_one_adapter(folder, tmp_path, home):
    zipped = outside.zipped(folder, tmp_path / "늙은 선장.zip")
    inside = outside.zipped(folder, tmp_path / "another name.zip", top="captain/")
    kept = uploaded_adapters.store([zipped])
    assert kept.name.startswith("늙은-선장-")
    assert uploaded_adapters.store([inside]) == kept == uploaded_adapters.store([folder / name for name in NAMES])
    assert left(home) == [kept.name]
    assert uploaded_adapters.find(kept.column) == kept.folder
    assert {path.name for path in kept.folder.iterdir()} == set(NAMES)
    assert (kept.folder / NAMES[1]).read_bytes() == (folder / NAMES[1]).read_bytes()


def test_it_stays_when_the_upload_goes_and_is_removed_when_asked(folder, home):
    kept = uploaded_adapters.store([folder / name for name in NAMES])
    shutil.rmtree(folder)
    assert uploaded_adapters.all_uploads() == [kept]
    uploaded_adapters.remove(kept.column)
    assert left(home) == []
    with pytest.raises(CompareError, match="no uploaded adapter"):
        uploaded_adapters.find(kept.column)


@pytest.mark.parametrize("name", ["../runs", ".", "..", "/etc", "", "%2e%2e", "a\0b", "runs/../../x"])
def test_a_name_from_outside_is_never_a_path(home, name):
    for act in (uploaded_adapters.find, uploaded_adapters.remove):
        with pytest.raises(CompareError, match="no uploaded adapter"):
            act(f"upload:{name}")


def test_what_the_check_refuses_is_not_kept(folder, home):
    def check(saved):
        raise CompareError("compare.other_base", made_for="a/b", loaded="c/d")

    with pytest.raises(CompareError, match="another base"):
        uploaded_adapters.store([folder / name for name in NAMES], check)
    assert left(home) == []


@pytest.mark.parametrize(
    ("entry", "content", "said"),
    [
        ("../evil.json", "x", "leads out"),
        ("/etc/evil.json", "x", "leads out"),
        ("a/../../evil.json", "x", "leads out"),
        ("C:/evil.json", "x", "leads out"),
        ("a\\..\\evil.json", "x", "leads out"),
        (link("chat_template.jinja"), "/etc/passwd", "link"),
        ("training_args.bin", "x", r"training_args\.bin"),
        ("modeling_evil.py", "x", r"modeling_evil\.py"),
        ("deep/adapter_config.json", "x", "does not need"),
        (NAMES[0], "{}", "twice"),
        ("tokenizer_config.json", b" " * (3 * 10**6), "too large"),
        ("chat_template.jinja", b" " * (2 * 10**6 - 1), "far beyond"),
        ("nested.zip", "x", r"nested\.zip"),
    ],
)
def test_a_hostile_zip_is_refused_and_leaves_nothing(folder, tmp_path, home, entry, content, said):
    file = pack(folder, tmp_path / "evil.zip", (entry, content))
    before = {path for path in tmp_path.rglob("*") if home not in path.parents}
    with pytest.raises(CompareError, match=said):
        uploaded_adapters.store([file])
    assert left(home) == []
    assert {path for path in tmp_path.rglob("*") if home not in path.parents} == before | {home}


def test_a_zip_of_thousands_of_files_is_refused_before_its_list_is_read(folder, tmp_path, monkeypatch):
    file = pack(folder, tmp_path / "many.zip", *((f"{n}.json", "") for n in range(2000)))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *given: pytest.fail("the list was read"))
    with pytest.raises(CompareError, match="too many files"):
        uploaded_adapters.store([file])


def test_a_zip_that_lies_about_a_size_is_refused(folder, tmp_path, home):
    file = tmp_path / "lies.zip"
    size = (folder / NAMES[1]).stat().st_size
    content = outside.zipped(folder, file).read_bytes()
    file.write_bytes(content.replace(struct.pack("<L", size), struct.pack("<L", size // 2)))
    with pytest.raises(CompareError):
        uploaded_adapters.store([file])
    assert left(home) == []


@pytest.mark.parametrize("cut", [0, 10, 400, -30])
def test_a_damaged_zip_is_told(folder, tmp_path, home, cut):
    file = outside.zipped(folder, tmp_path / "torn.zip")
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(CompareError, match="cannot be read"):
        uploaded_adapters.store([file])
    assert left(home) == []


def test_a_file_alone_is_told_what_is_missing(folder, home):
    with pytest.raises(CompareError, match=r"adapter_model\.safetensors"):
        uploaded_adapters.store([folder / NAMES[0]])
    assert left(home) == []


def test_a_full_disk_is_told_and_nothing_stays(folder, tmp_path, home, monkeypatch):
    import errno

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploaded_adapters, "_extract", full)
    with pytest.raises(HomeError, match="full"):
        uploaded_adapters.store([outside.zipped(folder, tmp_path / "a.zip")])
    assert left(home) == []
