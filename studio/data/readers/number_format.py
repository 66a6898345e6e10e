"""Numbers and dates as a spreadsheet displays them: ECMA-376, part 1, sections 18.8.30 and 18.8.31, without locales.

What a format code asks beyond that (fractions, calendars) is left, and the number stays as it is stored.
"""

import datetime
import functools
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 14: "yyyy-mm-dd",
    15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss",
    22: "yyyy-mm-dd h:mm",
    37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)", 45: "mm:ss",
    46: "[h]:mm:ss", 47: "mm:ss.0", 48: "0.0E+0",
    **dict.fromkeys((27, 28, 29, 30, 31, 36, 50, 51, 52, 53, 54, 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((32, 33, 34, 35, 55, 56), "h:mm:ss"),
}  # fmt: skip
"""Codes that files only name by number; those that Excel writes differently in each country are ISO dates here.
Those that are not among them are "General" and text."""
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_.|\*.|\[(?P<elapsed>h+|m+|s+)\]|\[\$(?P<symbol>[^\]-]*)[^\]]*\]|\[[^\]]*\]'
    r"|(?P<noon>AM/PM|A/P|上午/下午|오전/오후)|(?P<date>y+|m+|d+|h+|s+|e+(?![+-]))|(?P<exponent>e[+-]0+)|(?P<rest>.)",
    re.IGNORECASE | re.DOTALL,
)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WHOLE = re.compile(r"-?[0-9]+")
_LONGEST_CODE = 500
_MOST_DIGITS = 30


@dataclass(frozen=True)
class _Token:
    kind: str
    """`literal`, `digit` (0 # ?), `point`, `comma`, `percent`, `date`, `elapsed`, `noon`, `exponent` or `slash`."""
    text: str


def format_number(stored: str, code: str, since_1904: bool = False) -> str:
    """Return a stored number in the format `code`; empty means "General".

    `since_1904` is the epoch of books that an old Macintosh made. What cannot be formatted stays as it is stored.
    """
    try:
        number = Decimal(f"{float(stored):.15g}")
    except (ValueError, InvalidOperation):
        return stored
    if not number.is_finite():
        return stored
    sections = _sections(code)
    general = stored if _WHOLE.fullmatch(stored) else _general(number)
    if not sections:
        return general
    section = sections[0]
    negative = number < 0
    if negative and len(sections) > 1:
        section, number, negative = sections[1], -number, False
    elif number == 0 and len(sections) > 2:
        section = sections[2]
    kinds = {token.kind for token in section}
    if kinds & {"date", "elapsed", "noon"}:
        return _date(number, section, since_1904) or general
    if "slash" in kinds or not kinds & {"digit"}:
        literal = "".join(token.text for token in section if token.kind == "literal").strip()
        return literal if kinds == {"literal"} and literal else general
    text = _exponent(number, section) if "exponent" in kinds else _number(abs(number), section)
    return f"-{text}" if negative and "exponent" not in kinds and any(d in text for d in "123456789") else text


@functools.lru_cache(maxsize=4096)
def _sections(code: str) -> tuple[tuple[_Token, ...], ...]:
    """Return the tokens of a code's sections (positive, negative, zero); empty for "General" and text."""
    if code.strip().lower() in ("", "general", "@") or len(code) > _LONGEST_CODE or "general" in code.lower():
        return ()
    sections: list[list[_Token]] = [[]]
    for match in _TOKEN.finditer(code):
        kind, text = match.lastgroup, match[0]
        if kind is None:
            continue
        if kind == "rest" and text == ";":
            sections.append([])
            continue
        if kind in ("quoted", "escaped", "symbol"):
            token = _Token("literal", match[kind])
        elif kind == "elapsed":
            token = _Token(kind, match[kind].lower())
        elif kind == "date":
            token = _Token(kind, text.lower())
        elif kind == "rest":
            signs = {"0": "digit", "#": "digit", "?": "digit", ".": "point", ",": "comma", "%": "percent", "/": "slash"}
            token = _Token(signs.get(text, "literal"), text)
        else:
            token = _Token(kind, text)
        sections[-1].append(token)
    return tuple(map(tuple, map(_settled, sections)))


def _settled(section: list[_Token]) -> list[_Token]:
    """Return a section in which points, commas and slashes of a date are literals, and `m` beside hours is a minute."""
    if not any(token.kind in ("date", "elapsed", "noon") for token in section):
        return section
    parts = [
        token if token.kind in ("date", "elapsed", "noon", "point", "digit") else _Token("literal", token.text)
        for token in section
    ]
    units = [place for place, token in enumerate(parts) if token.kind in ("date", "elapsed")]
    for at, place in enumerate(units):
        before = parts[units[at - 1]].text[0] if at else ""
        after = parts[units[at + 1]].text[0] if at + 1 < len(units) else ""
        if parts[place].text in ("m", "mm") and parts[place].kind == "date" and (before == "h" or after == "s"):
            parts[place] = _Token("date", "M" * len(parts[place].text))
    return parts


