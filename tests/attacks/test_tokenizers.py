"""A tokenizer of somebody else takes little and makes little of a text, or is refused before it runs here."""

import base64
import json

import pytest
from tiny import make_tokenizer

from studio import gpu
from studio.errors import ModelError, StudioError
from studio.job import Job
from studio.model import load


def replaced(pattern, content):
    kind = {"String": pattern} if isinstance(pattern, str) else pattern
    return {"type": "Replace", "pattern": kind, "content": content}


def in_order(*steps, name="normalizers"):
    return {"type": "Sequence", name: list(steps)}


def mapped(longest):
    """Return SentencePiece's map of characters with one text of that length, and no trie that leads to it."""
    data = (4).to_bytes(4, "little") + b"\0\0\0\0" + b"x" * longest + b"\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}


GROWS = in_order(*[replaced("a", "a" * 10)] * 10)
RARE = in_order(*[replaced("갃", "갃" * 10)] * 10)
STEPS = [replaced(f"갃{n}", f"갃{n + 1}" * 9) for n in range(9)]
HOSTILE = {
    "grows tenfold ten times": {"normalizer": GROWS},
    "does so for one seldom letter": {"normalizer": RARE},
    "in a list in a list": {"normalizer": in_order(in_order(GROWS), in_order())},
    "feeds itself in turn": {"normalizer": in_order(*STEPS)},
    "by a regular expression": {"normalizer": in_order(*[replaced({"Regex": "갃"}, "갃" * 10)] * 10)},
    "between all letters": {"normalizer": replaced({"Regex": ""}, "x" * 100)},
    "at once": {"normalizer": replaced("갃", "x" * 1_000_000)},
    "in front": {"normalizer": {"type": "Prepend", "prepend": "x" * 1_000_000}},
    "by a map of characters": {"normalizer": mapped(1_000_000)},
    "around each text": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "x", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"x": {"id": "x", "ids": [0] * 100_000, "tokens": ["<|im_start|>"] * 100_000}},
        }
    },
    "in its answers": {"decoder": in_order(*[replaced("a", "a" * 10)] * 10, name="decoders")},
    "by a regular expression that gives up": {"normalizer": replaced({"Regex": "(q+q+)+y"}, "z")},
    "by one that splits": {
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(q+q+)+y"}, "behavior": "Isolated", "invert": False}
    },
    "in one token": {"added_tokens": "x" * 1_000_000},
}


def tokenizer_with(folder, parts):
    make_tokenizer().save_pretrained(folder)
    path = folder / "tokenizer.json"
    saved = json.loads(path.read_text(encoding="utf-8"))
    parts = dict(parts)
    if long := parts.pop("added_tokens", None):
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        saved["added_tokens"].append({"id": 259, "content": long, **flags, "special": True})
    path.write_text(json.dumps(saved | parts), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tokenizer_that_makes_too_much_of_a_text_is_refused_before_it_runs_here(tmp_path, name, monkeypatch):
    import transformers

    def never(*args, **settings):
        raise AssertionError("it is loaded here")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", never)
    with pytest.raises(ModelError, match="takes too much"):
        load._tokenizer(tokenizer_with(tmp_path, HOSTILE[name]))


USUAL = {
    "as it comes": {},
    "of Llama": {"normalizer": in_order({"type": "Prepend", "prepend": "▁"}, replaced(" ", "▁"))},
    "of T5": {"normalizer": in_order({"type": "NFKC"}, replaced({"Regex": " {2,}"}, "▁"))},
    "words for white space": {
        "normalizer": in_order(replaced("\n", "<newline>"), replaced("\t", "<|tabulator|>"), replaced("\r", "<return>"))
    },
    "padded": {
        "padding": {
            "strategy": {"Fixed": 1_000_000_000},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 2,
            "pad_type_id": 0,
            "pad_token": "<|pad|>",
        }
    },
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_tokenizers_are_taken_and_tried_once(tmp_path, name, monkeypatch):
    folder = tokenizer_with(tmp_path, USUAL[name])
    load._tokenizer(folder)

    monkeypatch.setattr(load, "is_bearable", lambda *given, **limits: pytest.fail("it is tried again"))
    load.check_tokenizer(folder)


def test_a_tokenizer_that_cannot_be_read_is_told_as_ever(tmp_path):
    folder = tokenizer_with(tmp_path, {"normalizer": {"type": "Unknown"}})
    with pytest.raises(Exception) as raised:
        load._tokenizer(folder)
    assert "takes too much" not in str(raised.value)


class Panic(BaseException):
    """What a panic in a tokenizer's native code is in Python."""


@pytest.mark.timeout(60)
def test_a_panic_ends_its_job_and_not_the_gpu_thread():
    def panic(job):
        raise Panic

    with pytest.raises(StudioError, match="Panic"):
        gpu.thread().submit(Job(panic)).result()
    assert gpu.thread().submit(Job(lambda job: job.show("alive"))).result() == "alive"
