"""Messages that form trees, as OASST has them, as one conversation for each path to a last answer."""

from typing import Any

from studio.data.marks import MESSAGE_KEYS
from studio.data.readers.base import BadRow, InMemoryReader, Reader, Row
from studio.errors import DataError


class MessageTree(InMemoryReader):
    """Messages that form trees (`message_id, parent_id, role, text`): each path to a last answer is a conversation."""

    COLUMNS = frozenset({"message_id", "parent_id", "role", "text"})
    MOST = 2_000_000
    """Messages that are held in memory at most."""

    def __init__(self, messages: Reader):
        super().__init__(messages.path)
        self._messages = messages

    def _load(self) -> list[Row | BadRow]:
        if self._messages.index() > self.MOST:
            raise DataError("data.too_large", name=self.path.name, size=self._messages.count, most=self.MOST)
        nodes: dict[Any, Row] = {}
        unplaced: list[Row | BadRow] = []
        for row in self._messages.rows():
            if isinstance(row, BadRow):
                unplaced.append(row)
            elif isinstance(row.get("message_id"), str | int) and isinstance(row.get("parent_id"), str | int | None):
                nodes[row["message_id"]] = {name: row[name] for name in row if name in self.COLUMNS | MESSAGE_KEYS}
            else:
                unplaced.append(BadRow("not_turns", str(row.get("text"))))
        answers = {name: row for name, row in nodes.items() if row["role"] in ("assistant", "gpt", "bot")}
        questions = (nodes.get(row["parent_id"]) for row in answers.values())
        continued = {question["parent_id"] for question in questions if question}
        return [*({"messages": self._path(nodes, name)} for name in answers if name not in continued), *unplaced]

    def _path(self, nodes: dict[Any, Row], name: Any) -> list[dict[str, Any]]:
        path: list[dict[str, Any]] = []
        visited = set()
        while name in nodes and name not in visited:
            visited.add(name)
            node = nodes[name]
            kept = {key: node[key] for key in MESSAGE_KEYS & node.keys()}
            path.append({"role": node["role"], "content": node["text"], **kept})
            name = nodes[name]["parent_id"]
        return path[::-1]
