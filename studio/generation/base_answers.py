"""The job that answers prompts with an untouched base. It runs on the GPU thread, can be stopped, and resumes.

Answers are kept in the cache as they come (see `answer_store`), by the model, the settings and the prompt's tokens.
"""

from dataclasses import dataclass, field
from typing import Any

from studio.config import GenerationConfig, ModelConfig
from studio.data.conversation import Turn
from studio.data.prompt import ChatRenderer, PlainRenderer
from studio.data.tokens import prompt_ids, stop_ids
from studio.files import user_cache
from studio.generation import answer_store, generate
from studio.generation.answer_store import Answer, AnsweredPrompt, AnswerStore, Stopped
from studio.generation.generate import BASE_MODEL, ModelSet
from studio.generation.job_context import JobContext
from studio.model import load
from studio.model.template import source_of


@dataclass(frozen=True)
class PromptsRequest:
    """Prompts for a base model."""

    model: ModelConfig
    prompts: tuple[str, ...] = field(repr=False)
    settings: GenerationConfig
    folder: str
    """The folder of the cache in which the answers are kept."""


@dataclass(frozen=True)
class PromptsProgress:
    """How far the answers are."""

    done: int
    total: int
    partial: float = 0.0
    """How many more answers those are worth that are being written."""
    answers: tuple[Answer, ...] | None = field(default=None, repr=False)
    """All of them, in the order of the prompts, once they are complete."""
    stopped: bool = False


def answer_prompts(request: PromptsRequest, job: JobContext) -> None:
    """Answer what is not answered yet; shows a `PromptsProgress` as tokens come, and with all answers in the end.

    A prompt that fills the model's positions gets an empty answer that has not ended. Raises DeviceError while a run is
    active, ModelError where the model is not on this machine.
    """
    import torch

    job.require_idle()
    with torch.no_grad():
        located = load.require(request.model)
        loaded = job.host.base(request.model, located)
        model = job.host.peft or loaded.model
        stops = sorted(stop_ids(loaded.tokenizer, loaded.model.generation_config))
        models = ModelSet(model, loaded.tokenizer, stops, (BASE_MODEL,), mixes=False)
        prompts = [AnsweredPrompt(prompt, _ids(prompt, loaded.tokenizer)) for prompt in request.prompts]
        most = generate.max_positions(model)
        fitting = [prompt for prompt in prompts if len(prompt.ids) < most]
        depends_on = [located.identity["weights"], str(model.dtype), request.settings.model_dump(mode="json")]
        store = AnswerStore.open(user_cache(request.folder), depends_on)
        done = len(prompts) - sum(prompt not in store for prompt in fitting)

        def on_progress(added: int) -> None:
            nonlocal done
            done += added
            job.show(PromptsProgress(done, len(prompts)))

        def on_partial(worth: float) -> None:
            job.show(PromptsProgress(done, len(prompts), worth))

        on_progress(0)
        try:
            answer_store.answer_missing(models, [store], [fitting], request.settings, job.stop, on_progress, on_partial)
        except Stopped:
            job.show(PromptsProgress(done, len(prompts), stopped=True))
            return
    answers = tuple(store[prompt] if prompt in store else Answer("", False) for prompt in prompts)
    job.show(PromptsProgress(len(prompts), len(prompts), answers=answers))


def _ids(prompt: str, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens of a prompt: a chat where the model has a template, else a text that it is to continue."""
    is_chat = bool(source_of(tokenizer))
    renderer = ChatRenderer(tokenizer, None) if is_chat else PlainRenderer(tokenizer)
    return tuple(prompt_ids(renderer.question([Turn("user", prompt if is_chat else f"{prompt}\n\n")]), tokenizer))
