"""The files that a browser needs before the page can be used: served from memory, and named in the page's head.

Gradio's page finds out step by step what it needs: a script names the next ones, and each component its own, with its
style sheet. That is 90 small files, six at a time, in five rounds. Here the page's head names the scripts, so that they
come while the page is read, and one file holds all style sheets with the page's own, each rule of which Gradio would
write twice into the page once its scripts run.

The names are read from Gradio's scripts. Where those change, a page names less, and loads the rest as Gradio's does.
"""

import functools
import gzip
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.ui import browser_scripts, theme

_TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2"}
_FOR_EVER, _FOR_AN_HOUR = "max-age=31536000, immutable", "max-age=3600"
"""How long a browser keeps a file whose name changes with it, and one of Gradio's that is changed here."""

_FILES_OF_SCRIPT = re.compile(r"m\.f=\[([^]]*)\]")
"""All files that the parts of a script need, by whose places in this list they are named."""
_PART = re.compile(r"import\(`\./([\w-]+\.js)`\)[^,]*?,__vite__mapDeps\(\[([\d,]*)\]\)")
_KIND = re.compile(r"\b(\w+):\{([^{}]*)\}")
_COMPONENT = re.compile(r"\bcomponent:\(\)=>\w+\(\(\)=>" + _PART.pattern)
_KIND_ON_PAGE = re.compile(r'"id":\d+,"type":"(\w+)"')
_THEME = re.compile(r'"theme_hash":"(\w+)"')


class Assets:
    """Serves Gradio's scripts and style sheets, the page's fonts and its joined style sheet, compressed once."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        folder, _, name = scope["path"].rpartition("/") if scope["type"] == "http" else ("", "", "")
        content = _content(name) if folder.endswith("/assets") else None
        if content is None:
            await self._app(scope, receive, send)
            return
        cache = _FOR_AN_HOUR if name in browser_scripts.changed() else _FOR_EVER
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
        if not name.endswith(".woff2") and "gzip" in Request(scope).headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = _compressed(name), "gzip"
        await Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])(scope, receive, send)


def with_links(page: str) -> str:
    """Return `page`, Gradio's HTML, with links to the files that it needs."""
    scripts, sheets = _needed(frozenset(_KIND_ON_PAGE.findall(page)))
    sheets = [name for name in sheets if name not in page]
    first = [f'<link rel="modulepreload" crossorigin href="./assets/{name}">' for name in scripts]
    if theme_hash := _THEME.search(page):
        first.append(f'<link rel="preload" as="style" href="./theme.css?v={theme_hash[1]}">')
    page = page.replace("<script", "".join(first) + "<script", 1)
    last = [f'<link rel="stylesheet" crossorigin href="./assets/{_joined(tuple(sheets))}">']
    # Gradio adds no sheet for which there is a link; a browser loads none that is disabled
    last += [f'<link rel="stylesheet" disabled href="./assets/{name}">' for name in sheets]
    return page.replace("</head>", "".join(last) + "</head>", 1)


@functools.cache
def files() -> dict[str, Path]:
    """Return Gradio's scripts and style sheets, and the page's fonts, by name."""
    from gradio.routes import BUILD_PATH_LIB

    gradio = [path for path in Path(BUILD_PATH_LIB).iterdir() if path.suffix in (".js", ".css")]
    return {path.name: path for path in [*gradio, *theme.FONT_FOLDER.glob("*.woff2")]}


_sheets: dict[str, bytes] = {}
"""The joined style sheets by name."""


def _joined(names: tuple[str, ...]) -> str:
    """Return the name of the style sheet that holds these."""
    content = b"\n".join([*(files()[name].read_bytes() for name in names), theme.css().encode()])
    name = f"page-{hashlib.sha256(content).hexdigest()[:8]}.css"
    _sheets[name] = content
    return name


def _content(name: str) -> bytes | None:
    """Return the content of a file; None for one that is not there."""
    if name in browser_scripts.changed():
        return browser_scripts.changed()[name].encode()
    return files()[name].read_bytes() if name in files() else _sheets.get(name)


@functools.cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_content(name) or b"", 9)


@functools.cache
def _needed(kinds: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the scripts and the style sheets that a page with these kinds of components loads."""
    needed: list[str] = []
    for first, part in (("index-*.js", "Index-"), ("Index-*.js", "Blocks-")):  # the page loads its frame, that the rest
        for parts in map(_parts, _scripts(first)):
            needed += [name for script, its_files in parts.items() if script.startswith(part) for name in its_files]
    for script in _scripts("core-*.js"):
        parts = _parts(script)
        of_kind = {kind[1]: _COMPONENT.search(kind[2]) for kind in _KIND.finditer(script)}
        for component in filter(None, map(of_kind.get, sorted(kinds))):
            needed += parts[component[1]]
    names = sorted((name for name in dict.fromkeys(needed) if name in files()), key=lambda name: name[:6] != "index-")
    return [name for name in names if name.endswith(".js")], [name for name in names if name.endswith(".css")]


def _scripts(pattern: str) -> list[str]:
    """Return the scripts of Gradio whose names fit a pattern."""
    return [path.read_text(encoding="utf-8") for name, path in files().items() if Path(name).match(pattern)]


def _parts(script: str) -> dict[str, list[str]]:
    """Return the parts that a script loads when they are needed, each with the names of all files that it needs."""
    match = _FILES_OF_SCRIPT.search(script)
    names = [name.strip('"`./') for name in match[1].split(",")] if match else []
    return {part[1]: [names[int(place)] for place in part[2].split(",") if place] for part in _PART.finditer(script)}
