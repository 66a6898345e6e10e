"""Write the rows that would be trained on, repaired and without the others, as JSON lines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.config import RunConfig
from studio.data import prepare, scan, source
from studio.data.conversation import RowProblem, Turn
from studio.data.readers.base import OnProgress
from studio.errors import ModelError
from studio.model.load import load_tokenizer


def write(config: RunConfig, path: Path, on_progress: OnProgress = lambda share: None) -> int:
    """Write the usable rows of a dataset to `path` and return how many they are.

    Pairs keep their columns, conversations become `{"messages": [{"role", "content"}, …]}` with `weight: 0` at answers
    that are not learned, beside the column that groups rows for validation. Rows are left out as the
    settings under `data.fixes` say, and those that cannot be used always; raises DataError when none is left.
    """
    try:
        load_tokenizer(config.model)
        usable = {int(number) for number in prepare.inspect(config, on_progress).row_numbers}
    except ModelError:  # without tokens, only what the rows alone show
        usable = None
    draft = path.with_name(f".{path.name}.draft")
    written = 0
    with open(draft, "w", encoding="utf-8") as file:
        for line in _lines(config, usable):
            file.write(line)
            written += 1
    draft.replace(path)
    return written


def _lines(config: RunConfig, usable: set[int] | None) -> Iterator[str]:
    opened = prepare.table(config.data)
    chosen = prepare.mapping(config.data).mapping
    for number, row in scan.chosen_rows(opened, config.data, opened.count):
        if usable is not None and number not in usable:
            continue
        try:
            turns = scan.conversation_of(row, config.data, chosen).turns
        except RowProblem:
            continue
        if chosen.shape == "messages":
            group = config.data.validation.group
            group_cell = {group: source.cell(row, group)} if group and group != "messages" else {}
            row = {**group_cell, "messages": [_message(turn) for turn in turns]}
        yield json.dumps(row, ensure_ascii=False, default=str) + "\n"


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    return message if turn.role != "assistant" or turn.trained else {**message, "weight": 0}
