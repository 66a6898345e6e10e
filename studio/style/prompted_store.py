"""The rival of an adapter: the base with a good prompt, the automatic one or the user's own in its place.

The automatic one is the run's system prompt, an instruction, and examples from the training rows.

It is kept in `<run>/style/prompted.json`, so that Compare, the meter and the verdict all mean the same rival.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy

from studio.compare.columns import Column
from studio.data.conversation import Turn
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer
from studio.data.tokens import prompt_ids
from studio.errors import CompareError, StudioError
from studio.evaluate.metrics import detect_language
from studio.files import replace_file
from studio.generation import held_out
from studio.generation.held_out import HeldOutRow
from studio.journal import digest
from studio.model import load
from studio.model.limits import positions
from studio.runs import Run
from studio.style.answers import FOLDER
from studio.style.request import TRAINING_ROWS
from studio.style.strength import StyleClassifier, ngram_vectorizer

log = logging.getLogger(__name__)

NAME = "prompted"
"""What the prompted base is called among the columns of the command line."""
USUAL_POSITIONS = 2048
EXAMPLES = 4
RELEVANCE = 0.5
"""Weight of being typical against being unlike the other examples; Carbonell and Goldstein (1998) call it λ."""
MAX_EXAMPLE_TOKENS = 1024
"""Tokens of all examples together, also where the model's context would take more."""
SYSTEM = {
    "en": "Answer exactly in the style of the answers before: the same voice, words and length.",
    "ko": "앞의 답변들과 똑같은 말투로, 같은 어휘와 길이로 답하세요.",
}
_ROLE = re.compile(r"^(user|assistant):[ \t]*", re.MULTILINE)


@dataclass(frozen=True)
class PromptedBase:
    """The prompted base of a run."""

    automatic: Column | None
    """Chosen from the training rows; None before that, or where no example fits."""
    edited: Column | None = None
    """The user's own, which is used in its place."""

    @property
    def column(self) -> Column | None:
        """The prompt in use."""
        return self.edited or self.automatic

    def parse(self, written: str) -> Column:
        """Return the column of a prompt as text; an unchanged automatic one is exact. Raises CompareError."""
        if self.automatic and written.strip() == to_text(self.automatic):
            return self.automatic
        return from_text(written)


def sha256(column: Column) -> str:
    """Return a hash of a column's system prompt and examples."""
    return digest(json.dumps(_as_json(column)))


def to_text(column: Column) -> str:
    """Write a column's prompt: the system prompt, then each turn after `user:` or `assistant:`."""
    turns = [f"{turn.role}: " + _ROLE.sub(r" \g<0>", turn.content.strip()) for turn in column.shots]
    return "\n\n".join([*filter(None, [(column.system or "").strip()]), *turns])


def from_text(written: str) -> Column:
    """Read what `to_text` writes; raises CompareError for an empty prompt, or turns that are not in pairs."""
    system, *parts = _ROLE.split(written)
    turns = zip(parts[::2], parts[1::2], strict=True)
    shots = tuple(Turn(role, content.strip()) for role, content in turns)  # type: ignore[arg-type]
    if not system.strip() and not shots:
        raise CompareError("ui.prompted_empty")
    if not all(turn.content for turn in shots):
        raise CompareError("compare.shots")
    return Column("base", system=system.strip() or None, shots=shots)


def read(run: Run) -> PromptedBase:
    """Return what is kept with a run; nothing where the file is missing or cannot be read."""
    try:
        stored = json.loads(_path(run).read_bytes())
        return PromptedBase(_from_json(stored.get("automatic")), _from_json(stored.get("edited")))
    except FileNotFoundError:
        return PromptedBase(None)
    except (ValueError, KeyError, TypeError, AttributeError, StudioError):  # damaged from outside
        log.warning("the prompt of %s cannot be read", run.id, exc_info=True)
        return PromptedBase(None)


def save_automatic(run: Run, column: Column) -> None:
    """Keep the automatic prompt; the user's own stays."""
    if (prompted := read(run)).automatic != column:
        _write(run, replace(prompted, automatic=column))


def edit(run: Run, written: str) -> PromptedBase:
    """Keep the user's own prompt; one that is empty or the automatic one goes back to that. Raises CompareError."""
    prompted = read(run)
    column = prompted.parse(written) if written.strip() else None
    changed = replace(prompted, edited=None if column == prompted.automatic else column)
    if changed != prompted:
        _write(run, changed)
    return changed


def of_run(run: Run) -> PromptedBase:
    """Return the prompted base of a run, and choose and keep its automatic prompt where there is none yet.

    Before the meter has seen answers of the base, the most typical training answers are the examples. Raises
    CompareError where there is no prompt: the template takes no examples, or none fits; or the data have changed.
    """
    prompted = read(run)
    if prompted.automatic:
        return prompted
    config = run.config()
    tokenizer = load.load_tokenizer(config.model)
    if not isinstance(run_renderer(run, tokenizer), ChatRenderer):
        raise CompareError("compare.one_turn")
    train, _ = held_out.from_training(run, tokenizer, TRAINING_ROWS)
    train = [row for row in train if row.reference]
    length = positions(load.require(config.model).settings) or USUAL_POSITIONS
    room = example_room(length, max((len(row.ids) for row in train), default=0), config.generation.max_new_tokens)
    column = choose_prompt(run, train, tokenizer, room, None) if train else None
    if column:
        save_automatic(run, column)
    if not (column or prompted.edited):
        raise CompareError("ui.prompted_no_room")
    return replace(prompted, automatic=column)


