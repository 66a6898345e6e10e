"""One pass over all rows: read, render, tokenize and label them, and count problems.

The result lies in one Arrow file in the cache, under a name made from everything that it depends on: the same data,
template and tokenizer are never tokenized twice. Memory does not grow with the rows, but for some bytes each.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from studio.config import DataConfig, MappingConfig, Method
from studio.data import speech_levels, tokens
from studio.data.conversation import Conversation, RowProblem, Turn
from studio.data.prompt import PromptRenderer
from studio.data.readers.base import BadRow, OnProgress, RepairedRow, Row
from studio.data.rows import columns_for_template, is_good, read_conversation, rejected_side
from studio.data.source import Table, cell
from studio.data.tokens import Rendering
from studio.errors import ModelError
from studio.files import atomic_write, newest_first, replace_file, user_cache
from studio.model.template import source_of

BATCH = 1_000
"""Rows tokenized at a time, between two calls of `on_progress`."""
ROWS_NAMED = 100
"""Row numbers kept for each kind of problem."""
NAMES_KEPT = 20
"""Unknown names kept for each kind of problem."""
NEAR_ROWS = 100_000
"""Rows among which near duplicates are searched, unless they are to be removed."""
_MAX_CACHE_BYTES = 20_000_000_000
_RENDERED = {"merge_turns", "merge_system", "drop_special"}
"""The fixes that decide how a row is read or rendered."""
_VERSION = 6
"""Part of every name in the cache; raised when the pass itself changes."""


@dataclass
class ProblemCount:
    """How many rows have a problem, which ones (counted from 1, the first of them), and an example."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    example: str = ""
    names: dict[str, str] = field(default_factory=dict)
    """The first unknown names in them, each with what it may stand for."""
    detail: str = ""
    """What caused it in the first row, in the words of the template or parser that refused it."""

    def add(self, number: int, row: Row | BadRow, names: Mapping[str, str] | None = None, detail: str = "") -> None:
        """Count one more row."""
        self.count += 1
        self.names = dict(islice({**self.names, **(names or {})}.items(), NAMES_KEPT))
        self.detail = self.detail or writable(detail)
        if len(self.rows) < ROWS_NAMED:
            self.rows.append(number)
        self.example = self.example or example_of(row)


@dataclass
class ScanResult:
    """All rows that can be rendered, tokenized, in an Arrow file; and those that cannot."""

    path: Path
    rows: int
    problems: dict[str, ProblemCount]
    near: list[int]
    """Numbers of the rows, counted from 1, that are nearly the same as an earlier one."""
    near_rows: int
    """Rows, from the first on, among which near duplicates were searched."""
    speech: dict[str, int] = field(default_factory=dict)
    """Sentences of each Korean speech level in the answers."""

    def dataset(self) -> Any:
        """Return the rows as a memory-mapped `datasets.Dataset`.

        Columns: `number` (of the row in the file, from 1), `input_ids` and `labels` (without what is cut), `length`
        (tokens before cutting), `trained` (tokens with a label), `hash` (of the messages), `group`.
        """
        from datasets import Dataset

        return Dataset.from_file(str(self.path))


def scan(
    table: Table,
    data: DataConfig,
    mapping: MappingConfig,
    render: PromptRenderer,
    tokenizer: Any,
    on_progress: OnProgress = lambda share: None,
    today: date | None = None,
    method: Method = "sft",
) -> ScanResult:
    """Tokenize all rows that the settings choose, or return what an earlier pass left in the cache.

    For `dpo`, both answers of a row are tokenized, and for `kto` its label is read beside the answer.

    `on_progress` gets the share done between two batches, and may raise to end the work. `today` is the date with
    which `render` renders templates that write one.
    """
    folder = user_cache("tokens")
    count = table.index(lambda share: on_progress(share * 0.1))
    near_rows = count if "near_deduplicate" in data.fixes else min(count, NEAR_ROWS)
    scanner = _Scanner(data, mapping, render, tokenizer, near_rows, method)
    name = scanner.key(table, today)
    path, record = folder / f"{name}.arrow", folder / f"{name}.json"
    if record.exists() and path.exists():
        record.touch()
        cached = json.loads(record.read_text(encoding="utf-8"))
        problems = {kind: ProblemCount(**counted) for kind, counted in cached["problems"].items()}
        return ScanResult(path, **{**cached, "problems": problems})
    with atomic_write(path) as draft:
        rows = scanner.write(draft, chosen_rows(table, data, count), min(count, data.limit or count), on_progress)
    problems, speech = dict(scanner.problems), dict(scanner.speech)
    scanned = ScanResult(path, rows, problems, scanner.near.numbers, min(near_rows, rows), speech)
    cached = asdict(scanned)
    del cached["path"]
    replace_file(record, json.dumps(cached, ensure_ascii=False))
    _prune(folder)
    return scanned


