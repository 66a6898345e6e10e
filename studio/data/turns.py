"""Read the turns of a cell, in the shapes in which chat formats keep them.

A cell is a list of messages (OpenAI, ShareGPT, Gemini, Bedrock, Anthropic, LangChain: role and content under various
keys), of exchanges (`{"user": …, "assistant": …}`), of texts or of pairs of texts, an object that holds such a list,
or text that marks its speakers (`### Human: …`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from studio.config import MappingConfig
from studio.data import marks
from studio.data.conversation import Notes, RowProblem, Turn, parsed, text_of
from studio.data.vocabulary import COLUMNS, ROLES, TOOL, role_of, suggest_roles

SPEAKERS = ("user", "assistant", "system")
ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "participant", "user_type", "type", "name")
_WEAK_ROLE_KEYS = ("type", "name")
"""Keys that often hold something else; they name the speaker where a role is known by that name."""
TEXT_KEYS = ("content", "value", "text", "message", "utterance", "parts", "contents", "body", "msg")
_COLUMNS_OF_ROLES = {
    "user": {*COLUMNS.user} - {*COLUMNS.weak}, "assistant": COLUMNS.assistant, "system": COLUMNS.system
}  # fmt: skip
_CALL_KEYS = ("tool_calls", "function_call", "tool_call_id")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_TAG = re.compile(r"(?:^[ \t]*##|###)[ \t]*(\w+)[ \t]*:[ \t]*", re.MULTILINE)
"""A speaker's mark in running text, such as `### Human:`."""
_PLAIN_TAG = re.compile(r"^[ \t]*(\w+)[ \t]*[:：][ \t]*", re.MULTILINE)
"""A speaker's name at the beginning of a line, such as `Human:`; it counts in text that begins with one."""
_PREFIX = re.compile(r"\s*(\w+)\s*[:：]\s*(.*)", re.DOTALL)
"""A text of a list that names its speaker, such as `patient: …`."""


