"""Where rows come from that were made of a user's own material: counts that travel to the run and the model card.

The rows name a recipe, a file and a place each. Only kinds are counted here, from fixed lists, since names of files
tell who talked with whom. What the rows cannot show (how many were dropped) stands in a file beside them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from studio.data.readers.base import BadRow
from studio.data.source import Table
from studio.files import read_json, replace_file, sha256

RECIPES = ("chat", "keywords", "beginning", "plain", "question")
FORMATS = (
    *("Telegram", "Discord (DiscordChatExporter)", "Instagram / Messenger", "Slack", "e-mail (mbox, eml)"),
    *("WhatsApp", "KakaoTalk", "docx", "pdf", "epub", "html", "htm", "md", "txt", "srt", "vtt"),
)
WRITERS = ("base", "endpoint")
"""What wrote the prompts of the recipes `plain` and `question`."""
OTHER = "other"
_KINDS = {"recipe": RECIPES, "format": FORMATS, "writer": WRITERS}
JUDGEMENTS = ("judged_by", "answer_column", "rejected_column")
"""Columns of rows that votes and readings were made into: the kind of judgement, and what gave the answers."""
DROPPED = (
    "pair_empty", "pair_cut", "pair_length", "pair_copied", "pair_meaning", "pair_repeated",
)  # fmt: skip
"""Why a pair is dropped before anybody has looked at it."""


def path_of(rows: Path) -> Path:
    """Return the file beside the rows."""
    return rows.with_name(f"{rows.stem}.provenance.json")


def write(rows: Path, filtered: Mapping[str, int], dropped: int = 0, original: str | None = None) -> None:
    """Write what the rows cannot show: pairs that a filter has dropped by reason, and rows dropped by hand.

    `original` is the name of the file, beside the rows, from which those were dropped.
    """
    facts = {
        "rows_sha256": sha256(rows),
        "filtered": {kind: filtered[kind] for kind in DROPPED if filtered.get(kind)},
        "dropped": dropped,
        "original": original,
    }
    replace_file(path_of(rows), json.dumps(facts, indent=1))


def read(rows: Path) -> dict[str, Any]:
    """Return what stands beside the rows; empty where there is nothing, or it is about other rows."""
    facts = read_json(path_of(rows))
    return facts if facts and rows.is_file() and facts.get("rows_sha256") == sha256(rows) else {}


def is_of_material(table: Table) -> bool:
    """Whether the rows of a table were made of material."""
    return any(_source(row).get("recipe") in RECIPES for row in table.first[:1])


def count(table: Table, numbers: Iterable[int]) -> dict[str, Any] | None:
    """Return the rows with these numbers (from 1) by recipe, format and writer, and those edited or dropped by hand.

    None for rows that were not made of material.
    """
    if not is_of_material(table):
        return None
    counts = {name: Counter[str]() for name in _KINDS}
    edited = 0
    for row in table.reader.rows_at([number - 1 for number in numbers]):
        origin = _source(row)
        for name, known in _KINDS.items():
            if name in origin or name != "writer":
                value = origin.get(name)
                counts[name][value if value in known else OTHER] += 1
        edited += bool(origin.get("edited"))
    record = read(table.path)
    filtered, dropped = record.get("filtered"), record.get("dropped")
    return {
        **{f"{name}s": dict(by_kind) for name, by_kind in counts.items()},
        "edited": edited,
        "dropped": dropped if isinstance(dropped, int) else 0,
        "filtered": sum(filtered.values()) if isinstance(filtered, dict) else 0,
    }


def count_judgements(table: Table, numbers: Iterable[int]) -> dict[str, Any] | None:
    """Return what judged the rows with these numbers (from 1), and which columns had given their answers.

    None for rows that no votes or readings on a run were made into.
    """
    if not any(isinstance(row, Mapping) and "judged_by" in row for row in table.first[:1]):
        return None
    rows = [row for row in table.reader.rows_at([number - 1 for number in numbers]) if isinstance(row, Mapping)]
    values = {name: [row[name] for row in rows if isinstance(row.get(name), str)] for name in JUDGEMENTS}
    return {name: dict(Counter(of_name)) for name, of_name in values.items()}


def _source(row: Any) -> Mapping[str, Any]:
    if isinstance(row, BadRow):
        return {}
    origin = row.get("source")
    return origin if isinstance(origin, Mapping) else {}
