"""Prompts answered by an OpenAI-compatible endpoint (`POST …/chat/completions`), after an estimate of its tokens.

The key is in memory only: in no file, log or error text. So an error names a status and a code, and quotes nothing
that the endpoint has said.
"""

import asyncio
import contextlib
import email.utils
import ipaddress
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from studio.errors import DataError
from studio.files import user_cache
from studio.generation.answer_store import Answer, AnsweredPrompt, AnswerStore
from studio.i18n import Message, message
from studio.material.rewriting import FOLDER, Task

REQUESTS_AT_ONCE = 4
ATTEMPTS = 5
BACKOFF_SECONDS = 1.0
"""Wait before the second attempt; it doubles with each."""
MAX_WAIT_SECONDS = 120.0
"""Longest wait that an endpoint may ask for; where it asks for more, the work ends and goes on later."""
READ_SECONDS = 180.0
MAX_BYTES = 4 << 20
"""Bytes of the longest answer."""
TOKENS_AROUND = 12
"""Tokens that an endpoint counts for a message beside its text, about."""
_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Cost:
    """What is still to be sent, and what may come back, in tokens of the chosen model's tokenizer."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    """At most."""

    def covers(self, other: "Cost") -> bool:
        """Whether somebody who has agreed to this cost has agreed to the other one."""
        return self.requests >= other.requests and self.prompt_tokens >= other.prompt_tokens


UNLIMITED = Cost(sys.maxsize, sys.maxsize, sys.maxsize)


class ConfirmationRequired(Exception):
    """Nothing was sent: the cost is to be confirmed first."""

    def __init__(self, cost: Cost):
        self.cost = cost
        super().__init__(cost)


@dataclass(frozen=True)
class Endpoint:
    """An address such as `https://api.example.com/v1`, the model's name there, and the key."""

    address: str
    model: str
    key: str = field(default="", repr=False)
    public_only: bool = False
    """Whether only public addresses may be reached, and those by HTTPS: on a page that others reach too."""

    def __post_init__(self) -> None:
        """Raise DataError for what is no address, no name of a model, or no key."""
        address = self.address.strip().rstrip("/").removesuffix("/chat/completions")
        object.__setattr__(self, "address", address)
        try:
            parts = urlsplit(address)
            is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_valid = False
        if not is_valid or parts.query or parts.fragment or "@" in parts.netloc or not address.isprintable():
            raise DataError("endpoint.address")
        object.__setattr__(self, "model", self.model.strip())
        if not self.model or not self.model.isprintable():
            raise DataError("endpoint.model")
        object.__setattr__(self, "key", self.key.strip())
        if not re.fullmatch(r"[\x21-\x7e]*", self.key):
            raise DataError("endpoint.key")

    def resolve(self) -> str:
        """Return the network address to connect to; raises DataError where it may not be reached, or with this key."""
        parts = urlsplit(self.address)
        host = parts.hostname or ""
        try:
            known = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DataError("endpoint.unreachable", host=host[:100]) from error
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in known]
        if self.public_only and (parts.scheme != "https" or not all(address.is_global for address in addresses)):
            raise DataError("endpoint.not_public", host=host[:100])
        if self.key and parts.scheme == "http" and any(address.is_global for address in addresses):
            raise DataError("endpoint.insecure", host=host[:100])
        return str(addresses[0])


class EndpointWriter:
    """Lets an endpoint answer, once the cost was confirmed."""

    kind = "endpoint"

    def __init__(self, endpoint: Endpoint, confirmed: Cost | None = None):
        self._endpoint, self._confirmed = endpoint, confirmed
        self.notes: list[Message] = []
        self._usage = {"prompt_tokens": 0, "completion_tokens": 0}

    def agree(self, tasks: Sequence[Task]) -> None:
        """Raise ConfirmationRequired where what was not answered before costs more than was confirmed."""
        total = Cost(*map(sum, zip(*(astuple(self._cost(task)) for task in tasks), strict=True)))
        if total.requests and (self._confirmed is None or not self._confirmed.covers(total)):
            raise ConfirmationRequired(total)

    def answer(self, task: Task, on_progress: Callable[[float], None]) -> Sequence[Answer]:
        """Answer what was not answered before; `agree` comes first.

        Answers are kept as they come. Raises DataError where the endpoint refuses, cannot be reached, or answers
        nothing that can be read.
        """
        store = self._store(task)
        if missing := _missing(task, store):
            conversation = _Conversation(self._endpoint, task.settings.max_new_tokens, store, self._usage)
            asyncio.run(conversation.run(missing, on_progress))
            if any(self._usage.values()):
                usage = {name: f"{count:,}" for name, count in self._usage.items()}
                self.notes[:] = [message("material.notes.usage", **usage)]
        return [store[_keyed(prompt)] for prompt in task.prompts]

    def _store(self, task: Task) -> AnswerStore:
        depends_on = [self._endpoint.address, self._endpoint.model, task.settings.model_dump(mode="json")]
        return AnswerStore.open(user_cache(FOLDER), depends_on)

    def _cost(self, task: Task) -> Cost:
        missing = _missing(task, self._store(task))
        tokens = sum(task.tokens.count(prompt.text) + TOKENS_AROUND for prompt in missing)
        return Cost(len(missing), tokens, len(missing) * task.settings.max_new_tokens)


