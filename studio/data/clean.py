"""Write the rows that would be trained on, repaired and without the others, as JSON lines."""

from collections.abc import Iterator
from pathlib import Path

from studio.config import RunConfig
from studio.data import prepare, scan, source
from studio.data.conversation import RowProblem
from studio.data.readers.base import OnProgress, Row
from studio.errors import ModelError
from studio.files import write_json_lines
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
    data, mapping = config.data, prepare.mapping(config.data, config.train.method).mapping
    table, group = prepare.table(data), data.validation.group

    def cleaned() -> Iterator[Row]:
        for number, row in scan.chosen_rows(table, data, table.count):
            if usable is not None and number not in usable:
                continue
            try:
                turns = scan.conversation_of(row, data, mapping).turns
            except RowProblem:
                continue
            if mapping.shape == "messages" and not mapping.rejected:
                messages = [
                    {"role": turn.role, "content": turn.content} | ({} if turn.trained else {"weight": 0})
                    for turn in turns
                ]
                group_cell = {group: source.cell(row, group)} if group else {}
                row = {**group_cell, "messages": messages}
            yield row

    return write_json_lines(path, cleaned()) or path.write_text("")  # without rows, an empty file
