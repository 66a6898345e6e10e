"""What the tests of comparing share."""

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, CompareRequest
from studio.config import GenerationConfig

GREEDY = GenerationConfig(max_new_tokens=12, temperature=0.0)
SAMPLED = GenerationConfig(max_new_tokens=12, temperature=1.0, top_k=40, top_p=0.9, repetition_penalty=1.3, seed=4)
PROMPTS = ("What is 3?", "안녕하세요?", "x" * 60, "hi")


def compare(run, prompts, settings=GREEDY, columns=(BASE, ADAPTED)):
    """Compare to the end."""
    prompts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    return gpu.thread().compare(CompareRequest(run.id, prompts, settings, tuple(columns))).result()


def ids(comparison):
    """Return the tokens of all answers: prompts × columns."""
    return [[side.ids for side in sides] for sides in comparison.answers]
