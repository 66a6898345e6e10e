"""Both catalogues say the same things, and everything that a user reads comes from them."""

import ast
import re
import string
from pathlib import Path

import pytest

from studio.config import choices, fields
from studio.errors import StudioError
from studio.events import PhaseChanged
from studio.i18n import DEFAULT_LANGUAGE, LANGUAGES, Message, best_language, catalogue, has, text
from studio.runs import State

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "studio").rglob("*.py"))
PAGE = sorted((ROOT / "studio" / "ui").rglob("*.py"))
WORDED = {"label", "info", "placeholder", "title", "text", "x_title", "y_title", "value"}
MAKERS = {"make", "button", "secret", "heading", "head", "section", "paragraph", "hint", "empty"}
"""The methods of `Words`, which take keys."""
_ROOTS = "ui|config|errors|export|state|phase|choice|log|problems|data|cli|compare|card|diagnosis|style|material"
KEY = re.compile(rf"({_ROOTS})(\.[a-z0-9_-]+)+")
FIELDS = dict(fields())
ERRORS = {kind.__name__ for kind in StudioError.__subclasses__()}


def placeholders(words: str) -> list[str]:
    return sorted({name for _, name, _, _ in string.Formatter().parse(words) if name})


def test_both_languages_hold_the_same_keys():
    first, *others = (set(catalogue(language)) for language in LANGUAGES)

    assert all(first == other for other in others)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_has_the_same_placeholders_in_every_language(language):
    wanted, words = catalogue(DEFAULT_LANGUAGE), catalogue(language)

    assert [key for key in wanted if placeholders(words[key]) != placeholders(wanted[key])] == []
    assert [key for key in wanted if not words[key].strip()] == []


def test_every_setting_has_a_title_a_help_and_names_for_its_options():
    named = [f"{path}.{part}" for path in FIELDS for part in ("title", "help")]
    named += [f"{path}.options.{option}" for path in FIELDS for option in choices(FIELDS[path])]

    assert [name for name in named if not has(f"config.{name}")] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_says_what_happened_why_and_what_next(language):
    errors = {key: words for key, words in catalogue(language).items() if key.startswith("errors.")}

    assert errors
    assert [key for key, words in errors.items() if len(words.splitlines()) != 3] == []


@pytest.mark.parametrize("state", State)
def test_every_state_has_words(state):
    assert has(f"state.{state.value}")


def test_korean_words_are_korean():
    same = {
        key
        for key, words in catalogue("ko").items()
        if key.endswith((".help", ".title")) and not re.search("[가-힣]", words)
    }

    assert same <= {
        "config.generation.top_k.title",
        "config.generation.top_p.title",
        "config.lora.dora.title",
        "config.lora.rslora.title",
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_key_that_the_code_names_exists(source):
    prefixes = {key.rsplit(".", 1)[0] for key in catalogue(DEFAULT_LANGUAGE)}
    named = [
        node.value
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and KEY.fullmatch(node.value)
        and not node.value.endswith((".json", ".yaml", ".css", ".jinja"))
    ]
    settings = set(FIELDS) | {prefix for path in FIELDS for prefix in _parents(path)}
    unknown = [key for key in named if not (has(key) or has(f"errors.{key}") or key in prefixes or key in settings)]

    assert unknown == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_message_is_given_the_values_that_its_words_want(source):
    wrong = []
    for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args):
            continue
        prefix = {"message": "", "text": ""}.get(call.func.id, "errors." if call.func.id in ERRORS else None)
        key = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
        if prefix is None or not isinstance(key, str) or any(given.arg is None for given in call.keywords):
            continue
        if not has(prefix + key):
            wrong.append(f"line {call.lineno}: {prefix}{key} is not in the catalogues")
        elif missing := set(placeholders(text(prefix + key))) - {given.arg for given in call.keywords}:
            wrong.append(f"line {call.lineno}: {prefix}{key} also wants {sorted(missing)}")

    assert wrong == []


def _parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@pytest.mark.parametrize("source", PAGE, ids=lambda path: path.name)
def test_no_word_is_hard_coded_on_the_page(source):
    hard_coded = []
    for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        worded = isinstance(call.func, ast.Attribute) and call.func.attr in MAKERS
        for argument in call.keywords:
            words = _literal(argument.value)
            if argument.arg not in WORDED or not re.search("[A-Za-z가-힣]{2}", re.sub("<[^>]*>", "", words)):
                continue
            is_key = has(words) or (isinstance(argument.value, ast.JoinedStr) and " " not in words)
            if not (worded and is_key) and not words.startswith("config."):
                hard_coded.append(f"{source.name}:{call.lineno} {argument.arg}={words!r}")

    assert hard_coded == []


def _literal(node: ast.expr) -> str:
    """Return the text that stands in the code itself, without HTML entities."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub("&[a-z]+;", "", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(part) for part in node.values)
    return ""


def test_a_message_reads_in_any_language():
    told = Message("ui.log.evaluated", {"step": 3, "loss": "1.2"})

    assert told.text("en") == "Validation at step 3: loss 1.2"
    assert told.text("ko") == text("ui.log.evaluated", "ko", step=3, loss="1.2")


def test_an_unknown_key_is_a_defect():
    with pytest.raises(KeyError):
        text("no.such.key")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("fr, ko;q=0.5, en;q=0.4", "ko"),
        ("en;q=0.2, ko;q=0.9", "ko"),
        ("fr", DEFAULT_LANGUAGE),
        ("", DEFAULT_LANGUAGE),
        ("ko;q=nonsense, en", "en"),
    ],
)
def test_the_language_follows_the_browser(header, language):
    assert best_language(header) == language


def test_phases_are_words_of_the_catalogue():
    named = re.findall(r"enter_phase\(\"([a-z ]+)\"", "".join(path.read_text(encoding="utf-8") for path in SOURCES))

    assert named
    assert [phase for phase in named if not has(f"phase.{PhaseChanged(phase=phase).phase.split()[0]}")] == []


def test_a_number_takes_the_word_that_goes_with_it():
    assert text("ui.structure.rows", "en", n=1) == "1 row"
    assert "+1 point of style and -1 point of fit" in text("style.verdict.adapter", "en", style="+1", fit="-1")
    assert text("ui.structure.rows", "en", n="1,200") == "1,200 rows"
    assert text("suggest.epochs.few", "en", rows=1, epochs=2, now=3).startswith("1 row suits 2 passes;")


def test_no_english_text_has_a_number_before_a_plural_alone():
    nouns = "rows|steps|tokens|runs|votes|voters|files|columns|characters"
    nouns += "|losses|processes|frames|answers|pairs|prompts|judgements|readings"
    alone = re.compile(rf"\{{(?!name|id)\w+\}} (\w+ )?({nouns})\b")
    assert [key for key, words in catalogue("en").items() if alone.search(words) and "step {step}" not in words] == []


def test_a_run_has_one_name_in_korean():
    places = [ROOT / "studio" / "locales" / "ko.json", *(ROOT / "studio" / "docs" / "ko").glob("*.md")]

    assert len(places) > 5
    assert [place.name for place in places if re.search("(학습|실행) ?기록", place.read_text(encoding="utf-8"))] == []
