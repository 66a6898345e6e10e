"""What a browser gets besides Gradio's files, and in place of a part of them: scripts, and the page's fonts.

The scripts depend on what Gradio sends; where that changes, they change nothing, and tests over a real page fail.
"""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.ui import theme

_SEARCH = re.compile(
    r"function ([\w$]+)\(e,t\)\{if\(e\.id===t\)return e;"
    r"if\(e\.children\)for\(let n of e\.children\)\{let e=\1\(n,t\);if\(e\)return e\}return null\}"
)
"""The function of Gradio's page that searches a tree of components, all of it, for the one with an id."""
_INDEXED_SEARCH = (
    "const paths{name}=new Map;function {name}(e,t){{const follow=()=>{{let n=paths{name}.has(t)?e:null;"
    "for(const i of paths{name}.get(t)??[])n=n?.children?.[i];return n?.id===t?n:null}};"
    "if(t==null)return null;const found=follow();if(found)return found;paths{name}.clear();"
    "const walk=(n,path)=>{{paths{name}.has(n.id)||paths{name}.set(n.id,path);"
    "n.children?.forEach((child,i)=>walk(child,[...path,i]))}};walk(e,[]);return follow()}}"
)
"""The same with the path to each id kept; a path that leads elsewhere by now is looked for again.

An event that no component begins has the id null, which Gradio searches for 182 times while a page loads.
"""


@functools.cache
def prepare_pages() -> None:
    """Let each page begin with `start.js`, which Gradio's template has no place for before its own scripts."""
    from gradio.routes import templates

    to_json = templates.env.filters.get("toorjson", str)
    script = Markup(";\n") + Markup((Path(__file__).parent / "start.js").read_text(encoding="utf-8"))

    def to_script(value: Any) -> Any:
        return to_json(value) + (script if isinstance(value, dict) and "dependencies" in value else "")

    templates.env.filters["toorjson"] = to_script


class Assets:
    """Serves files beside Gradio's, or in the place of some of them."""

    def __init__(self, app: ASGIApp, files: Callable[[], Mapping[str, str | bytes]], media_type: str, cache: str):
        """Serve what `files` returns by name; `cache` says how long a browser may keep it (Cache-Control)."""
        self.app, self._files = app, files
        self._settings = {"media_type": media_type, "headers": {"Cache-Control": cache}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        folder, _, name = scope["path"].rpartition("/") if scope["type"] == "http" else ("", "", "")
        file = self._files().get(name) if folder.endswith("/assets") else None
        answer = self.app if file is None else Response(file, **self._settings)
        await answer(scope, receive, send)


def served_fonts() -> Middleware:
    """Return what serves the page's fonts: their addresses change with them, so a browser keeps them."""
    return Middleware(Assets, files=fonts, media_type="font/woff2", cache="max-age=31536000, immutable")


def served_scripts() -> Middleware:
    """Return what serves Gradio's script with an index in place of its search for a component.

    With every step of every event, Gradio searches the tree for each component that an event has had to do with. With
    1,000 components, each behind Svelte's proxies, that was more than half of the scripts' time: a page loads and
    changes tabs twice as fast without. Where Gradio's script changes, this changes nothing.
    """
    return Middleware(Assets, files=indexed_scripts, media_type="text/javascript", cache="max-age=3600")


@functools.cache
def fonts() -> dict[str, bytes]:
    """Return the page's fonts by the names of their files."""
    return {path.name: path.read_bytes() for path in theme.FONT_FOLDER.glob("*.woff2")}


@functools.cache
def indexed_scripts() -> dict[str, str]:
    """Return the scripts of Gradio that search for components, by name, with the index in them."""
    from gradio.routes import BUILD_PATH_LIB

    scripts = {path.name: path.read_text(encoding="utf-8") for path in Path(BUILD_PATH_LIB).glob("core-*.js")}
    return {name: with_index(script) for name, script in scripts.items() if _SEARCH.search(script)}


def with_index(script: str) -> str:
    """Return a script with an index in place of the search."""
    return _SEARCH.sub(lambda match: _INDEXED_SEARCH.format(name=match[1]), script)