def conversation_of(row: Row | BadRow, data: DataConfig, mapping: MappingConfig) -> Conversation:
    """Read the conversation of one row; raises RowProblem."""
    if isinstance(row, BadRow):
        raise RowProblem(row.kind)
    conversation = read_conversation(row, mapping, merge="merge_turns" in data.fixes)
    if isinstance(row, RepairedRow):
        return replace(conversation, notes=(*conversation.notes, *row.notes))
    return conversation


def render_row(
    row: Row, turns: tuple[Turn, ...], data: DataConfig, mapping: MappingConfig, render: PromptRenderer
) -> Rendering:
    """Render one row; raises RowProblem for one that cannot be rendered or has nothing to learn."""
    rendering = render.example(turns, columns_for_template(row, mapping) if render.reads_columns else row)
    trained = [number for number, segment in enumerate(rendering.segments) if segment.trained]
    if not trained:
        raise RowProblem("untrained")
    if "special_text" in rendering.notes and "drop_special" in data.fixes:
        raise RowProblem("special_text")
    try:
        rendering.text.encode()
    except UnicodeEncodeError as error:
        raise RowProblem("half_character", detail=repr(rendering.text[error.start])[1:-1]) from error
    if data.turns == "last":
        segments = (replace(s, trained=number == trained[-1]) for number, s in enumerate(rendering.segments))
        rendering = replace(rendering, segments=tuple(segments))
    return rendering


def render_answers(
    row: Row | BadRow, data: DataConfig, mapping: MappingConfig, render: PromptRenderer, method: Method = "sft"
) -> tuple[Conversation, list[Rendering]]:
    """Read and render one row: its answer, or for `dpo` the better and the worse one; raises RowProblem.

    Both answers must follow the same prompt. Of preference data, only the last answer is trained.
    """
    conversation = conversation_of(row, data, mapping)
    renderings = [render_row(row, conversation.turns, data, mapping, render)]
    if method == "kto":
        is_good(row, mapping)
    if method == "dpo":
        worse, turns = worse_conversation(row, data, mapping)
        renderings.append(render_row(worse, turns, data, mapping, render))
    return conversation, renderings


def worse_conversation(row: Row, data: DataConfig, mapping: MappingConfig) -> tuple[Row, tuple[Turn, ...]]:
    """Return a row with its worse answer in the place of the better one, and its turns; raises RowProblem."""
    worse = rejected_side(row, mapping)
    one, other = (conversation_of(each, data, mapping).turns for each in (row, worse))
    if [(turn.role, turn.content) for turn in one[:-1]] != [(turn.role, turn.content) for turn in other[:-1]]:
        raise RowProblem("other_prompts")
    if one[-1].content.strip() == other[-1].content.strip():
        raise RowProblem("same_answers")
    return worse, other


def chosen_rows(table: Table, data: DataConfig, count: int) -> Iterator[tuple[int, Row | BadRow]]:
    """Yield the rows that the settings choose with their numbers, counted from 1."""
    if data.limit is None or data.limit >= count:
        yield from enumerate(table.rows(), start=1)
    elif data.pick == "first":
        yield from enumerate(table.rows(0, data.limit), start=1)
    else:
        wanted = chosen_numbers(data, count)
        yield from ((number + 1, row) for number, row in enumerate(table.rows()) if number in wanted)


