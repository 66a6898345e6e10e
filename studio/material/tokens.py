"""How many tokens a text has: by the model's tokenizer where it is on this machine, else estimated."""

from collections.abc import Sequence
from typing import Any

from studio.config import ModelConfig
from studio.data.language import count_hangul
from studio.errors import ModelError
from studio.i18n import Message, message

_TOKENS_PER_HANGUL, _TOKENS_PER_OTHER = 1.0, 0.3
"""About what current tokenizers need for a letter; those of models for English need more for Hangul."""
_SAMPLE = 200_000


class TokenCounter:
    """Counts tokens; `notes` say so where they are estimated."""

    def __init__(self, model: str, sample: Sequence[str]):
        from studio.model.load import load_tokenizer

        self.notes: list[Message] = []
        self._tokenizer: Any = None
        try:
            self._tokenizer = load_tokenizer(ModelConfig(id=model))
        except ModelError:
            if model != "builtin":
                raise
            self.notes.append(message("material.notes.estimated"))
        text = "\n".join(sample)[:_SAMPLE]
        self._per_character = max(0.05, self.count(text) / len(text)) if text else 1.0

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        if self._tokenizer is not None:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        korean = count_hangul(text)
        return round(_TOKENS_PER_HANGUL * korean + _TOKENS_PER_OTHER * (len(text) - korean))

    def characters(self, tokens: int) -> int:
        """Return about how many characters of the sample's language have this many tokens."""
        return round(tokens / self._per_character)
