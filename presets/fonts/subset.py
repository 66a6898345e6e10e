"""Make the page's fonts in `studio/ui/fonts` of NanumGothic: Latin and the Hangul of KS X 1001, as WOFF2.

Needs `pip install fonttools brotli`, and the two TrueType files, which the package `koreanize-matplotlib` brings. From
the repository's root: `python presets/fonts/subset.py NanumGothic.ttf NanumGothicBold.ttf`.

A browser loads of each weight what a page shows: `latin`; `page`, the syllables of the Korean catalogue; and `rest`,
once somebody's own text has others. Without hints, which screens no longer need, that is half the size. The license
reserves the name of the font for the unchanged one.
"""

import hashlib
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

ROOT = Path(__file__).parent.parent.parent
FOLDER, CATALOGUE = ROOT / "studio" / "ui" / "fonts", ROOT / "studio" / "locales" / "ko.json"
NAME = "Restyle Sans"
WEIGHTS = {"regular": "100 500", "bold": "501 900"}
"""The weights that each of the two files stands for, as CSS writes a range."""
_SIGNS = "€₩→←↑↓≤≥≠"
_BACKSLASH = 0x5C
"""Left to the next font: this one, as Korean fonts do, draws it as the sign of the won."""
LATIN = {*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x2010, 0x2028), *range(0x2030, 0x203B), *map(ord, _SIGNS)}
LATIN -= {_BACKSLASH}
LINK = set(map(ord, "한국어"))
"""The name of the Korean page, which the English one shows."""
GRADIO = set(map(ord, "여기에 파일을 끌어다 놓으세요 또는 클릭하여 업로드"))
"""What Gradio says in Korean by itself."""


def syllables() -> set[int]:
    """Return the Hangul of KS X 1001, and the letters that stand alone."""
    high = range(0xB0, 0xC9)
    there = {ord(bytes([row, cell]).decode("euc_kr")) for row in high for cell in range(0xA1, 0xFF)}
    return there | set(range(0x3131, 0x318F))


def is_hangul(code: int) -> bool:
    """Whether a code point is a letter or a syllable of Hangul."""
    return 0x3131 <= code <= 0x318E or 0xAC00 <= code <= 0xD7A3


def make(source: str, codes: set[int], path: Path) -> set[int]:
    """Write the part of a font that draws these code points; returns those that it draws."""
    font = TTFont(source)
    names = {"name_IDs": [0, 1, 2, 4, 6], "layout_features": ["kern", "liga"]}
    options = subset.Options(hinting=False, notdef_outline=True, **names)
    part = subset.Subsetter(options)
    part.populate(unicodes=codes)
    part.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 6):
            record.string = NAME if record.nameID != 6 else NAME.replace(" ", "")
    font.flavor = "woff2"
    font.save(path)
    return codes & set(font.getBestCmap())


def ranges(codes: set[int]) -> str:
    """Return code points as CSS writes them."""
    parts, ordered = [], sorted(codes)
    for code in ordered:
        if parts and parts[-1][1] == code - 1:
            parts[-1][1] = code
        else:
            parts.append([code, code])
    return ",".join(f"U+{first:X}" + (f"-{last:X}" if last > first else "") for first, last in parts)


def main() -> None:
    """Write the fonts and their style sheet."""
    page = {ord(letter) for letter in CATALOGUE.read_text(encoding="utf-8") if is_hangul(ord(letter))}
    page |= {code for code in GRADIO if is_hangul(code)}
    parts = {"rest": syllables() - page - LINK, "page": page - LINK, "latin": LATIN | LINK}
    sheet = ["/* Written by presets/fonts/subset.py. Of two faces with a letter, browsers take the later one. */\n"]
    for (face, weight), source in zip(WEIGHTS.items(), sys.argv[1:], strict=True):
        for part, codes in parts.items():
            path = FOLDER / f"{part}-{face}.woff2"
            drawn = make(source, codes, path)
            there = "U+3131-318E,U+AC00-D7A3" if part == "rest" else ranges(drawn)
            version = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
            sheet.append(
                f'@font-face {{ font-family: "{NAME}"; font-weight: {weight}; font-display: swap; '
                f'src: url("{path.name}?{version}") format("woff2"); unicode-range: {there}; }}\n'
            )
            print(path.name, len(drawn), "characters", path.stat().st_size, "bytes")
    (FOLDER / "fonts.css").write_text("".join(sheet), encoding="utf-8")


if __name__ == "__main__":
    main()