def chosen_numbers(data: DataConfig, count: int) -> Container[int]:
    """Return the numbers (from 0) of the rows that the settings choose of so many."""
    if data.limit is None or data.limit >= count:
        return range(count)
    if data.pick == "first":
        return range(data.limit)
    return set(random.Random(data.seed).sample(range(count), data.limit))


def example_of(row: Row | BadRow) -> str:
    """Return the beginning of a row, as an example."""
    return writable(row.text if isinstance(row, BadRow) else json.dumps(row, ensure_ascii=False, default=str)[:200])


def writable(text: str) -> str:
    """Return a text with a replacement character for every half of a surrogate pair, which no encoding can write."""
    return text.encode("utf-8", "replace").decode()


@dataclass
class _Scanner:
    data: DataConfig
    mapping: MappingConfig
    render: PromptRenderer
    tokenizer: Any
    near_rows: int
    method: Method
    problems: defaultdict[str, ProblemCount] = field(default_factory=lambda: defaultdict(ProblemCount))
    speech: Counter[str] = field(default_factory=Counter)

    @cached_property
    def near(self) -> "_NearDuplicates":
        return _NearDuplicates(self.near_rows)

    def key(self, table: Table, today: date | None) -> str:
        """Return the name of the result in the cache: a hash of everything that it depends on."""
        data, tokenizer = self.data, self.tokenizer
        core = getattr(tokenizer, "backend_tokenizer", None)
        parts = {
            "version": _VERSION,
            "table": table.sha256,
            "format": [table.file_format, table.encoding, data.source.sheet],
            "mapping": self.mapping.model_dump(mode="json"),
            "prompt": data.prompt.model_dump(mode="json"),
            "rows": [data.limit, data.pick, data.seed if data.pick == "random" else 0],
            "labels": [data.train_on, data.turns, data.max_length],
            "fixes": sorted(_RENDERED.intersection(data.fixes)),
            "group": data.validation.group,
            "near": self.near_rows,
            "method": self.method,
            "tokenizer": hashlib.sha256((core.to_str() if core else repr(tokenizer)).encode()).hexdigest(),
            "template": getattr(tokenizer, "chat_template", None),
            "special": [tokenizer.bos_token, tokenizer.eos_token],
            "date": str(today or datetime.now(UTC).date()) if "strftime_now" in source_of(tokenizer) else "",
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def write(self, path: Path, rows: Iterator[tuple[int, Row | BadRow]], total: int, on_progress: OnProgress) -> int:
        """Tokenize rows into an Arrow file, and return how many were read."""
        import pyarrow

        number, numbers, wide = pyarrow.int32(), pyarrow.list_(pyarrow.int32()), pyarrow.int64()
        columns = {"number": number, "input_ids": numbers, "labels": numbers, "length": number, "trained": number}
        columns |= {"hash": wide, "group": wide}
        if self.method == "dpo":
            columns |= {"rejected_ids": numbers, "rejected_labels": numbers, "rejected_trained": number}
        if self.method == "kto":
            columns["good"] = pyarrow.bool_()
        if self.method != "sft":
            columns["opposite"] = wide
        schema = pyarrow.schema(columns)
        stops = tokens.stop_ids(self.tokenizer)
        done = 0
        with open(path, "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
            while batch := list(islice(rows, BATCH)):
                on_progress(0.1 + 0.9 * done / total)
                entries = list(self._entries(batch, stops))
                writer.write_batch(pyarrow.RecordBatch.from_pylist(entries, schema=schema))
                done += len(batch)
        return done

    def _entries(self, rows: list[tuple[int, Row | BadRow]], stops: frozenset[int]) -> Iterator[dict[str, Any]]:
        """Yield what is stored of each row that can be used, and count the problems of all."""
        data = self.data
        rendered: list[tuple[int, Row, Conversation, list[Rendering]]] = []
        for number, row in rows:
            try:
                conversation, renderings = render_answers(row, data, self.mapping, self.render, self.method)
                rendered.append((number, row, conversation, renderings))
            except RowProblem as problem:
                self.problems[problem.kind].add(number, row, problem.names, problem.detail)
            except ModelError as error:
                if error.key != "model.template":
                    raise
                raise ModelError("model.template_row", row=number, **error.values) from error
        segments = [rendering.segments for *_, renderings in rendered for rendering in renderings]
        labelled = iter(tokens.tokenize(segments, self.tokenizer, data.max_length, data.train_on))
        for number, row, conversation, renderings in rendered:
            answers = list(islice(labelled, len(renderings)))
            tokenized, rendering = answers[0], renderings[0]
            endless = [one for one in answers if not one.cut and not tokens.ends_by_itself(one, self.tokenizer, stops)]
            if endless:
                self.problems["no_end"].add(number, row, detail=self.tokenizer.decode(endless[0].ids[-8:]))
                continue
            notes = [*conversation.notes, *(note for one in renderings for note in one.notes)]
            notes += ["joined"] if any(one.joined for one in answers) else []
            if any(one.cut for one in answers):
                notes.append("answer_cut" if all(one.trained for one in answers) else "nothing_trained")
            speech = speech_levels.levels("\n".join(part.text for part in rendering.segments if part.trained))
            self.speech += speech
            if speech_levels.is_mixed(speech):
                notes.append("mixed_speech")
            for note in dict.fromkeys(notes):
                self.problems[note].add(number, row)
            text = "\n".join(turn.content for turn in conversation.turns if turn.role != "system")
            self.near.add(number, text)
            yield {
                "number": number,
                **tokenized.for_training(),
                "length": max(len(one.ids) for one in answers),
                "trained": tokenized.trained if all(one.trained for one in answers) else 0,
                "hash": _hash(text),
                **self._preference(row, answers, text),
                "group": _hash(str(cell(row, data.validation.group))) if data.validation.group else 0,
            }

    def _preference(self, row: Row, answers: list[tokens.Tokens], text: str) -> dict[str, Any]:
        """Return what is stored of a row beside its better answer; `opposite` is the hash of the contrary judgement."""
        if self.method == "sft":
            return {}
        if self.method == "kto":
            good = is_good(row, self.mapping)
            hashes = {"hash": _hash(f"{good} {text}"), "opposite": _hash(f"{not good} {text}")}
            return {"good": good, **hashes}
        worse = answers[1].for_training()
        better_text, worse_text = (str(one.ids) for one in answers)
        return {
            "hash": _hash(f"{better_text} {worse_text}"),
            "opposite": _hash(f"{worse_text} {better_text}"),
            "rejected_ids": worse["input_ids"],
            "rejected_labels": worse["labels"],
            "rejected_trained": answers[1].trained,
        }


class _NearDuplicates:
    """Finds rows whose word triples overlap by 80 % or more with an earlier row's (MinHash; Broder 1997)."""

    PERMUTATIONS, ALIKE = 64, 0.8

    def __init__(self, most: int) -> None:
        from rensa import RMinHashLSH

        self._left = most
        self._index = RMinHashLSH(threshold=self.ALIKE, num_perm=self.PERMUTATIONS, num_bands=16)
        self._hashes: list[Any] = []
        self._texts: set[int] = set()
        self.numbers: list[int] = []

    def add(self, number: int, text: str) -> None:
        """Add a row, and keep its number if an earlier one is nearly the same, but not equal."""
        from rensa import RMinHash

        if self._left <= 0:
            return
        self._left -= 1
        if (exact := _hash(text)) in self._texts:
            return
        self._texts.add(exact)
        words = text.split()
        minhash = RMinHash(num_perm=self.PERMUTATIONS, seed=42)
        minhash.update([" ".join(words[i : i + 3]) for i in range(max(len(words) - 2, 1))])
        if any(minhash.jaccard(self._hashes[key]) >= self.ALIKE for key in self._index.query(minhash)):
            self.numbers.append(number)
        self._index.insert(len(self._hashes), minhash)
        self._hashes.append(minhash)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True)


def _prune(folder: Path) -> None:
    """Remove the passes that were not used for longest, beyond the space that the cache may take."""
    left = _MAX_CACHE_BYTES
    for record in newest_first(folder.glob("*.json")):
        path = record.with_suffix(".arrow")
        left -= path.stat().st_size if path.exists() else 0
        if left < 0:
            path.unlink(missing_ok=True)
            record.unlink()
