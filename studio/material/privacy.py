"""What identifies people in a text: by rules, and by the check digits of numbers. All patterns take linear time.

The rules miss what only a reader sees: a place that is described, a rare job, a nickname that no speaker has.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from studio.data.vocabulary import load

VOCABULARY = load("vocabulary", __file__)
KINDS = ("link", "email", "resident", "card", "business", "account", "phone", "address", "name")
"""In the order in which they are searched; a later kind does not search what an earlier one covers."""
Check = Callable[[re.Match[str]], bool]


@dataclass(frozen=True)
class Rule:
    """A pattern of one kind, and what else a match must fulfil."""

    kind: str
    pattern: re.Pattern[str]
    is_valid: Check
    needs: str
    """What a text must have, by its name in `_NEEDS`."""


_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_DASHES = dict.fromkeys(map(ord, "\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_PLAIN = _FULL_WIDTH | _DASHES
_NOT_PLAIN = re.compile(f"[{re.escape(''.join(map(chr, _PLAIN)))}]")


def plain(text: str) -> str:
    """Return a text of the same length with full-width letters and digits, and all kinds of dashes, as in ASCII."""
    return text.translate(_PLAIN) if _NOT_PLAIN.search(text) else text


def digits_of(text: str) -> str:
    """Return the digits of a text."""
    return "".join(filter(str.isdigit, text))


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the Luhn algorithm (ISO/IEC 7812-1, annex B)."""
    total = sum(
        sum(divmod(2 * int(digit), 10)) if place % 2 else int(digit) for place, digit in enumerate(digits[::-1])
    )
    return total % 10 == 0


def is_card(match: re.Match[str]) -> bool:
    """Whether a number is that of a card: its length, the first digits of a network, and its check digit."""
    digits = digits_of(match[0])
    return 13 <= len(digits) <= 19 and digits[0] in "234569" and len(set(digits)) > 1 and luhn(digits)


