"""The text of HTML, as a reader sees it, without what surrounds it."""

from collections import Counter
from typing import Any

from studio.errors import one_line

_BLOCKS = frozenset(
    ("p", "div", "li", "br", "hr", "tr", "blockquote", "pre", "section", "article", "h1", "h2", "h3", "h4", "h5", "h6",
     "td", "dt", "dd", "figcaption", "table", "ul", "ol", "title", "body", "main")
)  # fmt: skip
_HEADINGS = frozenset(("h1", "h2", "h3", "h4"))
UNREAD = ("script", "style", "head", "template", "noscript", "svg", "math", "iframe")
NAVIGATION = ("nav", "header", "footer", "aside", "form", "button", "select")


class RejectedMarkup(ValueError):
    """The parser gives a page up."""


def parse_html(html: str) -> Any:
    """Parse a page; raises RejectedMarkup where that is given up."""
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    try:
        return BeautifulSoup(html, "html.parser")
    except (ParserRejectedMarkup, AssertionError) as error:
        raise RejectedMarkup(one_line(error)) from error


def blocks_of_html(
    html: str, without: tuple[str, ...] = (*UNREAD, *NAVIGATION), left_out: Counter[str] | None = None
) -> list[tuple[bool, str]]:
    """Return the blocks of HTML in order, each with whether it is a heading.

    An empty block stands where a paragraph ends; those of a list, a table or a verse follow each other. Elements of the
    names `without` that have text are counted in `left_out` as `navigation`.
    """
    from bs4 import NavigableString
    from bs4.element import PreformattedString

    soup = parse_html(html)
    for element in soup.find_all(without):
        if element.decomposed:
            continue
        if left_out is not None and element.name in NAVIGATION and element.get_text(strip=True):
            left_out["navigation"] += 1
        element.decompose()
    blocks: list[tuple[bool, str]] = []
    line: list[str] = []

    def end(is_heading: bool = False, is_paragraph: bool = False) -> None:
        text = " ".join("".join(line).split())
        line.clear()
        if text:
            blocks.append((is_heading, text))
        if is_paragraph and blocks and blocks[-1][1]:
            blocks.append((False, ""))

    stack: list[Any] = [iter(soup.contents)]
    names: list[str] = [""]
    while stack:  # a loop, since a page may be nested deeper than calls can be
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            name = names.pop()
            if name in _BLOCKS:
                end(name in _HEADINGS, name in ("p", "blockquote", "pre", "div", "section", "article", *_HEADINGS))
        elif isinstance(node, NavigableString):
            if not isinstance(node, PreformattedString):
                line.append(str(node))
        else:
            if node.name in _BLOCKS:
                end()
            stack.append(iter(node.contents))
            names.append(node.name)
    end()
    return blocks