class TurnReader:
    """Reads the turns of one row and notes their problems."""

    def __init__(self, mapping: MappingConfig, notes: Notes):
        self._roles = mapping.roles
        self._follows_marks = mapping.marks == "follow"
        self.notes = notes

    def read(self, value: Any) -> list[Turn | None]:
        """Return the turns of a cell in their order, None for a tool call or its result; raises RowProblem."""
        raw = parsed(value)
        if isinstance(raw, str):
            return self._tagged(raw)
        if isinstance(raw, list):
            return self._list(raw)
        if not isinstance(raw, Mapping):
            raise RowProblem("not_turns")
        if (entries := columnar(raw)) is not None:
            return self._list(entries)
        by_name = {str(key).lower(): inner for key, inner in raw.items()}
        inner = next((by_name[name] for name in COLUMNS.chat if isinstance(parsed(by_name.get(name)), list)), None)
        if inner is None:  # one turn or exchange
            return self._list([raw])
        turns = self._list(parsed(inner))
        return self.with_system(turns, next((by_name[name] for name in COLUMNS.system if by_name.get(name)), None))

    def with_system(self, turns: list[Turn | None], value: Any) -> list[Turn | None]:
        """Return the turns with the system prompt of another place before them, unless they have their own."""
        system = "" if value is None else text_of(parsed(value), self.notes) or ""
        if not system.strip():
            return turns
        own = next((turn for turn in turns if turn and turn.role == "system"), None)
        if own is None:
            return [Turn("system", system), *turns]
        if own.content.strip() != system.strip():
            self.notes.add("two_systems")
        return turns

    def _list(self, raw: list[Any]) -> list[Turn | None]:
        if (turns := self._plain_turns(raw)) is not None:
            return turns
        if raw and all(isinstance(entry, str) for entry in raw):
            objects = [parsed(entry) for entry in raw]
            if not all(isinstance(entry, Mapping) for entry in objects):
                return self._texts(raw)
            raw = objects
        if len(raw) == 1 and _are_turns(raw[0]):
            raw = raw[0]
        if raw and all(isinstance(entry, list | tuple) for entry in raw):
            return self._pairs(raw)
        if not all(isinstance(entry, Mapping) for entry in raw):
            raise RowProblem("not_turns")
        names = [name for entry in raw if (name := speaker_of(entry)) is not None]
        if unknown := suggest_roles(names, self._roles):
            raise RowProblem("unknown_role", unknown)
        return [turn for entry in raw for turn in self._entry(entry)]

    def _plain_turns(self, raw: list[Any]) -> list[Turn | None] | None:
        """Read messages that have nothing but a known role and text, as most do; None for others: the fast path."""
        turns: list[Turn | None] = []
        for entry in raw:
            plain = _plain(entry) if isinstance(entry, dict) else None
            role = role_of(plain[0], self._roles) if plain else None
            if role not in SPEAKERS:
                return None
            turns.append(Turn(role, plain[1]))
        return turns

    def _texts(self, raw: list[str]) -> list[Turn]:
        """Read plain texts: by the speakers that they name, else the user's and the assistant's by turns."""
        split = [_PREFIX.match(text) for text in raw]
        roles = [role_of(match[1], self._roles) if match else None for match in split]
        if len(raw) > 1 and all(role in (*SPEAKERS, "skip") for role in roles):
            return _speaker_turns(roles, [match[2] for match in split if match])
        return _speaker_turns(["user", "assistant"] * len(raw), raw)

    def _pairs(self, raw: list[Any]) -> list[Turn]:
        """Read pairs of texts: speaker and text, or question and answer."""
        if not all(len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in raw):
            raise RowProblem("not_turns")
        roles = [role_of(name, self._roles) for name, _ in raw]
        if all(roles):
            return _speaker_turns(roles, [text for _, text in raw])
        return _speaker_turns(["user", "assistant"] * len(raw), [text for pair in raw for text in pair])

    def _entry(self, entry: Mapping[str, Any]) -> list[Turn | None]:
        """Read one message, or one exchange of several speakers."""
        entry = _unwrapped(entry)
        if marks.has_fraction(marks.in_lower_case(entry, marks.MESSAGE_KEYS)):
            self.notes.add("weights")
        if entry.get("type") == "reasoning":  # an item of OpenAI's responses
            self.notes.add("reasoning")
            return []
        name = speaker_of(entry)
        return self._exchange(entry) if name is None else self._message(entry, role_of(name, self._roles) or "")

    def _message(self, entry: Mapping[str, Any], role: str) -> list[Turn | None]:
        if role == "skip":
            return []
        if role == TOOL:
            self.notes.add("tool_calls")
            return [None]
        if any(isinstance(entry.get(key), str) and entry[key].strip() for key in _REASONING_KEYS):
            self.notes.add("reasoning")
        if isinstance(entry.get("name"), str) and entry["name"] and _role_key(entry) != "name":
            self.notes.add("names")
        calls = any(entry.get(key) for key in _CALL_KEYS)
        if calls:
            self.notes.add("tool_calls")
        own = Notes()
        content = next((entry[key] for key in TEXT_KEYS if entry.get(key) is not None), None)
        if content is None and role == "assistant" and isinstance(entry.get("refusal"), str):
            own.add("refusal")
            text = entry["refusal"]
        elif content is None and isinstance(entry.get("audio"), Mapping):
            text = own.add("media")
        elif calls and (not content or (isinstance(content, str) and not content.strip())):
            text = None
        elif content is None and not any(key in entry for key in TEXT_KEYS):
            raise _not_understood(entry)
        else:
            text = text_of(content, own)
        self.notes.update(own)
        if text is None:
            if role == "user" and "media" in own and "tool_calls" not in own:
                raise RowProblem("only_media")
            return [None]
        turn = Turn(role, text, self._trained(entry) if role == "assistant" else True)
        return [turn, None] if calls else [turn]

    def _exchange(self, entry: Mapping[str, Any]) -> list[Turn | None]:
        """Read an object whose keys are the speakers, such as `{"user": …, "assistant": …}`."""
        texts: dict[str, list[str]] = {"system": [], "user": [], "assistant": []}
        for key, value in entry.items():
            name = str(key).strip()
            named = (role for role, names in _COLUMNS_OF_ROLES.items() if name.lower() in names)
            role = role_of(name, self._roles) or next(named, None)
            if role in texts and value is not None:
                text = text_of(value, self.notes)
                if text and text.strip():
                    texts[role].append(text)
        if not texts["user"] and not texts["assistant"]:
            raise _not_understood(entry)
        turns: list[Turn | None] = [Turn("system", text) for text in texts["system"][:1]]
        if texts["user"]:
            turns.append(Turn("user", "\n".join(texts["user"])))
        if texts["assistant"]:
            turns.append(Turn("assistant", texts["assistant"][0], self._trained(entry)))
            if len(texts["assistant"]) > 1:
                self.notes.add("extra_answers")
        return turns

    def _trained(self, entry: Mapping[str, Any]) -> bool:
        own = marks.in_lower_case(entry, marks.MESSAGE_KEYS) if self._follows_marks else {}
        return not own or not marks.excludes_message(own)

    def _tagged(self, text: str) -> list[Turn]:
        """Read text in which tags name the speakers; other headings in it are part of the messages."""
        known = {**ROLES, **{name.lower(): role for name, role in self._roles.items()}}
        tags = [mark for mark in _TAG.finditer(text) if mark[1].lower() in known]
        if not tags:  # names at the beginnings of lines: each role has one, its first, and the text begins with one
            names: dict[str, str] = {}
            for mark in _PLAIN_TAG.finditer(text):
                name = mark[1].lower()
                if name in known and names.setdefault(known[name], name) == name:
                    tags.append(mark)
        if not tags or (tags[0].re is _PLAIN_TAG and text[: tags[0].start()].strip()):
            raise RowProblem("not_turns")
        ends = [*(mark.start() for mark in tags[1:]), len(text)]
        contents = [text[mark.end() : end].strip() for mark, end in zip(tags, ends, strict=True)]
        return _speaker_turns([known[mark[1].lower()] for mark in tags], contents)


