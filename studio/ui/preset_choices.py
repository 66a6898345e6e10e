"""The choice of a preset: its name, and what it needs beyond this machine as it is."""

from studio import presets
from studio.config import RunConfig
from studio.i18n import text
from studio.model import catalogue, hardware

GPU_PARAMETERS = 0.75e9
"""From this many parameters on, the epochs of a preset take hours on a processor."""


def offered(language: str, joiner: str = "\n") -> list[tuple[str, str]]:
    """Return what a list of presets offers, the one for the user's own rows first: words and name."""
    configs = {presets.OWN: RunConfig(), **{name: presets.load(name) for name in presets.names()}}
    return [
        (joiner.join([text(f"presets.{name}", language), needs(config, language)]), name)
        for name, config in configs.items()
    ]


def title(name: str, language: str) -> str:
    """Return a preset's name in a sentence."""
    return text(f"presets.{name}", language).partition(":")[0]


def needs(config: RunConfig, language: str) -> str:
    """Return what a run needs that is not here (`5.2 GB · GPU · login`), without asking the Hub."""
    facts = catalogue.describe_offline(config.model)
    has_gpu = not hardware.quick_device().startswith("CPU")
    parts = []
    if facts and not facts.here and facts.bytes:
        parts.append(catalogue.size(facts.bytes))
    if facts and (facts.parameters or 0) >= GPU_PARAMETERS and not (facts.here and has_gpu):
        parts.append(text("ui.recipe.needs.gpu", language))
    if facts and facts.gated and not facts.here:
        parts.append(text("ui.recipe.needs.login", language))
    return " · ".join(parts) or text("ui.recipe.needs.nothing", language)
