"""Tokens a second of the endpoint for 1, 8 and 32 clients, against `generate` in turn and `transformers serve`.

    python -m tests.bench.serving [MODEL] [--times N]

The built-in model is taken unless another is named, in float32, with an adapter that is random. Each client wants one
answer of at most 16 tokens, greedy. The adapter's answers have to be those of transformers' and PEFT's own `generate`,
which answers one prompt after the other in this process; `transformers serve` answers for the base alone, with
its defaults (on a processor, its continuous batching took 14 GB for its cache). All ways take turns, and the median of
the ratios is printed.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from studio.model.hardware import prepare_process

prepare_process()
os.environ["RESTYLE_HOME"] = tempfile.mkdtemp()

import httpx  # noqa: E402
import openai  # noqa: E402

from studio.data import prepare, tokens  # noqa: E402
from studio.data.conversation import Turn  # noqa: E402
from studio.data.prepare import run_renderer  # noqa: E402
from studio.model import adapter, load  # noqa: E402
from tests.bench import decoding  # noqa: E402

CLIENTS, NEW_TOKENS, IN_TURN = (1, 8, 32), 16, 4
"""Clients at once, tokens of an answer, and answers of `generate` whose rate counts for any number of them."""


def prompts():
    """Return 32 prompts that differ."""
    held_out = prepare.held_out("captain-heldout")
    return [held_out[number % len(held_out)] + " " * (number // len(held_out)) for number in range(32)]


def started(command, ready):
    """Start a server, and return it with the address that it prints or that answers."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if callable(ready):
        while not ready():
            assert process.poll() is None
            time.sleep(0.5)
        return process, ""
    return process, next(match[0] for line in process.stdout if (match := re.search(ready, line)))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers_at(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def rate(url, model, asked):
    """Return the tokens a second of one answer to each prompt, all at once, and the answers."""
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:

        def ask(prompt):
            return client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": prompt}], max_tokens=NEW_TOKENS, temperature=0
            )

        with ThreadPoolExecutor(len(asked)) as pool:
            began = time.perf_counter()
            answers = list(pool.map(ask, asked))
            seconds = time.perf_counter() - began
    count = sum(answer.usage.completion_tokens for answer in answers)
    return count / seconds, [answer.choices[0].message.content for answer in answers]


def main() -> None:
    """Print the figures."""
    times = int(sys.argv[sys.argv.index("--times") + 1]) if "--times" in sys.argv else 3
    named = [word for word in sys.argv[1:] if word != "--times" and not word.isdecimal()]
    host = adapter.ModelHost()
    run = decoding.made_run(host, (named or ["builtin"])[0])
    renderer, tokenizer = run_renderer(run, host.loaded.tokenizer), host.loaded.tokenizer
    stops = sorted(tokens.stop_ids(tokenizer, host.loaded.model.generation_config))
    folder = str(load.locate(run.config().model).path)
    asked = prompts()
    ids = [tokens.prompt_ids(renderer.question([Turn("user", prompt)]), tokenizer) for prompt in asked[:IN_TURN]]
    decoding.NEW_TOKENS = NEW_TOKENS
    alone = decoding.transformers_alone(run)
    host.release()

    port = free_port()
    theirs = f"http://127.0.0.1:{port}"
    program = os.path.join(os.path.dirname(sys.executable), "transformers")
    command = [program, "serve", folder, "--port", str(port), "--dtype", "float32"]
    servers = []
    try:
        served, url = started([sys.executable, "-m", "studio", "serve", run.id, "--port", "0"], r"http://\S+")
        servers.append(served)
        other, _ = started(command, lambda: answers_at(f"{theirs}/health"))
        servers.append(other)
        name = next(
            model.id for model in openai.OpenAI(base_url=url, api_key="none").models.list() if model.id != "base"
        )
        for model, where in ((name, url), ("base", url), (folder, f"{theirs}/v1")):
            rate(where, model, asked[:2])
        figures: dict[str, list[tuple[float, float]]] = {}

        def note(what, own, ratio):
            figures.setdefault(what, []).append((own, ratio))
            print(f"{what}: {own:.1f} tokens a second ({ratio:.2f})", file=sys.stderr, flush=True)

        for _ in range(times):
            made = [alone(each, stops) for each in ids]
            in_turn = sum(len(answer) for _, answer in made) / sum(seconds for seconds, _ in made)
            note("generate in turn, adapter", in_turn, 1.0)
            expected = [tokenizer.decode(answer, skip_special_tokens=True).strip() for _, answer in made]
            for count in CLIENTS:
                own, texts = rate(url, name, asked[:count])
                assert [text.strip() for text in texts[:IN_TURN]] == expected[: len(texts)]
                note(f"{count} clients, adapter, to generate in turn", own, own / in_turn)
                own, _ = rate(url, "base", asked[:count])
                other_rate, _ = rate(f"{theirs}/v1", folder, asked[:count])
                note(f"{count} clients, base, to transformers serve", own, own / other_rate)
                note(f"{count} clients, transformers serve", other_rate, 1.0)
        for what, measured in figures.items():
            rates, ratios = zip(*measured, strict=True)
            shares = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"{what}: {statistics.median(rates):.1f} tokens a second, {statistics.median(ratios):.2f} ({shares})")
    finally:
        for server in servers:
            server.kill()


if __name__ == "__main__":
    main()
