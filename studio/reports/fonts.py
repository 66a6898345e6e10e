"""Find fonts for pictures: the system's, and Pillow's own for Latin where there is none."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.errors import CompareError

_KOREAN = (
    ("Pretendard-Regular.otf", "Pretendard-Bold.otf"),
    ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"),
    ("NotoSansCJKkr-Regular.otf", "NotoSansCJKkr-Bold.otf"),
    ("NotoSansKR-Regular.otf", "NotoSansKR-Bold.otf"),
    ("NotoSansKR-Regular.ttf", "NotoSansKR-Bold.ttf"),
    ("AppleSDGothicNeo.ttc", "AppleSDGothicNeo.ttc"),
    ("malgun.ttf", "malgunbd.ttf"),
    ("NanumGothic.ttf", "NanumGothicBold.ttf"),
    ("NanumBarunGothic.ttf", "NanumBarunGothicBold.ttf"),
    ("UnDotum.ttf", "UnDotumBold.ttf"),
)
_LATIN = (
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("segoeui.ttf", "segoeuib.ttf"),
    ("arial.ttf", "arialbd.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
)
"""Regular and bold, the best first; the Korean ones have Latin too."""

_ENDINGS = (".ttf", ".otf", ".ttc")
_MAX_FACES = 64  # faces that are looked at in one collection
_MISSING_CHARACTER = "\U0010ffff"
"""A code point that no font draws, which shows what a font does with those that it lacks."""


@dataclass(frozen=True)
class Face:
    """One face of a font file; without a path Pillow's own font, which knows Latin only."""

    path: Path | None = None
    index: int = 0

    def at(self, size: int) -> Any:
        """Return Pillow's font of a size in pixels."""
        return _font(self, size)

    def draws(self, character: str) -> bool:
        """Say whether the face has a glyph for a character."""
        return character.isspace() or _bitmap(self, character) != _bitmap(self, _MISSING_CHARACTER)


@dataclass(frozen=True)
class Faces:
    """A regular and a bold face that go together."""

    regular: Face
    bold: Face


def find(needs_hangul: bool) -> Faces:
    """Return the fonts to draw with; raises CompareError when Hangul is needed and no font here has it."""
    files = _files(tuple(folders()))
    for regular, bold in _KOREAN if needs_hangul else (*_KOREAN, *_LATIN):
        if (path := files.get(regular.lower())) and (face := _face(path, "regular")):
            heavier = files.get(bold.lower())
            faces = Faces(face, (heavier and _face(heavier, "bold")) or face)
            if not needs_hangul or (faces.regular.draws("한") and faces.bold.draws("한")):
                return faces
    if not needs_hangul:
        return Faces(Face(), Face())
    for path in files.values():  # a font that we don't know by name is better than none
        if (face := _face(path, "regular")) and face.draws("한") and face.draws("글"):
            return Faces(face, face)
    _files.cache_clear()  # so that a font that is installed now is found without a restart
    raise CompareError("compare.no_font")


def folders() -> Iterator[Path]:
    """Yield the folders in which Linux, macOS and Windows keep fonts, the user's own last."""
    home = Path.home()
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"
        yield Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local")) / "Microsoft/Windows/Fonts"
    elif sys.platform == "darwin":
        yield from map(Path, ("/System/Library/Fonts", "/Library/Fonts"))
        yield home / "Library/Fonts"
    else:
        yield from map(Path, ("/usr/share/fonts", "/usr/local/share/fonts"))
        yield Path(os.environ.get("XDG_DATA_HOME", home / ".local/share")) / "fonts"
        yield home / ".fonts"


@lru_cache(maxsize=4)
def _files(where: tuple[Path, ...]) -> dict[str, Path]:
    """Return the font files in some folders by their names in lower case."""
    files: dict[str, Path] = {}
    for folder in where:
        for base, _, names in os.walk(folder):
            for name in sorted(names):
                if name.lower().endswith(_ENDINGS):
                    files.setdefault(name.lower(), Path(base) / name)
    return files


@lru_cache(maxsize=64)
def _face(path: Path, style: str) -> Face | None:
    """Return the face of a file with that style, the Korean one of a collection; None for a file that is no font.

    `ImageFont.truetype` would put another file of the same name in the place of a damaged one.
    """
    from PIL import ImageFont

    names: list[str] = []
    with contextlib.suppress(OSError):
        for index in range(_MAX_FACES):
            names.append(" ".join(map(str, ImageFont.FreeTypeFont(str(path), 16, index).getname())).lower())
    if not names:
        return None
    best = max(
        range(len(names)), key=lambda n: (style in names[n], "kr" in names[n].split(), "mono" not in names[n], -n)
    )
    return Face(path, best)


@lru_cache(maxsize=256)
def _font(face: Face, size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.FreeTypeFont(str(face.path), size, face.index) if face.path else ImageFont.load_default(size)


@lru_cache(maxsize=8192)
def _bitmap(face: Face, character: str) -> tuple[Any, bytes]:
    mask = face.at(24).getmask(character)
    return mask.size, bytes(mask)
