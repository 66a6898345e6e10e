"""The speech level of Korean sentences, inferred from their endings.

The six levels and the endings that belong to them are those of the National Institute of Korean Language's standard
dictionary (표준국어대사전). `-네` counts for 해, as today's texts use it. What ends in a noun has no level, and
neither have `-ㄹ까?` and `-ㄴ가?`, with which texts of any level ask themselves.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from studio.i18n import DEFAULT_LANGUAGE
from studio.i18n import text as translated

LEVELS = ("hasipsio", "haeyo", "hao", "hage", "haera", "hae")
"""합쇼, 해요, 하오, 하게, 해라 and 해, the most formal first."""
POLITE = {"hasipsio", "haeyo", "hao"}
"""The levels that honour the listener. Good Korean mixes 합쇼 and 해요, but neither with a plain level."""

_HANGUL = re.compile("[가-힣]")
_QUOTED = re.compile(r'“[^“”]*”|"[^"\n]*"|‘[^‘’]*’|「[^「」]*」|『[^『』]*』|```.*?```|`[^`\n]*`', re.DOTALL)
_ENDS = ".!?…。~\nㅋㅎㅠㅜ\u2600-\u27bf\U0001f000-\U0001faff"
"""What a sentence ends with, in chats also laughing and crying letters and emoji."""
_SENTENCE = re.compile(f"[^{_ENDS}]+[{_ENDS}]*")
_SET_PHRASES = re.compile("(안녕하세요|안녕하십니까|감사합니다|고맙습니다|고마워요|죄송합니다|실례합니다)$")
"""Greetings and thanks, which keep their form beside any level."""

_HAEYO_OF_CHATS = re.compile("([네세데]여|[어아해돼][여용욤염]|[네세지까][용욤염])$")
_NOUNS = re.compile(
    "(필요|중요|주요|수요|개요|소요|강요|민요|동요|바다|소다|어머니|언니|할머니|나라|하나|누나|동네|"
    "이해|피해|오해|올해|방해|저해|침해|손해|견해|양해|분해|용해|재해|동해|서해|남해|공해|항해|화해|"
    "국어|영어|단어|언어|용어|본어|색어|방어|제어|분야|시야|아시아|노래|미래|시대|세대|연대|군대|상대|까지|데이터)$"
)


def _final(syllable: str) -> int:
    """Return the number of a syllable's final consonant in Unicode's order, 0 for none (The Unicode Standard, 3.12)."""
    return (ord(syllable) - 0xAC00) % 28 if "가" <= syllable <= "힣" else -1


_NIEUN, _NIEUNHIEUT, _RIEUL, _BIEUP, _BIEUPSIOT, _SSANGSIOT, _JIEUT, _TIEUT, _HIEUT = 4, 6, 8, 17, 18, 20, 22, 25, 27


def level(sentence: str) -> str | None:
    """Return the level of one sentence, one of `LEVELS`; None where its ending does not tell."""
    end = len(sentence)  # of the last word: marks, emoji and the laughing and crying letters of chats come behind it
    while end and not _HANGUL.match(sentence, end - 1):
        end -= 1
    words, after = sentence[:end].split(), sentence[end:]
    if not words or _SET_PHRASES.search(words[-1]) or _NOUNS.search(words[-1]):
        return None
    word = words[-1]
    before = _final(word[-2]) if len(word) > 1 else -1
    is_question, is_closed = "?" in after, bool(after.strip())
    if word.endswith(("니다", "니까")) and len(word) > 2 and _final(word[-3]) == _BIEUP:
        return "hasipsio"
    if word.endswith(("십시오", "십쇼")):
        return "hasipsio"
    if word.endswith(("요", "죠")) or _HAEYO_OF_CHATS.search(word):
        return "haeyo"
    if _is_hao(word, before, is_closed):
        return "hao"
    if _is_hage(word, before, is_closed):
        return "hage"
    if _is_haera(word, is_question, is_closed):
        return "haera"
    return "hae" if _is_hae(word, before, is_closed, len(words) > 1) else None


def _is_hao(word: str, before: int, is_closed: bool) -> bool:
    if word.endswith("시다") and len(word) > 2 and _final(word[-3]) == _BIEUP:
        return True
    if word.endswith("소"):
        return before in (_NIEUNHIEUT, _BIEUPSIOT, _SSANGSIOT, _JIEUT, _TIEUT, _HIEUT)
    if word.endswith(("구려", "으오", "이오", "하오", "시오")):
        return True
    return is_closed and bool(re.search("[가되보주쁘크]오$", word))


def _is_hage(word: str, before: int, is_closed: bool) -> bool:
    if word.endswith(("게나", "세나", "으이")) or (word.endswith("세") and before == _RIEUL):
        return True
    return is_closed and bool(re.search("([하오가보주두쓰있]게|[하가보주두먹]세)$", word))


def _is_haera(word: str, is_question: bool, is_closed: bool) -> bool:
    if word.endswith(("다", "구나", "노라", "느냐", "으냐")):
        return len(word) > 1
    if re.search("([아어여거너해하워와봐줘둬려러켜쳐져펴으]라)$", word):
        return True
    if is_question and word.endswith(("냐", "니")):
        return True
    return is_closed and bool(re.search("[하가보먹오놀내지주되읽쓰들찾만있]자$", word))


_HAE = re.compile(
    "(했어|었어|았어|겠어|있어|없어|거든|잖아|는데|던데|을게|을래|을걸|는군|더군|네|거야|이야|뭐야|해|돼|봐|줘|됐어|"
    "[하있없렇맞이좋았었했겠되갔왔많]지)$"
)
_HAE_CLOSED = re.compile("(어|아|야|여|와|워|둬|꿔|져|쳐|켜|려|겨|대|래|냬|나|군|걸|데|러|라)$")


def _is_hae(word: str, before: int, is_closed: bool, has_more: bool) -> bool:
    if word.endswith(("게", "래", "걸")) and before == _RIEUL:
        return True
    if word.endswith("데") and before == _NIEUN:
        return True
    return bool((has_more or is_closed) and _HAE.search(word)) or (is_closed and bool(_HAE_CLOSED.search(word)))


def levels(text: str) -> Counter[str]:
    """Return how many sentences of a text have each level; what it quotes counts for nothing."""
    if not _HANGUL.search(text):
        return Counter()
    sentences = _SENTENCE.findall(_QUOTED.sub(" ", text))
    return Counter(filter(None, map(level, sentences)))


def is_mixed(counts: Counter[str]) -> bool:
    """Return whether polite and plain levels stand in one text."""
    used = set(counts)
    return bool(used & POLITE and used - POLITE)


def describe(texts: Iterable[str], language: str = DEFAULT_LANGUAGE) -> str:
    """Return the shares of the levels in some texts, and how many texts mix them; empty without any level."""
    each = [levels(text) for text in texts]
    mixed = translated("speech.mixed", language, count=sum(map(is_mixed, each))) if any(map(is_mixed, each)) else ""
    return ", ".join(filter(None, [shares(sum(each, Counter()), language), mixed]))


def shares(counts: Mapping[str, int], language: str = DEFAULT_LANGUAGE) -> str:
    """Return the share of each level among the sentences that have one, the most used first; empty without any."""
    total = sum(counts.values())
    ordered = sorted(LEVELS, key=lambda name: -counts.get(name, 0))
    return ", ".join(
        f"{translated(f'speech.{name}', language)} {counts[name] / total:.0%}" for name in ordered if counts.get(name)
    )
