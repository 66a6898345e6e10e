"""The HTTP interface of the endpoint, as OpenAI's: models, chat completions and completions."""

import asyncio
import contextlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from openai.types import Completion, CompletionChoice, CompletionUsage, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from typing_extensions import override

from studio.data.conversation import Turn
from studio.errors import DeviceError, ModelError, ServeError, StudioError
from studio.job import as_studio_error
from studio.serve.decoder import Call, Progress
from studio.serve.engine import Engine
from studio.serve.models import ServedModel
from studio.serve.requests import ChatRequest, TextRequest, parse

_OWNER = "restyle-studio"
_STATUS = {
    "serve.unknown_model": (404, "model_not_found"),
    "serve.key": (401, "invalid_api_key"),
    "serve.full": (429, "rate_limit_exceeded"),
    "serve.body": (413, "request_too_large"),
    "serve.busy": (503, "device_busy"),
    "serve.closing": (503, "shutting_down"),
    "compare.too_long": (400, "context_length_exceeded"),
}
"""The status of an error, and its code in OpenAI's form; others are 400, or 500 where no request can help it."""
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "10"}}
_PARAMS = {
    "serve.unknown_model": "model",
    "compare.one_turn": "messages",
    "serve.last_turn": "messages",
    "serve.system_first": "messages",
}


