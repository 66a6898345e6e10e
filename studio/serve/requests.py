"""What a client may ask for, checked; the answers' types are those of the `openai` package."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.config import GenerationConfig
from studio.data.conversation import Turn
from studio.errors import ServeError, one_line

_NEUTRAL: dict[str, Any] = {
    "best_of": 1,
    "echo": False,
    "frequency_penalty": 0,
    "function_call": "none",
    "functions": [],
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "suffix": "",
    "top_logprobs": 0,
}
"""Settings of the interface that are not offered, with the value that asks for nothing."""
_WITHOUT_EFFECT = {
    *("metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    *("safety_identifier", "service_tier", "store", "user"),
}
"""Settings that change no answer here."""
_MOST_PROMPTS = 32


class StreamOptions(BaseModel):
    """How an answer is streamed."""

    include_usage: bool = False


class _Request(BaseModel):
    """What requests for a chat and for a text have in common; further fields are looked at in `parse`."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(max_length=400)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end the answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def answer_tokens(self) -> tuple[str, int | None]:
        """The field that says how long the answer may be, and its value."""
        return "max_tokens", self.max_tokens

    def settings(self, defaults: GenerationConfig, most: int) -> GenerationConfig:
        """Return the settings of generation; what is not given is the run's own. Raises ServeError."""
        name, limit = self.answer_tokens
        if limit is not None and limit > most:
            raise ServeError("serve.max_tokens", param=name, count=limit, most=most)
        names = {"temperature", "top_p", "top_k", "repetition_penalty", "seed"}
        values = {key: value for key in names if (value := getattr(self, key)) is not None}
        values["max_new_tokens"] = min(defaults.max_new_tokens, most) if limit is None else limit
        try:
            return GenerationConfig.model_validate(defaults.model_dump() | values)
        except ValidationError as error:
            raise _invalid(error, {"max_new_tokens": name}) from error


class TextPart(BaseModel):
    """A part of a message; there is nothing but text."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def turn(self) -> Turn:
        """The message as a turn."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Turn("system" if self.role == "developer" else self.role, text)


class ChatRequest(_Request):
    """A request for the next message of a chat."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    """The tools of older clients, with `function_call`."""
    tool_choice: Literal["auto", "none"] | None = None
    function_call: Literal["auto", "none"] | None = None
    """A tool that must be called is refused. Those that may be are not shown to the model, which was not trained on
    them and answers in words; chat programs send theirs with each message."""

    @property
    def answer_tokens(self) -> tuple[str, int | None]:
        """The field that says how long the answer may be, and its value."""
        if self.max_completion_tokens is None:
            return super().answer_tokens
        return "max_completion_tokens", self.max_completion_tokens

    def turns(self) -> tuple[Turn, ...]:
        """Return the conversation; raises ServeError unless a user's turn is the last, and a system's the first."""
        turns = tuple(message.turn for message in self.messages)
        if turns[-1].role != "user":
            raise ServeError("serve.last_turn")
        if any(turn.role == "system" for turn in turns[1:]):
            raise ServeError("serve.system_first")
        return turns


class TextRequest(_Request):
    """A request for the continuation of texts."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=_MOST_PROMPTS)]

    @property
    def prompts(self) -> list[str]:
        """The texts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


AnyRequest = TypeVar("AnyRequest", ChatRequest, TextRequest)


def parse(kind: type[AnyRequest], body: bytes) -> AnyRequest:
    """Return a request; raises ServeError, which names the field, for what is malformed, unknown or not offered."""
    try:
        values = json.loads(body)
        json.dumps(values, ensure_ascii=False).encode()  # half of a character cannot be read by a tokenizer
    except (ValueError, RecursionError) as error:
        raise ServeError("serve.json", detail=one_line(error, 120)) from error
    if not isinstance(values, Mapping):
        raise ServeError("serve.json", detail=type(values).__name__)
    try:
        request = kind.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from error
    for name, value in (request.model_extra or {}).items():
        is_neutral = value is None or (name in _NEUTRAL and value == _NEUTRAL[name])
        if not is_neutral and name not in _WITHOUT_EFFECT:
            raise ServeError("serve.not_offered", param=name[:80])
    if any(not text for text in request.stops) or len(request.stops) > 4:
        raise ServeError("serve.stops", param="stop")
    return request


def _invalid(error: ValidationError, names: Mapping[str, str] = {}) -> ServeError:
    """Return the first thing that is wrong, with the path of its field as the interface calls it."""
    problems = error.errors()
    of_first = [each for each in problems if each["loc"][:1] == problems[0]["loc"][:1]]
    # of a field with several types, the nearest: one that is deeper, or that is of the type and wrong otherwise
    first = max(of_first, key=lambda each: (len(each["loc"]), not each["type"].endswith("_type")))
    path = [names.get(str(part), str(part)) for part in first["loc"] if str(part) not in _KINDS]
    return ServeError("serve.invalid", param=".".join(path)[:120] or "body", detail=first["msg"][:200])


_KINDS = {"str", "list[str]", "list[TextPart]", "constrained-str", "list[constrained-str]"}
"""What pydantic puts into the path of a field that may be of several types."""
