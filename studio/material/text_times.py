"""The dates and times of text exports, as the phones of Koreans and English speakers write them.

A `S` in a pattern is a space, which newer phones write as U+202F or U+00A0 before AM and PM.
"""

import re
from datetime import datetime

_S = "[ \u00a0\u202f]"
_HALF = r"(?:오전|오후|ص|م|[AaPp]\.?S?[Mm]\.?)"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Compile a pattern in which `S` is any kind of space and `HALF` a word for half of the day."""
    return re.compile(text.replace("HALF", _HALF).replace("S", _S), flags)


KOREAN_DAY = r"(?P<year>\d{4})(?:년S|\.S?|-)(?P<month>\d{1,2})(?:월S|\.S?|-)(?P<day>\d{1,2})(?:일|\.)?"
ENGLISH_DAY = r"(?P<name>[A-Z][a-z]{2,8})\.?S(?P<day>\d{1,2}),S(?P<year>\d{4})"
CLOCK = r"(?:(?P<half>HALF)S)?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?:S?(?P<half2>HALF))?"


def day_of(match: re.Match[str]) -> tuple[int, int, int] | None:
    """Return year, month and day of a match of a day's pattern; None for an unknown month."""
    groups = match.groupdict()
    name = groups.get("name")
    if name:
        if name[:3].lower() not in MONTHS:
            return None
        month = MONTHS.index(name[:3].lower()) + 1
    else:
        month = int(groups["month"])
    year = int(groups["year"])
    return year + 2000 if year < 100 else year, month, int(groups["day"])


def at(day: tuple[int, int, int] | None, half: str | None, hour: int, minute: int, second: int = 0) -> datetime | None:
    """Return a time of a day, `half` being AM or PM in either language; None for what is no time."""
    if day is None:
        return None
    if half:
        is_afternoon = half in ("오후", "م") or half[0] in "pP"
        hour = hour % 12 + 12 * is_afternoon if hour <= 12 else hour
    try:
        return datetime(*day, hour, minute, second)
    except ValueError:
        return None