def _speaker_turns(roles: Iterable[str | None], texts: Sequence[str]) -> list[Turn]:
    """Return the texts as turns, without those of roles that are skipped."""
    return [Turn(role, text) for role, text in zip(roles, texts, strict=False) if role in SPEAKERS]


def speaker_of(entry: Mapping[str, Any]) -> str | None:
    """Return the name of a message's speaker; None where its keys name none."""
    if plain := _plain(entry):
        return plain[0]
    entry = _unwrapped(entry)
    key = _role_key(entry)
    return None if key is None else str(entry[key]).strip()


def holds_turns(value: Any) -> bool:
    """Whether a cell holds messages that name their speakers, or an object with such a list."""
    raw = parsed(value)
    if isinstance(raw, str):
        return False
    if isinstance(raw, Mapping):
        inner = (parsed(part) for key, part in raw.items() if str(key).lower() in COLUMNS.chat)
        return columnar(raw) is not None or speaker_of(raw) is not None or any(map(_are_turns, inner))
    return _are_turns(raw) or (isinstance(raw, list) and len(raw) == 1 and _are_turns(raw[0]))


def _are_turns(raw: Any) -> bool:
    return isinstance(raw, list) and bool(raw) and all(isinstance(e, Mapping) and speaker_of(e) for e in raw)


def columnar(value: Any) -> list[dict[str, Any]] | None:
    """Return the messages of an object of lists, as Arrow keeps a list of objects; None where it is none."""
    if not isinstance(value, Mapping) or not value:
        return None
    keys, parts = set(value), list(value.values())
    if not keys & set(ROLE_KEYS) or not keys & set(TEXT_KEYS) or not all(isinstance(part, list) for part in parts):
        return None
    if len(set(map(len, parts))) != 1:
        return None
    return [dict(zip(value, parts, strict=True)) for parts in zip(*value.values(), strict=True)]


def _plain(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return speaker and text of a message that has nothing else; None for others."""
    if len(entry) != 2:
        return None
    name = entry.get("role") or entry.get("from")
    text = entry.get("content") if "role" in entry else entry.get("value")
    return (name.strip(), text) if isinstance(name, str) and isinstance(text, str) else None


def _unwrapped(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message without the wrapper in which LangChain (`type`, `data`) and answers (`message`) keep it."""
    inner = entry.get("data")
    if isinstance(inner, Mapping) and isinstance(entry.get("type"), str):
        return {**inner, "role": entry["type"]}
    inner = entry.get("message")
    if isinstance(inner, Mapping) and _role_key(inner) is not None:
        return inner
    return entry


def _role_key(entry: Mapping[str, Any]) -> str | None:
    has_text = any(key in entry for key in (*TEXT_KEYS, *_CALL_KEYS, "refusal", "audio"))
    for key in ROLE_KEYS:
        name = entry.get(key)
        if isinstance(name, bool) or not isinstance(name, str | int):
            continue
        role = ROLES.get(str(name).strip().lower())
        if role == TOOL or (has_text and (role or key not in _WEAK_ROLE_KEYS)):
            return key
    return None


def _not_understood(entry: Mapping[str, Any]) -> RowProblem:
    unknown = [str(key) for key in entry if key not in ROLE_KEYS and key not in TEXT_KEYS]
    return RowProblem("unknown_keys", dict.fromkeys(unknown[:8], "")) if unknown else RowProblem("not_turns")
