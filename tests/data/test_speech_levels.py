"""Korean speech levels: which level a sentence's ending has, and which answers mix polite and plain ones."""

import json
from collections import Counter

import pytest

from studio.data import prepare, speech_levels

SENTENCES = {
    "hasipsio": """
        오늘 회의는 세 시에 시작합니다.|어디로 가십니까?|이쪽으로 앉으십시오.|그것은 사실이 아닙니다.|자료를 읽었습니다
        |어서 오십쇼.
    """,
    "haeyo": """
        오늘은 날씨가 좋아요.|어디 가세요?|그렇죠.|같이 해요~|제 책이에요|정말 그럴까요?|벌써 다 먹었네요 ㅎㅎ
        |잘 모르겠어요…
        |비가 오는데요.|알겠어여|밥 먹었어용ㅎㅎ
    """,
    "hao": "나는 이제 가오.|그 말이 맞소.|여기 있소.|어서 오시오.|같이 갑시다.|참 좋구려.|이것이 길이오.",
    "hage": "자네가 먼저 하게.|이리 오게나.|같이 가세.|내가 할 일일세.|천천히 보세나.",
    "haera": """
        나는 학교에 간다.|이것은 책이다.|빨리 먹어라.|무엇을 하느냐?|같이 가자.|꽃이 피었구나.|너 뭐 하니?
        |물이 끓는다|서둘러라!
    """,
    "hae": """
        나 지금 가고 있어|밥 먹었어?|그건 내가 할게.|진짜 좋아.|비 오는데|그렇지.|알잖아 ㅋㅋ|뭐 해?|이거 네 거야?
        |같이 갈래?|벌써 왔네|안 돼.|잘 모르겠어ㅠㅠ|빨리 와!
    """,
    None: """
        서울, 부산, 대구|광합성의 이해|영어 단어|안녕하세요.|감사합니다!|매우 중요.|Hello there.|1, 2, 3|한국어
        |왜 그런가?|과연 그럴까|다음 시대|지구 온난화 방지|회의 자료 (초안)|참가자 명단|검색어 순위|
    """,
}
CASES = [(s.strip(), level) for level, sentences in SENTENCES.items() for s in sentences.split("|")]


@pytest.mark.parametrize(("sentence", "level"), CASES)
def test_the_level_of_a_sentence(sentence, level):
    assert speech_levels.level(sentence) == level


@pytest.mark.parametrize(
    ("text", "counts", "mixed"),
    [
        ("그렇습니다. 같이 가요!", {"hasipsio": 1, "haeyo": 1}, False),  # both honour the listener
        ("저는 학생이에요. 너는 뭐 해?", {"haeyo": 1, "hae": 1}, True),
        ("시작하겠습니다\n이것은 책이다", {"hasipsio": 1, "haera": 1}, True),
        ("나는 간다. 너도 와!", {"haera": 1, "hae": 1}, False),
        ("그가 “밥 먹었어?” 하고 물었습니다.", {"hasipsio": 1}, False),  # a quotation is not the answer's own
        ("안녕하세요. 오늘 뭐 해?", {"hae": 1}, False),  # a greeting keeps its form
        ("네, 알겠습니다😊 내일 봬요!", {"hasipsio": 1, "haeyo": 1}, False),
        ("집에 가고 싶어요ㅠㅠ 근데 너무 피곤하다", {"haeyo": 1, "haera": 1}, True),
        ("먼저 로그인하세요. 그다음 버튼을 눌러!", {"haeyo": 1, "hae": 1}, True),
        ("No Korean here. 1 2 3", {}, False),
    ],
)
def test_the_levels_of_a_text(text, counts, mixed):
    assert speech_levels.levels(text) == counts
    assert speech_levels.is_mixed(Counter(counts)) is mixed


@pytest.mark.timeout(30)  # a search from every place would take minutes
@pytest.mark.parametrize("part", ["a", "「", "『", "“", "‘", '"', "`", "```", "```\n", "가", " ", "\n", "!"])
def test_long_texts_are_read_once(part):
    assert speech_levels.levels(part * 200_000 + "집에 갔어요") in ({"haeyo": 1}, {})


def test_rows_that_mix_levels_are_counted_and_the_shares_reported(tmp_path, tiny_config):
    answers = ["네, 그렇습니다. 바로 하겠습니다.", "그래요. 근데 너는 뭐 해?", "좋아요!", "The answer is yes."]
    rows = [{"instruction": f"질문 {n}", "output": answer} for n, answer in enumerate(answers)]
    path = tmp_path / "korean.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    source = {"data.source.kind": "file", "data.source.name": str(path), "data.validation.kind": "none"}

    for _ in range(2):  # scanned, then from the cache
        report = prepare.inspect(tiny_config.with_settings(source))
        [problem] = [each for each in report.problems if each.kind == "mixed_speech"]
        assert problem.rows == [2]
        assert problem.used
        assert report.speech == {"hasipsio": 2, "haeyo": 2, "hae": 1}
    assert speech_levels.shares(report.speech, "ko") == "합쇼체 40%, 해요체 40%, 해체 20%"
    described = speech_levels.describe(answers, "en")
    assert described == "hasipsio (합쇼) 40%, haeyo (해요) 40%, hae (해) 20%, 1 answer mixes polite and plain"
