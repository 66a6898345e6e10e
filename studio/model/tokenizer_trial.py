"""Tries a tokenizer in a process of its own: `python tokenizer_trial.py FOLDER`. It imports nothing of the studio.

A tokenizer comes from whoever made the model, and runs in native code: where it takes all memory, it ends the
process. This one has limits where the system knows them. It ends with 0 when the tokenizer is bearable, with
`BROKEN`, or with `TOO_MUCH` (see `process_limits`) when it makes far more of a text than there was.
"""

import base64
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEMORY, SECONDS = 2 * 1024**3, 30
BROKEN = 8
"""Exit code for a tokenizer that cannot be loaded, which is reported elsewhere."""
MOST_GROWTH = 64
"""Characters that a normalizer or a decoder may make of one. NFKC makes 18 of one, in the worst case."""
LONGEST_TOKEN, LONGEST_PIECE, MOST_ADDED = 4096, 128, 64
"""Characters of a token, those that are put before each text, and tokens that are put around it."""
MOST_CHARACTERS = 500
"""Characters of a tokenizer's regular expressions that are tried, each repeated."""
TEXTS = (
    "".join(map(chr, range(32, 127))) * 3,
    "Line one.\n\n  Line two:\t'quoted' \"text\" 3.14e-10 https://example.org/?a=b&c=d\r\n",
    "안녕하세요, 반갑습니다! ㅋㅋㅋ ﷺ ﷽ 中文字符，日本語のテキスト。 café naïve Straße 🙂👨\u200d👩\u200d👧",
    "\u00a0\u200b\ufeff\u2028\u3000",
    *(each * 5000 for each in ("a", " ", "1", "\n", ".", "가", "ab ")),
)


def main() -> int:
    """Try the tokenizer in a folder."""
    limits = runpy.run_path(str(Path(__file__).parents[1] / "process_limits.py"))
    load = _loader(Path(sys.argv[1]))
    with limits["limiter"]()(MEMORY, SECONDS):
        try:
            tokenizer = load()
        except MemoryError:
            return limits["TOO_MUCH"]
        except Exception:
            return BROKEN
        if tokenizer is None or _is_bearable(tokenizer):  # None for one in Python
            return 0
        return limits["TOO_MUCH"]


def _is_bearable(tokenizer: Any) -> bool:
    """Whether it makes little more of any text than there was, as far as its parts say and it can be tried."""
    own = tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.post_processor, tokenizer.decoder
    parts = [json.loads(part.__getstate__()) for part in own if part is not None]
    if not all(map(_is_small, parts)) or max(map(len, tokenizer.get_vocab()), default=0) > LONGEST_TOKEN:
        return False
    tokenizer.no_padding()  # as transformers does
    tokenizer.no_truncation()
    try:
        return all(_stays_small(tokenizer, text) for text in (*TEXTS, *_texts_for(parts)))
    except Exception:  # what a tokenizer refuses is reported when it is used
        return True
    except BaseException:  # a panic: a regular expression has given up
        return False


def _loader(folder: Path) -> Any:
    """Return what loads the tokenizer as transformers does, after the imports."""
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        return lambda: Tokenizer.from_file(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    def load() -> Any:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        return getattr(tokenizer, "backend_tokenizer", None)

    return load


def _is_small(part: dict[str, Any]) -> bool:
    """Whether what a part of a tokenizer puts in place of texts and around them is little, as far as it says so."""
    steps = list(_steps(part))
    for step in steps:
        if max(len(step.get("prefix") or ""), len(step.get("prepend") or "")) > LONGEST_PIECE:
            return False
        if step.get("type") == "Precompiled":  # SentencePiece's character map: a trie, then texts that end with zeros
            data = base64.b64decode(step.get("precompiled_charsmap") or "")
            if max(map(len, data[4 + int.from_bytes(data[:4], "little") :].split(b"\0")), default=0) > LONGEST_PIECE:
                return False
        around = [*(step.get("single") or ()), *(step.get("pair") or ())]
        special = step.get("special_tokens")
        ids = sum(len(each.get("ids") or ()) for each in special.values()) if isinstance(special, dict) else 0
        if len(around) > MOST_ADDED or ids > MOST_ADDED:
            return False
    return _growth([step for step in steps if step.get("type") == "Replace"]) <= MOST_GROWTH


def _steps(part: dict[str, Any]) -> Any:
    for name in ("normalizers", "pretokenizers", "decoders", "processors"):
        if name in part:
            for each in part[name]:
                yield from _steps(each)
            return
    yield part


def _texts_for(parts: list[dict[str, Any]]) -> Iterator[str]:
    """Yield texts on which the regular expressions of a tokenizer may take long: each of their characters repeated."""
    own = [step.get("pattern") for part in parts for step in _steps(part)]
    patterns = [pattern["Regex"] for pattern in own if isinstance(pattern, dict) and "Regex" in pattern]
    for character in sorted(set("".join(patterns)))[:MOST_CHARACTERS]:
        yield character * 2000


def _growth(replaces: list[dict[str, Any]]) -> float:
    """Return how many characters replacements make of one at most: one after the other where they feed each other."""
    largest = 1.0
    for number, first in enumerate(replaces):
        grown, text = _own_growth(first), first["content"]
        for later in replaces[number + 1 :]:
            pattern = later["pattern"].get("String")
            if pattern is None or pattern in text:
                grown *= max(1.0, _own_growth(later))
                text += later["content"]
        largest = max(largest, grown)
    return largest


def _own_growth(replace: dict[str, Any]) -> float:
    pattern = replace["pattern"].get("String")
    return len(replace["content"]) / (len(pattern) if pattern else 1)


def _stays_small(tokenizer: Any, text: str) -> bool:
    if tokenizer.normalizer is not None and len(tokenizer.normalizer.normalize_str(text)) > MOST_GROWTH * len(text):
        return False
    ids = tokenizer.encode(text).ids
    if len(ids) > MOST_GROWTH * len(text) + MOST_ADDED:
        return False
    return len(tokenizer.decode(ids, skip_special_tokens=False)) <= MOST_GROWTH * len(text) + MOST_ADDED * LONGEST_PIECE


if __name__ == "__main__":
    sys.exit(main())
