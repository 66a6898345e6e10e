"""Documents: each format's text and headings, what is left out of it, passages, and rows by recipe."""

import io
import json
import zipfile
from collections import Counter

import conversing
import docx
import pytest

from studio.errors import DataError
from studio.material import documents, parts
from studio.material.documents import Block, Document
from studio.material.make import Request, make
from studio.material.passages import Passage, TokenCounter, passages
from studio.material.recipes import BeginningRecipe, KeywordsRecipe

VERSE = "바다가 나를 부른다\n파도는 대답이 없다\n\n등대 하나 남았다\n밤은 길다"


def read(tmp_path, content: bytes | str, name: str) -> tuple[list[Block], dict[str, int]]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    left_out: Counter[str] = Counter()
    [part] = conversing.parts(path)
    return documents.read(part, left_out).blocks, dict(+left_out)


def texts(blocks: list[Block]) -> list[str]:
    return [("# " if block.is_heading else "") + block.text for block in blocks]


def pdf(pages: list[list[str]]) -> bytes:
    """Write a PDF whose pages have these lines of ASCII."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        text = "BT /F1 12 Tf 14 TL 50 750 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        objects.append(f"<< /Length {len(text)} >>\nstream\n{text}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    end += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return out + end.encode()


def epub(chapters: list[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        root = '<container><rootfiles><rootfile full-path="OEBPS/a.opf"/></rootfiles></container>'
        archive.writestr("META-INF/container.xml", root)
        names = ["nav", *(f"c{number}" for number in range(len(chapters)))]
        properties = dict.fromkeys(names, "") | {"nav": ' properties="nav"'}
        items = "".join(f'<item id="{name}" href="{name}%20x.xhtml"{properties[name]}/>' for name in names)
        spine = "".join(f'<itemref idref="{name}"/>' for name in names)
        archive.writestr("OEBPS/a.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        archive.writestr("OEBPS/nav x.xhtml", "<nav>Contents</nav>")
        for number, chapter in enumerate(chapters):
            archive.writestr(
                f"OEBPS/c{number} x.xhtml", f"<html><head><title>t</title></head><body>{chapter}</body></html>"
            )
    return file.getvalue()


def test_plain_text_in_paragraphs_with_chapters(tmp_path):
    text = f"목차\n\n제1장 바다 ........ 3\n\n제1장 바다\n\n{VERSE}\n\nChapter 2\n\nIt rained.\nIt stopped.\n"
    blocks, left_out = read(tmp_path, text, "a.txt")
    assert texts(blocks) == [
        "목차", "# 제1장 바다", "바다가 나를 부른다\n파도는 대답이 없다", "등대 하나 남았다\n밤은 길다", "# Chapter 2",
        "It rained.\nIt stopped.",
    ]  # fmt: skip
    assert left_out == {"contents": 1}
    assert blocks[2].place == "7"


def test_text_without_empty_lines_has_a_paragraph_in_each_line(tmp_path):
    blocks, _ = read(tmp_path, "One.\nTwo.\nThree.\n", "a.txt")
    assert texts(blocks) == ["One.", "Two.", "Three."]


def test_lines_that_an_editor_broke_are_joined_and_those_of_verse_are_not(tmp_path):
    text = "It was a night on which the whole of the town had gone to bed\nearly.\n\n" + VERSE
    for name in ("a.txt", "a.md"):
        blocks, _ = read(tmp_path, text, name)
        assert "gone to bed early." in blocks[0].text
        assert blocks[1].text == "바다가 나를 부른다\n파도는 대답이 없다"


def test_markdown(tmp_path):
    text = "---\ntitle: x\n---\n# Sea\n\nA [link](https://example.com) and ![picture](a.png).\n\n## Night\n\nDark.\n"
    blocks, left_out = read(tmp_path, text, "a.md")
    assert texts(blocks) == ["# Sea", "A link and picture.", "# Night", "Dark."]
    assert left_out == {"header": 1}


def test_html_without_menus(tmp_path):
    html = """<html><head><title>x</title><script>bad()</script></head><body><nav><a>Home</a></nav>
    <h1>Sea</h1><p>One <b>bold</b>\n word.</p><p>Line<br>break</p><div>Loose</div><footer>(c)</footer></body></html>"""
    blocks, left_out = read(tmp_path, html, "a.html")
    assert texts(blocks) == ["# Sea", "One bold word.", "Line\nbreak", "Loose"]
    assert left_out == {"navigation": 2}


def test_html_nested_deeper_than_calls(tmp_path):
    blocks, _ = read(tmp_path, "<div>" * 5000 + "deep" + "</div>" * 5000, "a.html")
    assert texts(blocks) == ["deep"]


def test_word(tmp_path):
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Company secret"
    document.add_heading("바다", 1)
    document.add_paragraph("첫 문단.")
    document.add_paragraph("Sea ........ 12")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "가", "나"
    file = io.BytesIO()
    document.save(file)
    blocks, left_out = read(tmp_path, file.getvalue(), "a.docx")
    assert texts(blocks) == ["# 바다", "첫 문단.", "가 나"]
    assert left_out == {"header": 1, "contents": 1}


def test_pdf_without_headers_and_page_numbers(tmp_path):
    pages = []
    for number, word in enumerate(("dark", "cold", "long", "wild"), 1):
        lines = [f"It was a {word} night and the sea was very loud that even-", "ing, so nobody slept."]
        pages.append([f"My Book - part {number}", *lines, f"A {word} morning came.", f"{number}"])
    blocks, left_out = read(tmp_path, pdf(pages), "a.pdf")
    assert left_out == {"header": 4, "page_number": 4}
    assert blocks[0].place == "page 1"
    assert "loud that evening, so nobody slept." in blocks[0].text
    assert not any("My Book" in block.text for block in blocks)


def test_epub(tmp_path):
    chapters = ["<h1>One</h1><p>First.</p><p>Line<br/>two</p>", "<h2>Two</h2><p>Second.</p>"]
    blocks, left_out = read(tmp_path, epub(chapters), "a.epub")
    assert texts(blocks) == ["# One", "First.", "Line\ntwo", "# Two", "Second."]
    assert left_out == {"contents": 1}
    assert blocks[1].place == "2.2"


def test_subtitles(tmp_path):
    srt = (
        "1\n00:00:01,000 --> 00:00:02,000\n<i>- Hello</i>\n- 안녕\n\n2\n00:00:03,000 --> 00:00:04,000\n[music]\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\nBye\n\n4\n00:01:05,000 --> 00:01:06,000\nNew scene\n"
    )
    blocks, left_out = read(tmp_path, srt, "a.srt")
    assert texts(blocks) == ["Hello\n안녕\nBye", "New scene"]
    assert left_out == {"sound": 1}
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Mira>Hello\n"
    assert texts(read(tmp_path, vtt, "a.vtt")[0]) == ["Hello"]


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"PK\3\4nothing", "a.docx", "damaged"),
        (b"PK\3\4nothing", "a.epub", "damaged"),
        (b"%PDF-1.4 nothing", "a.pdf", "damaged"),
        (epub([])[:200], "b.epub", "damaged"),
        (pdf([[]]), "scan.pdf", "no text"),
        (b"no subtitles", "a.srt", "."),
    ],
)
def test_damaged_documents_get_a_clear_error(tmp_path, content, name, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        make(Request((tmp_path / name,)), tmp_path / "rows.jsonl")


def test_a_document_of_headings_alone_says_that_there_is_no_text(tmp_path, tiny_model):
    (tmp_path / "title.md").write_text("# A title\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        make(Request((tmp_path / "title.md",), model=str(tiny_model)), tmp_path / "rows.jsonl")
    assert error.value.key == "material.no_paragraph"


def test_an_office_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MAX_IN_MEMORY", 100)
    with pytest.raises(DataError, match="MB"):
        read(tmp_path, epub(["<p>x</p>"]), "a.epub")


def test_what_stands_in_many_files_is_boilerplate():
    left_out: Counter[str] = Counter()
    many = [Document(f"{n}", [Block(f"own {n}", "1"), Block("All rights reserved", "2")]) for n in range(4)]
    kept = documents.without_boilerplate(many, left_out)
    assert [[block.text for block in document.blocks] for document in kept] == [[f"own {n}"] for n in range(4)]
    assert left_out["boilerplate"] == 4


@pytest.fixture
def counter(tiny_model):
    return TokenCounter(str(tiny_model), ["some text of the model"])


def test_passages_end_at_natural_borders_within_the_range(counter):
    blocks = [Block("Chapter 1", "1", True)]
    blocks += [Block(f"Paragraph {n} has a few words.", str(n)) for n in range(40)]
    blocks += [Block("Chapter 2", "50", True), Block("Short.", "51"), Block("A sentence of words. " * 200, "52")]
    left_out: Counter[str] = Counter()
    made = list(passages([Document("a", blocks)], counter, 30, 120, left_out))
    assert all(30 <= counter.count(passage.text) <= 125 for passage in made)
    assert {passage.title for passage in made} == {"Chapter 1", "Chapter 2"}
    assert all(passage.text.endswith(".") for passage in made)
    assert not any("Paragraph" in p.text and "sentence" in p.text for p in made)
    assert left_out.total() > 0


def test_a_word_longer_than_a_passage_is_cut_and_nothing_is_lost(counter):
    made = list(passages([Document("a", [Block("".join(map(str, range(1000))), "1")])], counter, 1, 100, Counter()))
    assert len(made) > 5
    whole = [Document("a", [Block("abc " * 3000, "1")])]
    assert sum(p.text.count("abc") for p in passages(whole, counter, 1, 100, Counter())) <= 3000


def test_keywords_are_the_telling_words():
    sea = "the lighthouse keeper watched waves and gulls while storms broke ships"
    city = "the tram driver counted coins and tickets while crowds filled platforms"
    left_out: Counter[str] = Counter()
    made = list(
        KeywordsRecipe().rows([Passage(sea, "a", "1"), Passage(city, "a", "2"), Passage("the a", "a", "3")], left_out)
    )
    assert len(made) == 2
    assert list(made[0]) == ["key1", "key2", "key3", "key4", "key5", "output", "source"]
    keys = {made[0][f"key{n}"] for n in range(1, 6)}
    assert keys <= set(sea.split())
    assert "the" not in keys
    assert made[0]["output"] == sea
    assert left_out == {"no_keywords": 1}


def test_korean_keywords_have_no_particles():
    text = "등대지기는 파도를 바라보고 갈매기가 폭풍에서 돛단배를 지켰다"
    [row] = KeywordsRecipe().rows([Passage(text, "a", "1")], Counter())
    assert {"등대지기", "파도", "갈매기", "폭풍", "돛단배"} & {row[f"key{n}"] for n in range(1, 6)}
    assert not {"등대지기는", "파도를"} & {row[f"key{n}"] for n in range(1, 6)}


def test_the_beginning_is_the_prompt():
    given = [
        Passage("First line\nSecond line", "a", "1", "Title"),
        Passage("One. Two. Three.", "a", "2"),
        Passage("One", "a", "3"),
    ]
    left_out: Counter[str] = Counter()
    made = [(row["prompt"], row["completion"]) for row in BeginningRecipe().rows(given, left_out)]
    assert made == [("Title\n\nFirst line", "Second line"), ("One.", "Two. Three.")]
    assert left_out == {"no_rest": 1}


def folder_of_texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    stories = ("lighthouse waves gulls storms ships harbour", "tram coins tickets crowds platforms bells")
    for number, words in enumerate(stories):
        lines = [
            f"{word.title()} number {place} stood there. It was old and {word} again."
            for place, word in enumerate(words.split())
        ]
        (folder / f"{number}.txt").write_text("\n\n".join(lines), encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "table.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("recipe", ["keywords", "beginning"])
def test_a_folder_becomes_rows_that_the_studio_reads(tmp_path, tiny_model, here, recipe):
    out = tmp_path / "rows.jsonl"
    given = ("--recipe", recipe, "--min-tokens", "8", "--max-tokens", "200", "--model", str(tiny_model), "--json")
    made = here("data", "make", str(folder_of_texts(tmp_path)), "--out", str(out), *given)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["rows"] == len(out.read_text(encoding="utf-8").splitlines()) > 3
    assert told["left_out"]["damaged_file"] == told["left_out"]["other_file"] == 1
    report = json.loads(here("data", "inspect", str(out), "--model", str(tiny_model), "--json").stdout)
    assert report["rows"] == report["usable"] == told["rows"]
    assert report["format"] == {"keywords": "pair", "beginning": "pair"}[recipe], report["format"]


def test_keywords_of_a_chat_are_of_what_the_speaker_writes(tmp_path, tiny_model):
    lines = "".join(
        f"4/{day}/23, 11:{minute:02} PM - {name}: {name} wrote. Words about the harbour, storm {day}, tram {minute}\n"
        for day in range(10, 29) for minute, name in enumerate(("Mira", "Joon Park"))
    )  # fmt: skip
    (tmp_path / "_chat.txt").write_text(lines, encoding="utf-8")
    request = Request(
        (tmp_path / "_chat.txt",), "Mira", ("beginning",), model=str(tiny_model), least_tokens=4, most_tokens=200
    )
    summary = make(request, tmp_path / "rows.jsonl")
    text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    assert "Joon" not in text
    assert summary.left_out["other_speaker"] == 19


def test_the_limits_of_files_are_in_one_place():
    assert parts.MAX_IN_MEMORY < parts.MAX_BYTES
