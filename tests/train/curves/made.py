"""Curves made up, of each kind that a training run can show, with the noises that batches of text have."""

import numpy

from studio.events import Evaluated, Step

NOISES = ("normal", "skewed", "heavy", "sorted")


def noise(kind: str, count: int, seed: int) -> numpy.ndarray:
    """Return noise of standard deviation 1: skewed and heavy as with a batch of one row, sorted as with rows of like
    length in one batch, whose losses follow each other down every seven steps.
    """
    random = numpy.random.default_rng(seed)
    if kind == "skewed":
        made = random.lognormal(0, 0.6, count)
        return (made - made.mean()) / made.std()
    if kind == "heavy":
        return random.standard_t(4, count) / numpy.sqrt(2)
    made = random.normal(0, 1, count)
    return (made + 1.5 * (numpy.arange(count) % 7 - 3) / 2) / 1.8 if kind == "sorted" else made


def falling(count: int, start: float = 4.0, end: float = 2.0, share: float = 0.15) -> numpy.ndarray:
    """Return an exponential fall whose time constant is a share of the run."""
    return end + (start - end) * numpy.exp(-numpy.arange(count) / (share * count))


def rates(count: int, rate: float = 2e-4, warmup: float = 0.05) -> numpy.ndarray:
    """Return a warm-up and a linear way down."""
    at = (numpy.arange(count) + 1) / count
    return rate * numpy.minimum(at / warmup, (1 - at) / (1 - warmup) + 1 / max(count, 1))


def events(losses, *, rate=2e-4, epochs=3.0, validation=None, every=1, norms=None, total=None):
    """Return a run's events: `losses` of each step, logged `every` so many as their mean, and validation losses."""
    count = len(losses)
    made = []
    learning = rates(count, rate)
    for end in range(every, count + 1, every):
        own = float(numpy.mean(losses[end - every : end]))
        made.append(
            Step.model_construct(
                step=end,
                total=total or count,
                epoch=epochs * end / count,
                loss=own,
                learning_rate=float(learning[end - 1]),
                grad_norm=None if norms is None else float(norms[end - 1]),
                tokens=100 * end,
            )
        )
    for place, loss in enumerate(validation if validation is not None else [], 1):
        made.append(Evaluated(step=count * place // len(validation), loss=float(loss)))
    return made
