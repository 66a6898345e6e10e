"""An answer becomes lyrics: its own words, in lines and stanzas, with the hooks marked."""

import pytest

from studio.compare.lyrics import shape, tagged_text
from studio.config import SourceConfig
from studio.data import source

SONG = """등대가 켜지는 시간에
나는 젖은 모래에 앉아
바다야, 네가 대신 읽어 줘
천천히 소리 내어 읽어 줘
조개껍데기에 남은 여름도
이제 주머니에서 꺼낼게
바다야 네가 대신 읽어 줘!
천천히 소리 내어 읽어 줘"""


def sections(answer):
    return [stanza.tag for stanza in shape(answer)]


def plain_text(stanzas):
    return "\n\n".join("\n".join(line.text for line in stanza.lines) for stanza in stanzas)


def words_of(text):
    return "".join(letter for letter in text if letter.isalnum())


def test_a_refrain_becomes_the_chorus_and_what_is_around_it_the_verses():
    assert (
        tagged_text(shape(SONG))
        == """[Verse 1]
등대가 켜지는 시간에
나는 젖은 모래에 앉아

[Chorus]
바다야, 네가 대신 읽어 줘
천천히 소리 내어 읽어 줘

[Verse 2]
조개껍데기에 남은 여름도
이제 주머니에서 꺼낼게

[Chorus]
바다야 네가 대신 읽어 줘!
천천히 소리 내어 읽어 줘"""
    )


def test_hooks_are_numbered_and_counted_whatever_their_punctuation():
    lines = [line for stanza in shape(SONG) for line in stanza.lines]

    assert [line.hook for line in lines] == [None, None, 1, 2, None, None, 1, 2]
    assert [line.times for line in lines] == [1, 1, 2, 2, 1, 1, 2, 2]


def test_a_line_that_comes_back_alone_is_a_hook_in_its_verse():
    stanzas = shape("Call me home\nThe road is long\nThe night is cold\nCall me home")

    assert [stanza.tag for stanza in stanzas] == ["Verse 1"]
    assert [line.hook for line in stanzas[0].lines] == [1, None, None, 1]


def test_a_stanza_that_comes_back_is_a_chorus_even_with_one_line():
    song = "The road is long\nThe night is cold\n\nCall me home\n\nThe rain has come\n\nCALL ME HOME!"
    assert sections(song) == ["Verse 1", "Chorus", "Verse 2", "Chorus"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[Verse 1]\nA road\n\n[Chorus]\nHome", ["Verse 1", "Chorus"]),
        ("[Verse]\nA road\n[Pre-Chorus]\nAlmost\n[Chorus]\nHome\n[Bridge]\nOver\n[Outro]\nGone", None),
        ("(Intro)\nMm\n\nVerse 1:\nA road\n\nChorus:\nHome", ["Intro", "Verse 1", "Chorus"]),
        ("**Verse 1**\nA road\n\n## Chorus\nHome", ["Verse 1", "Chorus"]),
        ("[Chorus]\n\nHome\n\n[Chorus]\n\nHome again", ["Chorus", "Chorus"]),
        ("[1절]\n길\n\n[후렴]\n집\n\n[2절]\n비\n\n[후렴 x2]\n집", ["Verse 1", "Chorus", "Verse 2", "Chorus"]),
        ("1절:\n길이 멀어\n후렴:\n집으로\n브릿지\n건너서", ["Verse 1", "Chorus", "Bridge"]),
    ],
)
def test_sections_that_the_answer_names_are_kept(written, found):
    assert sections(written) == (found or ["Verse 1", "Pre-Chorus", "Chorus", "Bridge", "Outro"])


def test_a_line_that_only_holds_a_sections_word_is_a_line():
    assert plain_text(shape("후렴처럼 부르던 이름\nBuild a bridge to me\nverse by verse, I go")) == (
        "후렴처럼 부르던 이름\nBuild a bridge to me\nverse by verse, I go"
    )


@pytest.mark.parametrize("bar", [" / ", "/ ", " | "])
def test_one_long_line_is_cut_at_its_bars_and_double_bars_end_a_stanza(bar):
    verse = bar.join(["Walk down to the water", "count the waves", "call me home", "bring me home"])
    song = f"{verse} {bar.strip() * 2} " + bar.join(
        ["Morning again", "boats are gone", "call me home", "bring me home"]
    )

    assert sections(song) == ["Verse 1", "Chorus", "Verse 2", "Chorus"]
    assert plain_text(shape(song)).splitlines()[:2] == ["Walk down to the water", "count the waves"]


def test_one_long_line_without_bars_is_cut_at_sentences_else_at_commas():
    sentences = (
        "바다로 가자. 파도를 세며 밤이 새도록 노래하자! 우리 둘이서 걷던 그 길을 따라 다시 한번 걸어가 볼까? " * 2
    )
    commas = (
        "바다로 가자, 파도를 세며, 밤이 새도록 노래하자, 우리 둘이서 걷던 그 길을 따라, 다시 한번 걸어가 보자, 오늘도"
    )

    assert len(shape(sentences)[0].lines) == 6
    assert plain_text(shape(commas)).splitlines()[:2] == ["바다로 가자", "파도를 세며"]
    assert plain_text(shape("안녕, 나의 방")) == "안녕, 나의 방"
    assert len(shape("and/or " * 20)[0].lines) == 1


def test_breaks_and_rules_of_a_web_page_are_line_breaks():
    assert plain_text(shape("One line<br>two lines<br />\n---\nthree lines\r\nfour")) == (
        "One line\ntwo lines\n\nthree lines\nfour"
    )


def test_nothing_gives_nothing():
    assert shape("") == shape(" \n\n ") == shape("[Chorus]\n\n") == ()
    assert tagged_text(()) == plain_text(()) == ""


def test_no_word_of_a_real_song_is_lost_or_moved():
    rows = list(source.open_table(SourceConfig(kind="bundled", name="lyrics-sample")).rows())

    assert len(rows) == 24
    for row in rows:
        stanzas = shape(row["Lyric"])
        assert words_of(plain_text(stanzas)) == words_of(row["Lyric"])
        assert shape(tagged_text(stanzas)) == stanzas
    choruses = [row for row in rows if any(stanza.section == "chorus" for stanza in shape(row["Lyric"]))]
    assert len(choruses) >= 20


def test_markup_in_lyrics_is_text():
    assert plain_text(shape("<script>alert(1)</script>\nsecond")) == "<script>alert(1)</script>\nsecond"