def create(engine: Engine, keys: Collection[str], hosts: Collection[str] | None = None) -> FastAPI:
    """Return the app. One of `keys` is needed where there are any; `hosts` are the names that it answers to.

    Without them it answers to all. A page of another site cannot use it: there are no CORS headers, and what is no
    JSON is refused, so that a browser asks first.
    """
    known = [key.encode() for key in keys]

    def require_key(request: Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip().encode()
        # all are compared, so that the time tells nothing
        if known and not sum(hmac.compare_digest(token, key) for key in known):
            raise ServeError("serve.key")

    app = FastAPI(title="Restyle Studio", docs_url=None, redoc_url=None, openapi_url=None)
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    only_with_key = [Depends(require_key)]

    @app.exception_handler(StudioError)
    async def refuse(request: Request, error: StudioError) -> JSONResponse:
        status, _ = _status(error)
        return JSONResponse(_error(error), status, _HEADERS.get(status))

    @app.exception_handler(HTTPException)
    async def refuse_path(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(_error_body(error.detail, "invalid_request_error"), error.status_code)

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(_error(as_studio_error(error)), 500)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models", dependencies=only_with_key)
    async def models() -> dict[str, Any]:
        listed = [_model(name).model_dump(exclude_unset=True) for name in engine.catalogue.listed]
        return {"object": "list", "data": listed}

    @app.get("/v1/models/{name:path}", dependencies=only_with_key)
    async def model(name: str) -> dict[str, Any]:
        engine.catalogue.resolve(name)
        return _model(name).model_dump(exclude_unset=True)

    @app.post("/v1/chat/completions", dependencies=only_with_key)
    async def chat(request: Request) -> Any:
        wanted = parse(ChatRequest, await _body(request, engine.limits.body_bytes))
        served = engine.catalogue.resolve(wanted.model)
        turns = wanted.turns()
        left_out = {"messages": 0, "tools": len([*(wanted.tools or ()), *(wanted.functions or ())])}
        if served.rewrites:  # each text is rewritten by itself
            left_out["messages"] = len(turns) - 1
            turns = (Turn("user", served.prompt(turns[-1].content)),)
        counts = ", ".join(f"{count} {name}" for name, count in left_out.items() if count)
        answers = _Answers(engine, [turns], served, wanted)
        headers = {"X-Restyle-Left-Out": counts} if counts else {}
        return await answers.respond(request, _ChatForm(wanted.model), wanted, headers)

    @app.post("/v1/completions", dependencies=only_with_key)
    async def complete(request: Request) -> Any:
        wanted = parse(TextRequest, await _body(request, engine.limits.body_bytes))
        served = engine.catalogue.resolve(wanted.model)
        texts = [(Turn("user", served.prompt(text) if served.rewrites else text),) for text in wanted.prompts]
        answers = _Answers(engine, texts, served, wanted, is_text=not served.rewrites)
        return await answers.respond(request, _TextForm(wanted.model), wanted, {})

    return app


async def _body(request: Request, most: int) -> bytes:
    """Read a body of JSON; raises ServeError for a larger one, or one of another type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ServeError("serve.json", detail="Content-Type")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise ServeError("serve.body", most=most)
    return bytes(body)


class _Answers:
    """The answers that one request wants, as they are generated."""

    def __init__(
        self,
        engine: Engine,
        conversations: list[tuple[Turn, ...]],
        served: ServedModel,
        wanted: ChatRequest | TextRequest,
        is_text: bool = False,
    ):
        """Queue the calls; raises StudioError where one is refused."""
        loop, self._news = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Progress | StudioError]]()
        self.progress = [Progress("", 0)] * len(conversations)
        settings = wanted.settings(served.run.config().generation, engine.limits.max_tokens)

        def show(number: int) -> Callable[[Progress | StudioError], None]:
            def publish(news: Progress | StudioError) -> None:
                with contextlib.suppress(RuntimeError):  # the server has ended
                    loop.call_soon_threadsafe(self._news.put_nowait, (number, news))

            return publish

        self._calls = [
            Call(served, turns, settings, wanted.stops, show(number), is_text)
            for number, turns in enumerate(conversations)
        ]
        try:
            for call in self._calls:
                engine.submit(call)
        except StudioError:
            self.cancel()
            raise

    def cancel(self) -> None:
        for call in self._calls:
            call.cancel()

    @property
    def usage(self) -> CompletionUsage:
        prompts = sum(call.prompt_tokens for call in self._calls)
        written = sum(progress.tokens for progress in self.progress)
        return CompletionUsage(prompt_tokens=prompts, completion_tokens=written, total_tokens=prompts + written)

    async def _follow(self) -> AsyncIterator[int]:
        """Yield the number of each answer that has grown, until all are over; raises StudioError."""
        while not all(progress.end for progress in self.progress):
            number, news = await self._news.get()
            if isinstance(news, StudioError):
                raise news
            self.progress[number] = news
            yield number

    async def respond(
        self,
        request: Request,
        form: "_Form",
        wanted: ChatRequest | TextRequest,
        headers: dict[str, str],
    ) -> Any:
        """Return the response; what a request is refused for later than `submit` has a status of its own too."""
        news = self._follow()
        disconnect = asyncio.create_task(_until_disconnected(request))
        try:
            first = await _unless_disconnected(disconnect, anext(news))
            if wanted.stream:
                has_usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
                return _Stream(self, self._events(news, first, form, has_usage), headers)
            while await _unless_disconnected(disconnect, anext(news, None)) is not None:
                pass
            return JSONResponse(form.whole(self.progress, self.usage).model_dump(exclude_unset=True), headers=headers)
        except BaseException:
            self.cancel()
            raise
        finally:
            disconnect.cancel()

    async def _events(self, news: AsyncIterator[int], first: int, form: "_Form", has_usage: bool) -> AsyncIterator[str]:
        """Yield the events of a streamed answer: of each part what is new in it."""
        sent = [""] * len(self.progress)
        number: int | None = first
        try:
            for chunk in form.begin(len(self.progress)):
                yield _event(chunk)
            while number is not None:
                progress = self.progress[number]
                new = progress.text.removeprefix(sent[number]) if progress.text.startswith(sent[number]) else ""
                if new or progress.end:
                    sent[number] += new
                    yield _event(form.part(number, new, progress.end))
                number = await anext(news, None)
            if has_usage:
                yield _event(form.usage(self.usage))
            yield "data: [DONE]\n\n"
        except StudioError as error:
            yield f"data: {JSONResponse(_error(error)).body.decode()}\n\n"


class _Stream(StreamingResponse):
    """A streamed answer, which ends when its client goes."""

    media_type = "text/event-stream"

    def __init__(self, answers: _Answers, events: AsyncIterator[str], headers: dict[str, str]):
        super().__init__(events, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers})
        self._answers = answers

    @override
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.cancel()


async def _until_disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _unless_disconnected(disconnect: asyncio.Task[None], awaited: Any) -> Any:
    """Return what is awaited; raises HTTPException, which nobody receives, if the client goes before."""
    task = asyncio.ensure_future(awaited)
    await asyncio.wait({disconnect, task}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        raise HTTPException(499)
    return task.result()


class _ChatForm:
    """The form of a chat's answer."""

    def __init__(self, model: str):
        self._about = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, progress: list[Progress], usage: CompletionUsage) -> BaseModel:
        message = ChatCompletionMessage(role="assistant", content=progress[0].text)
        choice = Choice(index=0, message=message, finish_reason=progress[0].end or "stop", logprobs=None)
        return ChatCompletion(object="chat.completion", choices=[choice], usage=usage, **self._about)

    def begin(self, count: int) -> list[BaseModel]:
        return [
            self._chunk([ChunkChoice(index=0, delta=ChoiceDelta(role="assistant", content=""), finish_reason=None)])
        ]

    def part(self, number: int, text: str, end: Any) -> BaseModel:
        delta = ChoiceDelta(content=text) if text else ChoiceDelta()
        return self._chunk([ChunkChoice(index=0, delta=delta, finish_reason=end)])

    def usage(self, usage: CompletionUsage) -> BaseModel:
        return self._chunk([], usage=usage)

    def _chunk(self, choices: list[ChunkChoice], **more: Any) -> BaseModel:
        return ChatCompletionChunk(object="chat.completion.chunk", choices=choices, **self._about, **more)


class _TextForm:
    """The form of a text's continuation."""

    def __init__(self, model: str):
        self._about = {"id": f"cmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, progress: list[Progress], usage: CompletionUsage) -> BaseModel:
        choices = [_text_choice(number, each.text, each.end) for number, each in enumerate(progress)]
        return Completion(object="text_completion", choices=choices, usage=usage, **self._about)

    def begin(self, count: int) -> list[BaseModel]:
        return []

    def part(self, number: int, text: str, end: Any) -> BaseModel:
        return Completion(object="text_completion", choices=[_text_choice(number, text, end)], **self._about)

    def usage(self, usage: CompletionUsage) -> BaseModel:
        return Completion(object="text_completion", choices=[], usage=usage, **self._about)


_Form = _ChatForm | _TextForm


def _text_choice(number: int, text: str, end: Any) -> CompletionChoice:
    # a part that is not the last has no reason, which the type does not know
    return CompletionChoice.model_construct(index=number, text=text, finish_reason=end, logprobs=None)


def _event(chunk: BaseModel) -> str:
    return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"


def _model(name: str) -> Model:
    return Model(id=name, created=0, object="model", owned_by=_OWNER)


def _status(error: StudioError) -> tuple[int, str | None]:
    usual = 500 if isinstance(error, DeviceError | ModelError) or error.key == "unexpected" else 400
    return _STATUS.get(error.key, (usual, None))


def _error(error: StudioError) -> dict[str, Any]:
    status, code = _status(error)
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
    param = error.values.get("param", _PARAMS.get(error.key))
    return _error_body(error.text(), kind if status < 500 else "server_error", param, code)


def _error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