def column_of(run: Run) -> Column:
    """Return the prompted base of a run as a column; raises CompareError as `of_run`."""
    column = of_run(run).column
    assert column
    return column


def prompt_tokens(run: Run, column: Column) -> int:
    """Return how many tokens a column's prompt adds to every question."""
    tokenizer = load.load_tokenizer(run.config().model)
    renderer, question = run_renderer(run, tokenizer), Turn("user", "?")
    turns = (*column.context, question), (question,)
    whole, alone = (len(prompt_ids(renderer.question(each), tokenizer)) for each in turns)
    return whole - alone


def _path(run: Run) -> Any:
    return run.path / FOLDER / "prompted.json"


def _write(run: Run, prompt: PromptedBase) -> None:
    _path(run).parent.mkdir(exist_ok=True)
    columns = {name: column and _as_json(column) for name, column in vars(prompt).items()}
    replace_file(_path(run), json.dumps(columns, ensure_ascii=False, indent=1))


def _as_json(column: Column) -> dict[str, Any]:
    return {"system": column.system, "shots": [asdict(turn) for turn in column.shots]}


def _from_json(stored: dict[str, Any] | None) -> Column | None:
    if stored is None:
        return None
    shots = tuple(Turn(turn["role"], str(turn["content"])) for turn in stored["shots"])
    system = stored["system"]
    return Column("base", system=None if system is None else str(system), shots=shots)


def example_room(positions: int, longest_prompt: int, max_new_tokens: int) -> int:
    """Return the tokens of all examples together at most, all of them counted in tokens.

    `positions` is what the model takes, and `longest_prompt` the longest that is to be answered.
    """
    return min(MAX_EXAMPLE_TOKENS, positions // 2 - longest_prompt - max_new_tokens)


def choose_prompt(
    run: Run, train: Sequence[HeldOutRow], tokenizer: Any, room: int, classifier: StyleClassifier | None
) -> Column | None:
    """Return the base with the run's system prompt and examples from its training rows; None where no example fits."""
    pairs = [(row.prompt, row.reference or "") for row in train]
    lengths = [len(tokenizer("\n".join(pair), add_special_tokens=False)["input_ids"]) for pair in pairs]
    chosen = choose_examples(classifier, [answer for _, answer in pairs], lengths, room)
    if not chosen:
        return None
    language = detect_language([row.prompt for row in train])
    return prompted_column([pairs[row] for row in chosen], run.config().data.prompt.system, language)


def choose_examples(
    classifier: StyleClassifier | None,
    answers: Sequence[str],
    lengths: Sequence[int],
    room: int,
    count: int = EXAMPLES,
) -> list[int]:
    """Return the rows to show as examples: typical of the author and unlike each other, within `room` tokens.

    Maximal marginal relevance (Carbonell and Goldstein 1998): the next row has the largest
    λ · typical − (1 − λ) · max cosine to the chosen ones, where typical is the classifier's score as a rank, 0 to 1.
    Without a classifier, before the base has answered, it is the rank of the cosine to the mean of all answers.
    `lengths` are the tokens of each row's question and answer.
    """
    if not any(length <= room for length in lengths):
        return []
    vectors = (classifier.vectorizer if classifier else ngram_vectorizer().fit(answers)).transform(answers)
    similarity = (vectors @ vectors.T).toarray()
    scores = classifier.scores(answers) if classifier else similarity.mean(axis=1)
    typical = numpy.argsort(numpy.argsort(scores)) / max(1, len(answers) - 1)
    chosen: list[int] = []
    while len(chosen) < count:
        left = room - sum(lengths[row] for row in chosen)
        rest = [row for row in range(len(answers)) if row not in chosen and lengths[row] <= left]
        if not rest:
            break
        nearest = similarity[:, chosen].max(axis=1) if chosen else numpy.zeros(len(answers))
        chosen.append(max(rest, key=lambda row: RELEVANCE * typical[row] - (1 - RELEVANCE) * nearest[row]))
    return chosen


def prompted_column(pairs: Sequence[tuple[str, str]], own_system: str | None, language: str) -> Column:
    """Return the column of the base with the run's system prompt, an instruction, and examples (prompt, answer)."""
    system = "\n".join(part for part in (own_system, SYSTEM.get(language, SYSTEM["en"])) if part)
    turns = [Turn(role, content) for pair in pairs for role, content in zip(("user", "assistant"), pair, strict=True)]
    return Column("base", system=system, shots=tuple(turns))
