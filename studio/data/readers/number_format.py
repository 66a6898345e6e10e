"""Numbers and dates as a spreadsheet displays them: ECMA-376, part 1, sections 18.8.30 and 18.8.31, without locales.

What a format code asks beyond that (fractions, calendars) is left, and the number stays as it is stored.
"""

import datetime
import functools
import re
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
_KINDS = {"0": "digit", "#": "digit", "?": "digit", ".": "point", ",": "comma", "%": "percent", "/": "slash"}
_MOMENT = frozenset({"date", "elapsed", "noon"})

Section = tuple[tuple[str, str], ...]
"""Kind and text of each token of a code's section: `literal`, `digit`, `point`, `comma`, `percent`, `date`, `elapsed`,
`noon`, `exponent` or `slash`."""


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
    if _WHOLE.fullmatch(stored):
        general = stored
    elif number == number.to_integral_value() and abs(number) < Decimal(10) ** 15:
        general = str(int(number))
    else:
        general = f"{float(number):.15g}"
        general = general.upper() if "e" in general else general
    sections = _sections(code)
    if not sections:
        return general
    section = sections[0]
    negative = number < 0
    if negative and len(sections) > 1:
        section, number, negative = sections[1], -number, False
    elif number == 0 and len(sections) > 2:
        section = sections[2]
    kinds = {kind for kind, _ in section}
    if kinds & _MOMENT:
        return _date(number, section, since_1904) or general
    if "slash" in kinds or "digit" not in kinds:
        literal = "".join(text for kind, text in section if kind == "literal").strip()
        return literal if kinds == {"literal"} and literal else general
    if "exponent" in kinds:
        order = [kind for kind, _ in section]
        decimals = order[order.index("point") :].count("digit") if "point" in kinds else 0
        width = len(section[order.index("exponent")][1]) - 2
        mantissa, _, power = f"{float(number):.{min(decimals, _MOST_DIGITS)}e}".partition("e")
        return f"{mantissa}E{power[0]}{power[1:].lstrip('0').rjust(width, '0')}"
    text = _number(abs(number), section)
    return f"-{text}" if negative and any(digit in text for digit in "123456789") else text


@functools.lru_cache(maxsize=4096)
def _sections(code: str) -> tuple[Section, ...]:
    """Return the tokens of a code's sections (positive, negative, zero); empty for "General" and text."""
    if code.strip() in ("", "@") or len(code) > _LONGEST_CODE or "general" in code.lower():
        return ()
    sections: list[list[tuple[str, str]]] = [[]]
    for match in _TOKEN.finditer(code):
        kind, text = match.lastgroup, match[match.lastgroup or 0]
        if kind == "rest" and text == ";":
            sections.append([])
        elif kind in ("quoted", "escaped", "symbol"):
            sections[-1].append(("literal", text))
        elif kind in ("elapsed", "date"):
            sections[-1].append((kind, text.lower()))
        elif kind == "rest":
            sections[-1].append((_KINDS.get(text, "literal"), text))
        elif kind:
            sections[-1].append((kind, text))
    return tuple(tuple(_settled(section)) for section in sections)


def _settled(section: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return a section in which commas and slashes of a date are literals, and `m` beside hours or seconds a minute."""
    if not any(kind in _MOMENT for kind, _ in section):
        return section
    codes = (*_MOMENT, "point", "digit")
    parts = [(kind if kind in codes else "literal", text) for kind, text in section]
    units = [place for place, (kind, _) in enumerate(parts) if kind in ("date", "elapsed")]
    for at, place in enumerate(units):
        before = parts[units[at - 1]][1][0] if at else ""
        after = parts[units[at + 1]][1][0] if at + 1 < len(units) else ""
        if parts[place] in (("date", "m"), ("date", "mm")) and (before == "h" or after == "s"):
            parts[place] = ("date", parts[place][1].upper())
    return parts


def _number(number: Decimal, section: Section) -> str:
    """Fill the digits of a number into a section, from the right."""
    kinds = [kind for kind, _ in section]
    point = kinds.index("point") if "point" in kinds else len(kinds)
    digits = [place for place, kind in enumerate(kinds) if kind == "digit"]
    whole, parts = [p for p in digits if p < point], [p for p in digits if p > point][:_MOST_DIGITS]
    number *= 100 ** kinds.count("percent")
    if whole:
        behind = whole[-1] + 1
        while kinds[behind : behind + 1] == ["comma"]:
            number /= 1000
            behind += 1
    left, _, right = f"{number.quantize(Decimal(1).scaleb(-len(parts)), ROUND_HALF_UP):f}".partition(".")
    if left == "0" and all(section[place][1] != "0" for place in whole):
        left = ""
    filled = dict.fromkeys(digits, "")
    for place in reversed(whole):
        digit = left if place == whole[0] else left[-1:]
        filled[place] = digit or ("0" if section[place][1] == "0" else "")
        left = left[:-1]
    if whole and "comma" in kinds[whole[0] : whole[-1]]:
        together = "".join(filled[place] for place in whole)
        filled |= dict.fromkeys(whole, "")
        filled[whole[0]] = f"{int(together):,}" if together and together[0] != "0" else together
    while parts and section[parts[-1]][1] != "0" and right.endswith("0"):
        parts, right = parts[:-1], right[:-1]
    filled |= dict(zip(parts, right, strict=True))
    filled[point] = "." if right else ""
    text = (filled.get(place, "" if kind == "comma" else text) for place, (kind, text) in enumerate(section))
    return "".join(text).strip()


def _date(serial: Decimal, section: Section, since_1904: bool) -> str | None:
    """Return a moment in the format of a section; None for days that no calendar of a spreadsheet has."""
    if not 0 <= serial < 2_958_466:
        return None
    tenths = min(sum(kind == "digit" for kind, _ in section), 3)
    seconds = (serial * 86_400).quantize(Decimal(1).scaleb(-tenths), ROUND_HALF_UP)
    last = 31 if serial < 60 else 30  # day 60 is the 29th of February 1900, which Lotus 1-2-3 had
    epoch = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, last)
    try:
        moment = epoch + datetime.timedelta(milliseconds=int(seconds * 1000))
    except OverflowError:
        return None
    half = any(kind == "noon" for kind, _ in section)
    written = []
    for kind, text in section:
        if kind == "date":
            written.append(_unit(text, moment, half))
        elif kind == "elapsed":
            total = {"h": 3600, "m": 60, "s": 1}[text[0]]
            written.append(str(int(seconds // total)).rjust(len(text), "0"))
        elif kind == "noon":
            written.append(text.split("/")[moment.hour >= 12])
        elif kind == "point":
            written.append(f".{moment.microsecond // 1000:03d}"[: tenths + 1])
        elif kind != "digit":
            written.append(text)
    return "".join(written).strip()


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