def is_business(match: re.Match[str]) -> bool:
    """Whether the last digit of a Korean business registration number is its check digit (National Tax Service)."""
    digits = [int(digit) for digit in digits_of(match[0])]
    total = sum(digit * weight for digit, weight in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=False))
    return len(digits) == 10 and (10 - (total + digits[8] * 5 // 10) % 10) % 10 == digits[9]


def is_resident(match: re.Match[str]) -> bool:
    """Whether a Korean resident registration number begins with a date; without its hyphen the check digit must fit.

    Numbers given since October 2020 have no check digit any more, so it is not asked of those with a hyphen.
    """
    digits = digits_of(match[0])
    if len(digits) != 13 or (digits[6] == "9" and digits[:6] == "999999"):
        return False
    century = {"1": 1900, "2": 1900, "5": 1900, "6": 1900, "3": 2000, "4": 2000, "7": 2000, "8": 2000}.get(
        digits[6], 1800
    )
    try:
        date(century + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return False
    if not match[0].isdigit():
        return True
    total = sum(
        int(digit) * weight for digit, weight in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False)
    )
    return (11 - total % 11) % 10 == int(digits[12])


def is_iban(match: re.Match[str]) -> bool:
    """Whether an IBAN's remainder is 1 (ISO 13616, modulo 97)."""
    text = match[0].replace(" ", "").upper()
    if not 15 <= len(text) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def _is_account(match: re.Match[str]) -> bool:
    digits = digits_of(match["number"])
    return 10 <= len(digits) <= 16 and not digits.startswith("010")


def _is_phone(match: re.Match[str]) -> bool:
    return 8 <= len(digits_of(match[0])) <= 15


def _is_secret_link(match: re.Match[str]) -> bool:
    """Whether a link opens something for whoever has it: a login, a token, an invitation, a long random part."""
    link = match[0]
    if _CREDENTIALS.match(link) or _TOKEN.search(link) or _INVITATION.search(link):
        return True
    return any(_is_random(piece) for piece in re.split(r"[/?&=#]", link)[3:])


def _is_random(piece: str) -> bool:
    if not 20 <= len(piece) <= 500 or not re.fullmatch(r"[\w-]+", piece, re.ASCII):
        return False
    has = [any(map(check, piece)) for check in (str.isdigit, str.islower, str.isupper)]
    changes = sum(a.isalpha() != b.isalpha() for a, b in pairwise(piece) if "-" not in (a, b))
    return all(has) or (has[0] and changes >= 6)


_CREDENTIALS = re.compile(r"https?://[^/@\s]{1,200}:[^/@\s]{1,200}@")
_TOKEN = re.compile(
    r"[?&#;](?:\w{0,30}(?:token|secret|passw(?:or)?d|apikey|api_key|signature|session|credential)\w{0,20}|key|sig|auth|code|sid"
    r"|jwt|otp|pwd|invite|access|hash|uid|X-Amz-\w{1,30})=[^&\s]{4,}", re.IGNORECASE,
)  # fmt: skip
_INVITATION = re.compile(
    r"(?:discord\.gg|discord(?:app)?\.com/invite|chat\.whatsapp\.com|t\.me/(?:\+|joinchat/)|open\.kakao\.com/o|zoom\.us/[jw]"
    r"|meet\.google\.com|join\.slack\.com|teams\.microsoft\.com/l|(?:docs|drive)\.google\.com/[a-z]{2,20}/(?:u/\d/)?d)/?[\w-]",
    re.IGNORECASE,
)
_LEFT_NUMBER = r"(?<![\d.,#$₩€-])(?<![A-Za-z_])"
_BANKS, _BANKS_AFTER, _REGIONS, _STREETS, _AFTER_NAME = (
    "|".join(VOCABULARY[name]) for name in ("banks", "banks_after", "regions", "streets", "after_name")
)
_END = r"(?![\d-])"
_SPOKEN_LINKS = r"discord\.gg|chat\.whatsapp\.com|t\.me/joinchat|open\.kakao\.com/o"
_GAP = r"(?: ?[.-] ?| )"
_KOREAN_PHONE = (
    rf"(?:(?:\+|00)82{_GAP}?\(?0?\)?(?:1[016789]|2|[3-6]\d|70){_GAP}?\d{{3,4}}{_GAP}?\d{{4}}"
    rf"|01[016789]{_GAP}?\d{{3,4}}{_GAP}?\d{{4}}"
    rf"|\(?0(?:2|[3-6][1-5]|70|80|50\d)(?:\){_GAP}?|{_GAP})\d{{3,4}}{_GAP}\d{{4}}"
    r"|0(?:2|[3-6][1-5]|70)\d{7,8}"
    r"|1[568]\d\d-\d{4})"
)
_OTHER_PHONE = (
    r"(?:\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,5}"
    r"|(?:1[ .-])?\([2-9]\d{2}\) ?[2-9]\d{2}[ .-]\d{4}"
    r"|(?:1[ .-])?[2-9]\d{2}([.-])[2-9]\d{2}\1\d{4}"
    r"|0[1-9]\d{2,3} \d{3} ?\d{3,4}|02\d \d{4} \d{4})"
)
_KOREAN_ADDRESS = (
    rf"(?:(?:{_REGIONS})(?:특별시|광역시|특별자치시|특별자치도|도|시)? )?(?:[가-힣]{{1,4}}(?:시|군|구) ){{1,2}}"
    r"(?:[가-힣]{1,5}(?:읍|면) )?[가-힣0-9]{1,8}(?:로|길|동|리|가) ?\d{1,4}(?:번?길 ?\d{1,4})?(?:-\d{1,4})?(?:번지)?"
    r"(?![\d:시분월년원개명])(?:,? ?(?:[가-힣A-Z0-9]{1,12} ?)?\d{1,4}동)?(?:,? ?\d{1,4}호)?(?:,? ?\d{1,2}층)?"
)
_ENGLISH_ADDRESS = (
    r"(?<![\w$€£.,-])\d{1,5}[A-Za-z]? (?:(?:N|S|E|W|North|South|East|West)\.? )?"
    rf"(?:[A-Z][a-z'’]{{1,20}} |\d{{1,3}}(?:st|nd|rd|th) ){{1,3}}(?:{_STREETS}|(?:Close|Way)(?! [a-z]))\b\.?"
    r"(?:,? (?:Apt|Suite|Unit|Flat|#)\.? ?\w{1,6})?(?:, [A-Z][a-z]{1,20}(?: [A-Z][a-z]{1,20})?)?"
    r"(?:,? [A-Z]{2} \d{5}(?:-\d{4})?)?"
)


def _rule(kind: str, pattern: str, is_valid: Check = lambda match: True, needs: str = "number") -> Rule:
    flags = re.IGNORECASE if kind in ("link", "account") else 0
    return Rule(kind, re.compile(pattern, flags), is_valid, needs)


RULES = (
    _rule("link", r"\b(?:https?://|www\.)[^\s<>\"'「」()\[\]]{4,2000}", _is_secret_link, needs="slash"),
    _rule("link", rf"\b(?:{_SPOKEN_LINKS})/[\w-]{{4,100}}", needs="slash"),
    _rule(
        "email",
        r"(?<![A-Za-z0-9_.%+-])[A-Za-z0-9_%+-][A-Za-z0-9_.%+-]{0,63}@(?:[A-Za-z0-9가-힣-]{1,63}\.){1,6}(?:[A-Za-z]{2,24}(?![A-Za-z0-9])|한국)",
        needs="at",
    ),
    _rule("resident", r"(?<![\d-])\d{6} ?[-–] ?\d{7}(?![\d-])|(?<![\d.-])\d{13}(?![\d-])", is_resident),
    _rule("card", _LEFT_NUMBER + r"\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}" + _END, is_card),
    _rule("card", _LEFT_NUMBER + r"3[47]\d{2}([ -]?)\d{6}\1\d{5}" + _END, is_card),
    _rule("business", _LEFT_NUMBER + r"\d{3}-\d{2}-\d{5}" + _END, is_business),
    _rule("business", r"(?<=사업자등록번호)[ :은는이가]{0,3}\d{10}(?!\d)", is_business),
    _rule("account", r"(?-i:\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b)", is_iban),
    _rule("account", rf"(?:{_BANKS})[^\d\n]{{0,12}}(?P<number>\d{{2,6}}(?:[ -]?\d{{1,8}}){{1,4}})" + _END, _is_account),
    _rule(
        "account",
        rf"(?<![\d-])(?P<number>\d{{2,6}}(?:-\d{{2,8}}){{1,3}})(?![\d-])(?= ?\(?(?:{_BANKS_AFTER}))",
        _is_account,
    ),
    _rule("phone", _LEFT_NUMBER + _KOREAN_PHONE + _END, _is_phone),
    _rule("phone", r"(?<![\w.+-])" + _OTHER_PHONE + r"(?![\d-]|\.\d)", _is_phone),
    _rule("address", _KOREAN_ADDRESS, needs="address"),
    _rule("address", r"(?<![\d가-힣])\d{3,4}동 ?\d{3,4}호", needs="address"),
    _rule("address", _ENGLISH_ADDRESS, needs="address"),
)
_NEEDS = {
    "slash": re.compile("/"),
    "at": re.compile("@"),
    "number": re.compile(r"\d(?:[ .()-]{0,3}[0-9A-Z]){7}"),
    "address": re.compile(r"[로길동리가] ?\d|\d[A-Za-z]? [A-Z0-9]"),
}
"""What a text must have for a rule to be tried on it: one quick search in place of many."""

_SURNAMES = frozenset(VOCABULARY["surnames"])
_WORDS = frozenset(VOCABULARY["names_that_are_words"])
_TITLED = re.compile(r"[\s_/()|·]+")


def name_pattern(names: list[str]) -> re.Pattern[str] | None:
    """Return what matches the names of speakers, and the parts by which people call each other; None without names.

    First names that are ordinary words too (`will`, `may`) only count with a capital letter.
    """
    korean, latin, capital, whole, exact = [], [], [], [], []
    for part in sorted(name_parts(names), key=len, reverse=True):
        if re.fullmatch("[가-힣]{2}", part):
            korean.append(part)
        elif re.fullmatch(r"[^\W\d_]+(?:[ .'’-]+[^\W\d_]+)*\.?", part) and not re.search("[가-힣]", part):
            (capital if part.casefold() in _WORDS else latin).append(re.escape(part))
        elif re.match("[가-힣]{3}", part):
            whole.append(re.escape(part))
        else:
            exact.append(re.escape(part))
    patterns = ["|".join(whole)] if whole else []
    if exact:
        patterns.append(rf"(?<![^\W_])(?:{'|'.join(exact)})(?:(?![A-Za-z0-9])|(?<![A-Za-z0-9]))")
    if korean:
        patterns.append(rf"(?<![가-힣])(?:{'|'.join(korean)})(?=(?:{_AFTER_NAME})?(?![가-힣]))")
    if latin:
        patterns.append(rf"(?<![^\W_])(?i:{'|'.join(latin)})(?![A-Za-z0-9])")
    if capital:
        patterns.append(rf"(?<![^\W_])(?:{'|'.join(capital)})(?![A-Za-z0-9])")
    return re.compile("|".join(patterns)) if patterns else None


def name_parts(names: list[str]) -> dict[str, str]:
    """Return each text that stands for a speaker, with the speaker: the whole name, the first name, the last name."""
    parts: dict[str, str] = {}
    for name in names:
        if len(name) >= 2:
            parts.setdefault(name, name)
    for name in names:
        for word in _TITLED.split(name):
            if re.fullmatch("[가-힣]{3}", word) and word[0] in _SURNAMES:
                parts.setdefault(word, name)
                parts.setdefault(word[1:], name)
            elif re.fullmatch("[가-힣]{2,}", word) or (
                len(word) >= 3 and word[:1].isupper() and re.sub("[-'’]", "", word).isalpha()
            ):
                parts.setdefault(word, name)
    return parts


def find(text: str, kinds: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and kind of what the rules of these kinds match, names aside; spans may overlap."""
    text = plain(text)
    present = {need for need, pattern in _NEEDS.items() if pattern.search(text)}
    for rule in RULES:
        if rule.kind not in kinds or rule.needs not in present:
            continue
        for match in rule.pattern.finditer(text):
            if rule.is_valid(match):
                group = "number" if "number" in rule.pattern.groupindex else 0
                yield match.start(group), match.end(group), rule.kind
