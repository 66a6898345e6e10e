"""The encoding of a file is told by what its text looks like, and asked for where two fit."""

import json

import pytest

from studio.config import RunConfig, SourceConfig
from studio.data import encodings, source
from studio.data.readers.base import BadRow
from studio.errors import ConfigError, DataError

TEXTS = [
    ("cp949", "질문,답변\n안녕하세요,반갑습니다\n"),
    ("cp949", "instruction,output\nGPU는 무엇인가요?,그래픽 처리 장치입니다.\n"),
    ("cp949", "q,a\n똠방각하가 뭐예요?,드라마 제목이에요.\n"),
    ("cp1252", "q,a\nIs it late?,It’s late and the tide won’t wait.\n"),
    ("cp1252", "q,a\nWhere’s Zoë?,“Here” she said – twice…\n"),
    ("cp1252", "q,a\nLe café est-il ouvert ?,Il est déjà fermé.\n"),
    ("cp1252", "q,a\n¿Dónde está el niño?,Mañana vuelve.\n"),
    ("cp1252", "q,a\nPreis?,10 € für die Straße\n"),
    ("gb18030", "q,a\n你好,谢谢你\n今天天气怎么样？,晴天。\n"),
    ("big5", "q,a\n你好,謝謝\n今天天氣怎麼樣？,晴天。\n"),
    ("cp932", "q,a\nこんにちは,ありがとう\n東京の天気は？,晴れです。\n"),
    ("euc_jp", "q,a\nこんにちは,ありがとう\n東京の天気は？,晴れです。\n"),
    ("cp1251", "q,a\nКак дела?,Всё хорошо\n"),
    ("koi8-r", "q,a\nКак дела?,Всё хорошо\n"),
    ("cp1250", "q,a\nGdzie jest mój pies?,Zając śpi w łóżku.\n"),
    ("cp1254", "q,a\nNasılsın?,İyiyim teşekkürler ağabey.\n"),
    ("mac_roman", "q,a\nIs it late?,It’s late and I won’t wait.\n"),
    ("utf-16-le", "q,a\n안녕하세요,반갑습니다\n"),
    ("utf-16-be", "q,a\nhello,good bye\n"),
    ("utf-32-le", "q,a\n안녕하세요,반갑습니다\n"),
    ("utf-32", "q,a\n안녕하세요,반갑습니다\n"),
    ("iso2022_jp", "q,a\nこんにちは,ありがとう\n"),
]


@pytest.mark.parametrize(("encoding", "text"), TEXTS)
def test_a_short_file_is_read_in_its_encoding(tmp_path, encoding, text):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    table = source.open_file(path)
    assert table.encoding == encoding
    assert [",".join(row.values()) for row in table.rows()] == text.splitlines()[1:]
    assert [note.values for note in table.notes if note.key == "data.encoding"] == [{"encoding": encoding}]