def _general(number: Decimal) -> str:
    if number == number.to_integral_value() and abs(number) < Decimal(10) ** 15:
        return str(int(number))
    text = f"{float(number):.15g}"
    return text.upper() if "e" in text else text


def _number(number: Decimal, section: tuple[_Token, ...]) -> str:
    """Fill the digits of a number into a section, from the right."""
    number *= 100 ** sum(token.kind == "percent" for token in section)
    digits = [place for place, token in enumerate(section) if token.kind == "digit"]
    point = next((place for place, token in enumerate(section) if token.kind == "point"), None)
    whole = [place for place in digits if point is None or place < point]
    parts = [place for place in digits if point is not None and place > point][:_MOST_DIGITS]
    last = whole[-1] if whole else -1
    grouped = any(token.kind == "comma" and whole and whole[0] < place < last for place, token in enumerate(section))
    behind = last + 1
    while whole and behind < len(section) and section[behind].kind == "comma":
        number /= 1000
        behind += 1
    rounded = number.quantize(Decimal(1).scaleb(-len(parts)), ROUND_HALF_UP)
    left, _, right = f"{rounded:f}".partition(".")
    left = "" if left == "0" and all(section[place].text != "0" for place in whole) else left
    filled = dict.fromkeys(digits, "")
    for place in reversed(whole[1:]):
        filled[place] = left[-1:] or ("0" if section[place].text == "0" else "")
        left = left[:-1]
    if whole:
        filled[whole[0]] = left or ("0" if section[whole[0]].text == "0" else "")
    if grouped:
        together = "".join(filled[place] for place in whole)
        filled |= dict.fromkeys(whole, "")
        filled[whole[0]] = f"{int(together or 0):,}".rjust(0) if together and together[0] != "0" else together
    trimmed = len(right)
    while trimmed and section[parts[trimmed - 1]].text != "0" and right[trimmed - 1] == "0":
        trimmed -= 1
    filled |= {place: right[at] for at, place in enumerate(parts[:trimmed])}
    text = []
    for place, token in enumerate(section):
        if token.kind == "digit":
            text.append(filled[place])
        elif token.kind == "point":
            text.append("." if trimmed or place != point else "")
        elif token.kind != "comma":
            text.append(token.text)
    return "".join(text).strip()


def _exponent(number: Decimal, section: tuple[_Token, ...]) -> str:
    point = next((place for place, token in enumerate(section) if token.kind == "point"), len(section))
    decimals = sum(token.kind == "digit" for token in section[point:])
    width = next(len(token.text) - 2 for token in section if token.kind == "exponent")
    mantissa, _, power = f"{float(number):.{min(decimals, _MOST_DIGITS)}e}".partition("e")
    return f"{mantissa}E{power[0]}{power[1:].lstrip('0').rjust(width, '0')}"


def _date(serial: Decimal, section: tuple[_Token, ...], since_1904: bool) -> str | None:
    """Return a moment in the format of a section; None for days that no calendar of a spreadsheet has."""
    if not 0 <= serial < 2_958_466:
        return None
    tenths = sum(token.kind == "digit" for token in section)
    unit = Decimal(1).scaleb(-min(tenths, 3))
    seconds = (serial * 86_400).quantize(unit, ROUND_HALF_UP)
    last = 31 if serial < 60 else 30  # day 60 is the 29th of February 1900, which Lotus 1-2-3 had
    epoch = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, last)
    try:
        moment = epoch + datetime.timedelta(milliseconds=int(seconds * 1000))
    except OverflowError:
        return None
    half = any(token.kind == "noon" for token in section)
    text = []
    for token in section:
        if token.kind == "date":
            text.append(_unit(token.text, moment, half))
        elif token.kind == "elapsed":
            total = {"h": 3600, "m": 60, "s": 1}[token.text[0]]
            text.append(str(int(seconds // total)).rjust(len(token.text), "0"))
        elif token.kind == "noon":
            text.append(token.text.split("/")[moment.hour >= 12])
        elif token.kind == "point":
            text.append(f".{moment.microsecond // 1000:03d}"[: min(tenths, 3) + 1] if tenths else ".")
        elif token.kind != "digit":
            text.append(token.text)
    return "".join(text).strip()


def _unit(code: str, moment: datetime.datetime, half: bool) -> str:
    letter, width = code[0], len(code)
    if letter in "ye":
        return f"{moment.year:04d}" if width > 2 or letter == "e" else f"{moment.year % 100:02d}"
    if letter == "m" and width > 2:
        name = _MONTHS[moment.month - 1]
        return name if width == 4 else name[:1] if width == 5 else name[:3]
    if letter == "d" and width > 2:
        return _DAYS[moment.weekday()][: None if width > 3 else 3]
    hour = (moment.hour + 11) % 12 + 1 if half else moment.hour
    value = {"m": moment.month, "d": moment.day, "h": hour, "M": moment.minute, "s": moment.second}[letter]
    return f"{value:02d}" if width > 1 else str(value)