def _keyed(prompt: str) -> AnsweredPrompt:
    """Return a prompt with a key: a hash of its tokens, which stand for its characters here."""
    return AnsweredPrompt(prompt, tuple(map(ord, prompt)))


def _missing(task: Task, store: AnswerStore) -> list[AnsweredPrompt]:
    """Return the prompts of a task that were not answered before, each once."""
    prompts = map(_keyed, task.prompts)
    return list({prompt.key: prompt for prompt in prompts if prompt not in store}.values())


class _Conversation:
    """The requests of one making."""

    def __init__(self, endpoint: Endpoint, max_tokens: int, store: AnswerStore, usage: dict[str, int]):
        self._endpoint, self._store, self._usage = endpoint, store, usage
        self._fields: dict[str, Any] = {"temperature": 0, "max_tokens": max_tokens}
        self._address = endpoint.resolve()
        self._done = 0

    async def run(self, prompts: Sequence[AnsweredPrompt], on_progress: Callable[[float], None]) -> None:
        """Answer all prompts, a few at a time; whatever ends the work ends what is under way at once."""
        import httpx

        waiting = iter(prompts)
        settings = {"timeout": httpx.Timeout(30.0, read=READ_SECONDS), "follow_redirects": False}
        async with httpx.AsyncClient(trust_env=not self._endpoint.public_only, **settings) as client:
            tasks = [asyncio.create_task(self._work(client, waiting)) for _ in range(REQUESTS_AT_ONCE)]
            try:
                pending = set(tasks)
                while pending:
                    done, pending = await asyncio.wait(
                        pending, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
                    )
                    for task in done:
                        task.result()
                    on_progress(self._done / len(prompts))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, client: Any, waiting: Iterator[AnsweredPrompt]) -> None:
        for prompt in waiting:
            self._store.add(prompt, await self._ask(client, prompt.text))
            self._done += 1

    async def _ask(self, client: Any, prompt: str) -> Answer:
        """Return the answer to a prompt, after some attempts; raises DataError."""
        import httpx

        wait = BACKOFF_SECONDS
        error = DataError("endpoint.cut")
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(wait)
            wait = BACKOFF_SECONDS * 2**attempt
            try:
                status, headers, body = await self._post(client, prompt)
            except httpx.ConnectError as failure:
                host = urlsplit(self._endpoint.address).hostname
                raise DataError("endpoint.unreachable", host=str(host)[:100]) from failure
            except httpx.TransportError:
                error = DataError("endpoint.cut")
                continue
            if status == 200:
                return self._parse(body)
            code, parameter = _error_code(body)
            if status == 400 and self._adapt(parameter):
                wait = 0.0
                continue
            detail = f"{status} {code}".strip()
            if status not in _AGAIN or code == "insufficient_quota":
                raise DataError("endpoint.key_refused" if status in (401, 403) else "endpoint.refused", detail=detail)
            wait = max(wait, _retry_after(headers.get("retry-after", "")))
            if wait > MAX_WAIT_SECONDS:
                raise DataError("endpoint.wait", detail=detail, minutes=round(wait / 60))
            error = DataError("endpoint.busy", detail=detail, count=ATTEMPTS)
        raise error

    async def _post(self, client: Any, prompt: str) -> tuple[int, Any, bytes]:
        """Send a prompt; returns status, headers and body. A body that is too long is cut."""
        endpoint = self._endpoint
        parts = urlsplit(endpoint.address)
        url, headers, extensions = f"{endpoint.address}/chat/completions", {}, {}
        if endpoint.public_only:  # the address that was checked, whatever the name means by now
            at = f"[{self._address}]" if ":" in self._address else self._address
            port = f":{parts.port}" if parts.port else ""
            url = f"{parts.scheme}://{at}{port}{parts.path}/chat/completions"
            headers["Host"], extensions["sni_hostname"] = parts.netloc, parts.hostname
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        content = {"model": endpoint.model, "messages": [{"role": "user", "content": prompt}], **self._fields}
        request = client.build_request("POST", url, json=content, headers=headers, extensions=extensions)
        response = await client.send(request, stream=True)
        body = b""
        async with contextlib.aclosing(response):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    break
        return response.status_code, response.headers, body

    def _adapt(self, parameter: str) -> bool:
        """Leave out a setting that the model does not take; return whether it was sent."""
        value = self._fields.pop(parameter, None)
        if parameter == "max_tokens" and value:
            self._fields["max_completion_tokens"] = value
        return value is not None

    def _parse(self, body: bytes) -> Answer:
        try:
            document = json.loads(body)
            choice = document["choices"][0]
            text = choice["message"].get("content") or ""
            if not isinstance(text, str):
                raise TypeError
            for name in self._usage:
                self._usage[name] += int((document.get("usage") or {}).get(name) or 0)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise DataError("endpoint.malformed") from None  # the cause would quote what was said
        return Answer(text, choice.get("finish_reason") != "length")


def _error_code(body: bytes) -> tuple[str, str]:
    """Return the code of an error and the parameter it is about, each a plain word or empty."""
    try:
        error = json.loads(body)["error"]
        words = [str(error.get(name) or "") for name in ("code", "param")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""
    code, parameter = (word if re.fullmatch(r"[a-z_]{1,40}", word) else "" for word in words)
    return code, parameter


def _retry_after(value: str) -> float:
    """Return the seconds of a Retry-After header, which are a number or a date (RFC 9110, 10.2.3); 0 without one."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value.strip()):
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
