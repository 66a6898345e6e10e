"""What the tests of comparing share."""

from following import wait_until_over

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, CompareRequest
from studio.config import GenerationConfig
from studio.runs import State

GREEDY = GenerationConfig(max_new_tokens=12, temperature=0.0)
SAMPLED = GenerationConfig(max_new_tokens=12, temperature=1.0, top_k=40, top_p=0.9, repetition_penalty=1.3, seed=4)
PROMPTS = ("What is 3?", "안녕하세요?", "x" * 60, "hi")


def trained(config, **settings):
    """Train a run to its end."""
    run = gpu.thread().start_run(config.with_settings({"train.max_steps": 20, **settings}))
    assert wait_until_over(run) is State.FINISHED, run.status().error and run.status().error.text()
    return run


def compare(run, prompts, settings=GREEDY, columns=(BASE, ADAPTED)):
    """Compare to the end."""
    prompts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    return gpu.thread().compare(CompareRequest(run.id, prompts, settings, tuple(columns))).result()


def ids(comparison):
    """Return the tokens of all answers: prompts × columns."""
    return [[side.ids for side in sides] for sides in comparison.answers]
