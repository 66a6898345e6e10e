"""Tokens a second of one, two and four columns against transformers alone, and what one batch saves.

    python -m tests.bench.decoding [MODEL] [--processor]

The built-in model is taken unless another is named. A batch is two columns, against one after the other, or eight
prompts, against each alone. Both ways are timed in turn, several times, and the median of the ratios is told, since
other work on the machine comes and goes. With `--processor` one thread works and its processor time counts, which other
work hardly moves.
"""

import os
import statistics
import sys
import tempfile
import threading
import time

from studio.model.hardware import prepare_process

prepare_process()
os.environ["RESTYLE_HOME"] = tempfile.mkdtemp()

from studio import presets, runs  # noqa: E402
from studio.compare.column_loading import load_columns  # noqa: E402
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest  # noqa: E402
from studio.compare.compare_job import compare  # noqa: E402
from studio.config import GenerationConfig  # noqa: E402
from studio.data import prepare, tokens  # noqa: E402
from studio.data.conversation import Turn  # noqa: E402
from studio.data.prepare import run_renderer  # noqa: E402
from studio.generation import generate  # noqa: E402
from studio.generation.generate import PromptBatchItem, noise_key  # noqa: E402
from studio.generation.job_context import JobContext  # noqa: E402
from studio.model import adapter, load  # noqa: E402

TIMES, NEW_TOKENS = 3, 32
COLUMNS = {
    "one column": (ADAPTED,),
    "two": (BASE, ADAPTED),
    "four": (BASE, Column(strength=0.5), ADAPTED, Column(strength=1.5)),
}
PROCESSOR = "--processor" in sys.argv
clock = time.process_time if PROCESSOR else time.perf_counter


def made_run(host, model_id):
    """Make a run whose adapter is random, and large enough that its answers differ from the base's."""
    import torch
    from peft import get_peft_model

    config = presets.load("quickstart").with_settings({"model.id": model_id, "model.precision": "float32"})
    run = runs.create(config)
    located = load.locate(config.model)
    loaded = host.base(config.model, located)
    torch.manual_seed(0)
    wrapped = get_peft_model(loaded.model, adapter.lora_config(config.lora, loaded.model), adapter_name=adapter.TUNED)
    for name, weights in wrapped.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(std=0.01)
    adapter.save(wrapped, loaded.tokenizer, run.adapter, located.identity)
    host.put_adapter(wrapped, "")
    host.remove_adapter()
    run.resolve({"mapping": prepare.mapping(config.data).mapping.model_dump(mode="json"), "base": located.identity})
    return run


def first_token(host, run):
    """Return the seconds from asking for a comparison to its first token on both sides."""
    shown = []
    request = CompareRequest(run.id, ("How do I boil an egg?",), GenerationConfig(max_new_tokens=2), (BASE, ADAPTED))
    began = clock()
    compare(request, JobContext(host, None, lambda comparison: shown.append(clock() - began), threading.Event()))
    return shown[0]


def transformers_alone(run):
    """Return a function that answers as people do without a studio: a PEFT model and its `generate`."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = load.locate(run.config().model).path
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype="float32"), run.adapter).eval()

    def generate(ids, stops):
        asked = torch.tensor([ids])
        with torch.no_grad():
            began = clock()
            made = model.generate(
                input_ids=asked,
                attention_mask=torch.ones_like(asked),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                eos_token_id=stops,
                pad_token_id=0,
            )
            return clock() - began, made[0, len(ids) :].tolist()

    return generate


def main() -> None:
    """Print the figures."""
    import torch

    if PROCESSOR:
        torch.set_num_threads(1)
    host = adapter.ModelHost()
    named = [argument for argument in sys.argv[1:] if argument != "--processor"]
    run = made_run(host, (named or ["builtin"])[0])
    settings = GenerationConfig(max_new_tokens=NEW_TOKENS, temperature=0.0)
    prompts = prepare.held_out("captain-heldout")[:8]

    def answers(asked, columns):
        with torch.no_grad(), load_columns(host, run, run.config(), columns, None) as models:
            made = run_renderer(run, models.tokenizer)
            each = [tuple(tokens.prompt_ids(made.question([Turn("user", one)]), models.tokenizer)) for one in asked]
            rows = [
                PromptBatchItem((ids,) * len(columns), noise_key(one)) for one, ids in zip(asked, each, strict=True)
            ]
            began = clock()
            sides = generate.answer(models, rows, settings, threading.Event()).answers
            return clock() - began, [[side.ids for side in row] for row in sides]

    def rates():
        """Return the tokens a second that each number of columns makes of one prompt, and transformers alone."""
        with torch.no_grad(), load_columns(host, run, run.config(), (ADAPTED,), None) as models:
            made = run_renderer(run, models.tokenizer)
            ids, stops = tokens.prompt_ids(made.question([Turn("user", prompts[0])]), models.tokenizer), models.stops
        seconds, said = alone_with(ids, stops)
        found = {"transformers alone": len(said) / seconds}
        for name, columns in COLUMNS.items():
            seconds, sides = answers(prompts[:1], columns)
            found[name] = sum(map(len, sides[0])) / seconds
            assert columns != (ADAPTED,) or list(sides[0][0]) == said
        return found

    for which in ("first", "second"):
        print(f"to the first token of the {which} comparison after the model is loaded: {first_token(host, run):.2f} s")
    alone_with = transformers_alone(run)
    rates()
    counted = [rates() for _ in range(TIMES)]
    for name in counted[0]:
        shares = [found[name] / found["transformers alone"] for found in counted]
        rate = statistics.median(found[name] for found in counted)
        print(f"{name}: {rate:.1f} tokens a second, {statistics.median(shares):.2f} times ({_all(shares)})")
    pairs, lists, count = [], [], 0
    for _ in range(TIMES):
        both, together = answers(prompts[:1], (BASE, ADAPTED))
        alone = [answers(prompts[:1], (column,)) for column in (BASE, ADAPTED)]
        assert together[0] == [made[0][0] for _, made in alone]
        pairs.append(sum(seconds for seconds, _ in alone) / both)

        batch, together = answers(prompts, (BASE, ADAPTED))
        alone = [answers([prompt], (BASE, ADAPTED)) for prompt in prompts]
        assert together == [made[0] for _, made in alone]
        lists.append(sum(seconds for seconds, _ in alone) / batch)
        count = sum(len(ids) for row in together for ids in row)
        print(f"8 × 2 together: {count / batch:.1f} tokens a second; one by one: {count / (batch * lists[-1]):.1f}")
    print(f"two columns in one batch: {statistics.median(pairs):.2f} times as fast as in turn ({_all(pairs)})")
    print(f"eight prompts in one batch: {statistics.median(lists):.2f} times as fast as one by one ({_all(lists)})")


def _all(ratios: list[float]) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in ratios)


if __name__ == "__main__":
    main()
