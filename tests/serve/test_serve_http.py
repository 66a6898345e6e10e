"""The endpoint over HTTP: a real server, the `openai` client, and what is refused."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest

from studio import gpu
from studio.serve.engine import Limits
from studio.serve.models import INSTRUCTION, catalogue
from studio.serve.server import Server, listen_address

ROOT = Path(__file__).parent.parent.parent
KEY = "sk-of-a-test-4f1c9e7a"
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"properties": {}, "type": "object"}}}
ASK = [{"role": "user", "content": "What is 3?"}]


@pytest.fixture
def serve(tiny_and_pirate):
    """Start servers of the two runs, which end with the test."""
    started = []

    def start(limits=None, keys=(), also=(), host="127.0.0.1", port=0):
        models = catalogue([run.id for run in tiny_and_pirate], also)
        server = Server(models, limits or Limits(), gpu.thread(), listen_address(host, port, keys))
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def client(server, key="none", **settings):
    return openai.OpenAI(base_url=server.url, api_key=key, max_retries=0, timeout=60, **settings)


def post(server, body, path="/chat/completions", **settings):
    return httpx.post(f"{server.url}{path}", json=body, timeout=60, **settings)


def chat(server, **settings):
    return client(server).chat.completions.create(**{"model": "tiny", "messages": ASK, **settings})


def test_models_are_listed_and_each_can_be_looked_up(serve):
    server = serve(also=["tiny@0.7", "tiny+pirate"])

    names = [model.id for model in client(server).models.list()]

    assert names == ["base", "tiny", "pirate", "tiny@0.7", "tiny+pirate", "restyle"]
    assert client(server).models.retrieve("tiny+pirate").id == "tiny+pirate"
    with pytest.raises(openai.NotFoundError) as refused:
        client(server).models.retrieve("sailor")
    assert refused.value.code == "model_not_found"


def test_a_streamed_answer_is_the_whole_one_in_parts(serve):
    server = serve()
    whole = chat(server, max_tokens=20)
    parts = list(chat(server, max_tokens=20, stream=True, stream_options={"include_usage": True}))

    assert whole.choices[0].message.role == parts[0].choices[0].delta.role == "assistant"
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == (
        whole.choices[0].message.content
    )
    assert len(parts) > 10
    assert parts[-1].usage == whole.usage
    assert parts[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_stop_seed_temperature_and_length(serve):
    server = serve()
    whole = chat(server, model="base", max_completion_tokens=30)
    text = whole.choices[0].message.content
    stopped = chat(server, model="base", max_tokens=30, stop=[text[5:8]])
    first, again, other = (
        chat(server, model="base", max_tokens=30, temperature=1.5, seed=seed).choices[0].message.content
        for seed in (1, 1, 2)
    )

    assert (whole.usage.completion_tokens, whole.choices[0].finish_reason) == (30, "length")
    assert stopped.choices[0].message.content == text[: text.index(text[5:8])]
    assert stopped.choices[0].finish_reason == "stop"
    assert first == again
    assert first != other


def test_texts_are_continued_as_they_are(serve):
    server = serve()
    texts = ["What is", "Is it 7?"]

    both = client(server).completions.create(model="tiny", prompt=texts, max_tokens=8)
    alone = client(server).completions.create(model="tiny", prompt=texts[1], max_tokens=8)
    parts = client(server).completions.create(model="tiny", prompt=texts, max_tokens=8, stream=True)

    assert [choice.index for choice in both.choices] == [0, 1]
    assert both.choices[1].text == alone.choices[0].text
    assert alone.usage.prompt_tokens == len(texts[1])
    streamed = ["", ""]
    for part in parts:
        streamed[part.choices[0].index] += part.choices[0].text
    assert streamed == [choice.text for choice in both.choices]


def test_a_text_is_rewritten_by_itself_with_the_prompt_of_the_training(serve, tiny_and_pirate):
    server = serve()
    history = [{"role": "system", "content": "You are a bot."}, *ASK, {"role": "assistant", "content": "3"}]
    asked = [*history, {"role": "user", "content": "It rains."}]

    response = post(server, {"model": "restyle", "messages": asked})
    as_asked = chat(server, messages=[{"role": "user", "content": INSTRUCTION.format(text="It rains.")}])

    assert response.json()["choices"][0]["message"]["content"] == as_asked.choices[0].message.content
    assert response.headers["x-restyle-left-out"] == "3 messages"
    _, pirate = tiny_and_pirate
    resolved = json.loads((pirate.path / "resolved.json").read_bytes())
    changed = {**resolved, "material": {"recipes": {"plain": 24}}}
    (pirate.path / "resolved.json").write_text(json.dumps(changed), encoding="utf-8")
    trained = chat(server, model="restyle:pirate", messages=[{"role": "user", "content": "It rains."}])
    plain = chat(server, model="pirate", messages=[{"role": "user", "content": "It rains."}])
    assert trained.choices[0].message.content == plain.choices[0].message.content


@pytest.mark.parametrize(
    ("changes", "status", "param", "code"),
    [
        ({"model": "sailor"}, 404, "model", "model_not_found"),
        ({"model": "tiny@9"}, 400, None, None),
        ({"messages": []}, 400, "messages", None),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role", None),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages.0.content.0.type", None),
        ({"messages": [*ASK, {"role": "assistant", "content": "x"}]}, 400, "messages", None),
        ({"messages": [*ASK, {"role": "system", "content": "x"}, *ASK]}, 400, "messages", None),
        ({"messages": [{"role": "user", "content": "x" * 2000}]}, 400, "messages", "context_length_exceeded"),
        ({"max_tokens": 0}, 400, "max_tokens", None),
        ({"max_completion_tokens": 10**6}, 400, "max_completion_tokens", None),
        ({"temperature": 9}, 400, "temperature", None),
        ({"seed": -1}, 400, "seed", None),
        ({"stop": [""]}, 400, "stop", None),
        ({"n": 2}, 400, "n", None),
        ({"tools": [TOOL], "tool_choice": "required"}, 400, "tool_choice", None),
        ({"functions": [TOOL], "function_call": {"name": "now"}}, 400, "function_call", None),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "now"}}}, 400, "tool_choice", None),
        ({"temprature": 1}, 400, "temprature", None),
    ],
)
def test_what_cannot_be_used_is_refused_in_the_form_of_openai(serve, changes, status, param, code):
    response = post(serve(), {"model": "tiny", "messages": ASK, **changes})

    assert response.status_code == status
    error = response.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert len(error["message"]) > 20


def test_what_asks_for_nothing_is_taken(serve):
    harmless = {"n": 1, "tools": [], "user": "me", "logprobs": None, "frequency_penalty": 0.0, "logit_bias": {}}

    assert post(serve(), {"model": "tiny", "messages": ASK, **harmless}).status_code == 200


@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": "none"}, {"function_call": "auto"}])
def test_tools_that_may_be_called_are_left_out_and_counted(serve, choice):
    """Chat programs (Open WebUI) send their tools with each message."""
    server = serve()
    asked = {"model": "tiny", "messages": ASK, "max_tokens": 8}
    without = post(server, asked)

    tools = {"functions" if "function_call" in choice else "tools": [TOOL, TOOL], **choice}
    answers = [post(server, {**asked, **tools, "stream": stream}) for stream in (False, True)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.headers["x-restyle-left-out"] for answer in answers] == ["2 tools", "2 tools"]
    assert answers[0].json()["choices"] == without.json()["choices"]
    assert "x-restyle-left-out" not in without.headers
    rewritten = post(server, {"model": "restyle", "messages": [*ASK, *ASK], "tools": [TOOL], "max_tokens": 8})
    assert rewritten.headers["x-restyle-left-out"] == "1 messages, 1 tools"


@pytest.mark.parametrize(
    ("prompt", "words"),
    [("", "empty"), (["a", ""], "empty"), ("x" * 2000, "no room"), ([], "at least 1 item"), (["a"] * 33, "at most 32")],
)
def test_a_text_that_cannot_be_continued_is_refused_by_its_own_name(serve, prompt, words):
    response = httpx.post(f"{serve().url}/completions", json={"model": "base", "prompt": prompt}, timeout=60)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prompt"
    assert words in response.json()["error"]["message"]


HALF = '{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}'


@pytest.mark.parametrize(
    "body", ["{", "[]", '{"model": NaN}', "[" * 10_000, HALF], ids=["cut", "list", "nan", "deep", "half a character"]
)
def test_a_body_that_is_no_object_is_refused(serve, body):
    url, headers = f"{serve().url}/chat/completions", {"Content-Type": "application/json"}

    assert httpx.post(url, content=body, headers=headers).status_code == 400
    assert "Content-Type" in httpx.post(url, content=body).json()["error"]["message"]


def test_a_large_body_is_refused(serve):
    server = serve(Limits(body_bytes=1000))

    assert post(server, {"model": "tiny", "messages": ASK, "user": "x" * 2000}).status_code == 413
    assert post(server, {"model": "tiny", "messages": ASK}).status_code == 200


def test_a_key_is_needed_where_there_is_one(serve):
    server = serve(keys=(KEY,))

    for wrong in ("none", KEY[:-1], KEY + "x", "é"):
        response = httpx.get(f"{server.url}/models", headers={"Authorization": f"Bearer {wrong}".encode()})
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
    with pytest.raises(openai.AuthenticationError):
        client(server).chat.completions.create(model="tiny", messages=ASK)
    assert client(server, KEY).chat.completions.create(model="tiny", messages=ASK).choices


def test_a_key_is_made_where_others_reach_the_endpoint(monkeypatch):
    assert listen_address("127.0.0.1", 0).keys == ()
    made = listen_address("0.0.0.0", 0)
    assert (len(made.keys), made.generated) == (1, True)
    assert listen_address("0.0.0.0", 0).keys != made.keys
    monkeypatch.setenv("RESTYLE_SERVE_KEY", KEY)
    assert (listen_address("0.0.0.0", 0).keys, listen_address("::1", 0).keys) == ((KEY,), (KEY,))
    with pytest.raises(Exception, match="too short"):
        listen_address("127.0.0.1", 0, ("short",))


def test_other_sites_get_nowhere(serve):
    server = serve()
    body = json.dumps({"model": "tiny", "messages": ASK})

    assert httpx.get(f"{server.url}/models", headers={"Host": "evil.example"}).status_code == 400
    simple = httpx.post(f"{server.url}/chat/completions", content=body, headers={"Content-Type": "text/plain"})
    assert simple.status_code == 400
    asks_first = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in httpx.options(f"{server.url}/models", headers=asks_first).headers


LONG = {"model": "base", "messages": ASK, "max_tokens": 900}


def wait_until_none_is_open(server):
    """Wait far less time than 900 tokens take."""
    deadline = time.monotonic() + 1
    while server.engine.open and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.engine.open == 0


def test_a_streamed_answer_ends_when_its_client_goes(serve):
    server = serve()

    with httpx.stream("POST", f"{server.url}/chat/completions", json=LONG | {"stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        assert server.engine.open == 1
    wait_until_none_is_open(server)


def test_a_whole_answer_ends_when_its_client_goes(serve):
    server = serve()
    chat(server)

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/chat/completions", json=LONG, timeout=httpx.Timeout(10, read=0.2))
    wait_until_none_is_open(server)


def test_more_than_the_limit_wait_for_nothing(serve):
    server = serve(Limits(requests=1))

    with httpx.stream("POST", f"{server.url}/chat/completions", json=LONG | {"stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        refused = post(server, {"model": "tiny", "messages": ASK})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert refused.headers["retry-after"]


def test_32_clients_at_once_get_the_answers_that_each_gets_alone(serve):
    server = serve()
    names = ["base", "tiny", "pirate", "tiny@0.5", "tiny+pirate"]
    wanted = [
        {"model": names[number % 5], "messages": [{"role": "user", "content": f"What is {number * 111}?"}]}
        | {"max_tokens": 6 + number // 3, "temperature": number % 3 / 2, "seed": number}
        for number in range(32)
    ]
    alone = [chat(server, **each).choices[0].message.content for each in wanted]
    most = []

    def ask(each):
        time.sleep(each["seed"] % 7 / 50)
        parts = []
        for part in chat(server, **each, stream=True):
            most.append(server.engine.open)
            parts.append(part.choices[0].delta.content or "")
        return "".join(parts)

    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(ask, wanted))

    assert together == alone
    assert max(most) > 8


def test_an_open_answer_ends_with_an_error_when_the_server_stops_and_it_starts_again(serve):
    server = serve()
    first = chat(server).choices[0].message.content
    stopping = threading.Thread(target=server.stop)
    with httpx.stream("POST", f"{server.url}/chat/completions", json=LONG | {"stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        stopping.start()
        last = [line for line in lines if line][-1]
    stopping.join()
    port = int(server.url.split(":")[2].split("/")[0])

    assert "closing" in json.loads(last.removeprefix("data: "))["error"]["message"]
    again = serve(port=port)
    assert chat(again).choices[0].message.content == first


def test_a_port_in_use_is_an_error_that_names_it(serve):
    port = int(serve().url.split(":")[2].split("/")[0])

    with pytest.raises(Exception, match=f"127.0.0.1:{port}"):
        serve(port=port)


def test_the_command_serves_is_killed_and_starts_again(tiny_and_pirate):
    """As a user does: in a process of its own, with the same port after a kill."""
    tiny, _ = tiny_and_pirate
    answers = []
    port = "0"
    for ending in (signal.SIGKILL, signal.SIGTERM):
        command = [sys.executable, "-m", "studio", "serve", tiny.id, "--port", port, "--model", "tiny@0.5"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            lines = list(lines_until_ready(process.stdout))
            url = re.search(r"http://\S+", lines[-1])[0]
            port = url.split(":")[2].split("/")[0]
            with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as asks:
                answers.append(asks.chat.completions.create(model="tiny@0.5", messages=ASK).choices[0].message.content)
        finally:
            process.send_signal(ending)
            process.communicate(timeout=30)
    assert answers[0] == answers[1]
    assert process.returncode == 0
    assert any(line.startswith("vllm serve") and "--lora-modules" in line for line in lines)


def lines_until_ready(output):
    for line in output:
        yield line
        if "http://" in line:
            return