def test_the_encoding_is_told_from_where_the_file_is_not_ascii(tmp_path):
    path = tmp_path / "a.jsonl"
    row = json.dumps({"q": "x" * 900, "a": "y"}).encode() + b"\n"
    with open(path, "wb") as file:
        file.write(row * (encodings.CHUNK // len(row) + 10))
        file.write('{"q": "안녕하세요", "a": "반갑습니다"}\n'.encode("cp949"))
    table = source.open_file(path)
    assert table.encoding == "cp949"
    assert table.row(table.count - 1) == {"q": "안녕하세요", "a": "반갑습니다"}


def test_a_utf_8_file_with_a_few_damaged_letters_stays_one(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = ['{"q": "안녕", "a": "반가워요"}'.encode()] * 9 + [b'{"q": "\xc8\xff", "a": "b"}']
    path.write_bytes(b"\n".join(lines))
    table = source.open_file(path)
    assert table.encoding == "utf-8"
    assert [number for number, row in enumerate(table.rows(), 1) if isinstance(row, BadRow)] == [10]


def test_a_legacy_file_with_a_damaged_letter_keeps_the_other_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"q,a\n" + "안녕하세요,반갑습니다\n".encode("cp949") * 20 + b"x\xff,y\n")
    rows = list(source.open_file(path).rows())
    assert [row.kind for row in rows if isinstance(row, BadRow)] == ["bad_letters"]
    assert rows[0] == {"q": "안녕하세요", "a": "반갑습니다"}


UNCLEAR = "q,a\n뽀글,쭈글\n".encode("cp949")


def test_where_two_encodings_fit_the_error_shows_a_line_in_each_and_the_setting_chooses(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(UNCLEAR)
    chosen = SourceConfig(kind="file", name=str(path))
    with pytest.raises(DataError) as caught:
        source.open_table(chosen)
    assert "cp949: 뽀글,쭈글" in str(caught.value)
    assert "data.source.encoding" in str(caught.value)
    table = source.open_table(chosen.model_copy(update={"encoding": "cp949"}))
    assert list(table.rows()) == [{"q": "뽀글", "a": "쭈글"}]


def test_advice_for_a_file_without_settings_of_its_own_does_not_name_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(UNCLEAR)
    with pytest.raises(DataError) as caught:
        source.open_file(path)
    assert caught.value.key == "data.encoding_unclear_here"
    assert "data.source.encoding" not in str(caught.value)


def test_the_choice_stands_in_for_validation_rows_whose_encoding_is_not_clear(tmp_path):
    chosen = SourceConfig(kind="file", name="train.csv", encoding="cp949")
    path = tmp_path / "a.csv"
    path.write_bytes(UNCLEAR)
    assert source.sibling(chosen, str(path)).encoding == "cp949"
    path.write_text("q,a\n안녕,반가워\n", encoding="utf-8")
    assert source.sibling(chosen, str(path)).encoding is None


def test_a_wrong_choice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("q,a\n안녕하세요,반갑습니다\n".encode("cp949"))
    with pytest.raises(DataError, match="line 2"):
        source.open_table(SourceConfig(kind="file", name=str(path), encoding="utf-8"))


def test_a_choice_that_reads_like_something_else_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("q,a\n안녕하세요,반갑습니다\n".encode("cp949"))
    table = source.open_table(SourceConfig(kind="file", name=str(path), encoding="latin-1"))
    assert table.encoding == "iso8859-1"
    assert [note.key for note in table.notes] == ["data.encoding_doubtful"]


@pytest.mark.parametrize(
    ("name", "known"), [("EUC-KR", "cp949"), ("ms949", "cp949"), ("Shift_JIS", "cp932"), ("UTF8", "utf-8")]
)
def test_an_encoding_may_be_called_by_any_of_its_names(name, known):
    assert SourceConfig(kind="file", name="a.csv", encoding=name).encoding == known


@pytest.mark.parametrize("name", ["rot13", "hex", "klingon", "", "punycode", "a\0b"])
def test_what_is_no_encoding_of_files_is_refused(name):
    with pytest.raises(ConfigError, match=r"data\.source\.encoding"):
        RunConfig().with_settings({"data.source.encoding": name})


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-8-sig", "utf-16-le"])
def test_a_file_of_settings_is_read_in_any_encoding(tmp_path, encoding):
    from studio.cli.training import read_config

    path = tmp_path / "run.yaml"
    path.write_bytes("name: 해적 말투\ndata:\n  prompt:\n    system: 너는 해적 선장이야.\n".encode(encoding))
    assert read_config(str(path), []).name == "해적 말투"


def test_settings_may_be_written_as_json(tmp_path):
    from studio.cli.training import read_config

    path = tmp_path / "run.json"
    path.write_text(json.dumps({"name": "해적", "train": {"learning_rate": 0.001}}), encoding="utf-16")
    assert read_config(str(path), []).name == "해적"
