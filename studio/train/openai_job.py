"""A fine-tuning job of OpenAI, as its API takes and returns it, as the settings of a run here.

What the job sets is taken over; what it leaves to OpenAI (`auto`) is suggested for the data, the model and this device
as always. Fields: OpenAI's API reference, "Fine-tuning", methods `supervised` and `dpo`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio import presets
from studio.config import RunConfig, SourceConfig
from studio.data.encodings import decode
from studio.errors import ConfigError, one_line
from studio.i18n import Message, listed, message
from studio.train import suggest
from studio.train.suggest import Advice

_NO_SETTINGS = frozenset({
    "object", "id", "created_at", "finished_at", "estimated_finish", "fine_tuned_model", "organization_id", "status",
    "result_files", "trained_tokens", "error", "metadata", "usage_metrics", "shared_with_openai", "eval_id",
})  # fmt: skip
"""What OpenAI's answers say of a job besides its settings."""
_MAX_NAME = 60


class Hyperparameters(BaseModel):
    """The numbers of a method; `auto` leaves one to the trainer."""

    model_config = ConfigDict(extra="allow")

    n_epochs: Literal["auto"] | Annotated[float, Field(gt=0, le=1000)] = "auto"
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    learning_rate_multiplier: Literal["auto"] | Annotated[float, Field(gt=0, le=1000)] = "auto"
    beta: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = "auto"


class MethodSettings(BaseModel):
    """A method's own part of a job."""

    hyperparameters: Hyperparameters = Hyperparameters()


class JobMethod(BaseModel):
    """How a job trains."""

    type: str = "supervised"
    supervised: MethodSettings | None = None
    dpo: MethodSettings | None = None


class FineTuningJob(BaseModel):
    """A request for a job, or a job as it is returned."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    user_provided_suffix: str | None = None
    seed: int | None = Field(None, ge=0, lt=2**32)
    method: JobMethod | None = None
    hyperparameters: Hyperparameters | None = None
    integrations: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class JobRecipe:
    """What has become of a job."""

    config: RunConfig
    lines: tuple[Message, ...]
    """What was taken over, what takes the place of what cannot be, and what is left out."""
    advice: Advice
    """What was suggested for the rest; it is in the config already."""


def read(path: Path) -> FineTuningJob:
    """Read the JSON of a job, or of a list of one job; raises ConfigError for anything else."""
    try:
        value = json.loads(decode(path.read_bytes(), path.name))
    except (ValueError, RecursionError) as error:
        raise ConfigError("config.job_json", name=path.name, detail=one_line(error)) from error
    jobs = value.get("data") if isinstance(value, dict) else value
    if isinstance(jobs, list) and len(jobs) == 1:
        value = jobs[0]
    try:
        return FineTuningJob.model_validate(value)
    except ValidationError as error:
        # a number that may be `auto` too has an error for each; the last one says what numbers there are
        details = {_field_of(each["loc"]): each["msg"] for each in error.errors(include_url=False)}
        field, detail = next(iter(details.items()))
        raise ConfigError("config.job_field", name=path.name, path=field, detail=detail) from error


def _field_of(place: tuple[int | str, ...]) -> str:
    models = (Hyperparameters, MethodSettings, JobMethod, FineTuningJob)
    names = {name for model in models for name in model.model_fields}
    return ".".join(str(part) for part in place if part in names) or "training_file"


def to_recipe(
    path: Path,
    training_file: Path | None,
    validation_file: Path | None,
    settings: Mapping[str, Any],
    free: float | Sequence[float],
    on_progress: Callable[[float], None] = lambda share: None,
) -> JobRecipe:
    """Return the settings of the job in a file; the files with its rows may be named, for a job names OpenAI's ids.

    `settings` (values by path) count before the job's. `free` is the device's free memory in bytes. Raises ConfigError
    for what is no job that can be trained here, DataError for rows that cannot be used.
    """
    job = read(path)
    method = job.method or JobMethod()
    if method.type not in ("supervised", "dpo"):
        raise ConfigError("config.job_method", method=method.type)
    own = getattr(method, method.type)
    numbers = (own.hyperparameters if own else None) or job.hyperparameters or Hyperparameters()
    lines: list[Message] = []
    job_settings: dict[str, Any] = {}

    def take(field: str, value: Any, settings: dict[str, Any]) -> None:
        job_settings.update(settings)
        changes = ", ".join(f"{path} = {each}" for path, each in settings.items())
        lines.append(message("log.job.taken", field=field, value=value, settings=changes))

    rows = _rows_file(path, "training_file", job.training_file, training_file)
    name = (job.suffix or job.user_provided_suffix or path.stem).strip()[:_MAX_NAME] or path.stem
    config = presets.own(SourceConfig(kind="file", name=str(rows)), name)
    if job.validation_file or validation_file:
        validation_rows = _rows_file(path, "validation_file", job.validation_file or "", validation_file)
        config = config.with_settings({"data.validation": {"kind": "file", "name": str(validation_rows)}})
    if method.type == "dpo":
        take("method", "dpo", {"train.method": "dpo"})
        if numbers.beta != "auto":
            take("beta", numbers.beta, {"preference.beta": numbers.beta})
    if numbers.n_epochs != "auto":
        take("n_epochs", numbers.n_epochs, {"train.epochs": numbers.n_epochs})
    if numbers.batch_size != "auto":
        take("batch_size", numbers.batch_size, {"train.batch_size": numbers.batch_size})
    if job.seed is not None:
        take("seed", job.seed, {"train.seed": job.seed, "data.seed": job.seed})
    if any(each.get("type") == "wandb" for each in job.integrations or []):
        take("integrations", "wandb", {"train.trackers": ("wandb",)})
    config = config.with_settings(job_settings | dict(settings))
    decided = {*job_settings, *settings}
    for together in ({"train.epochs", "train.max_steps"}, {"train.batch_size", "train.gradient_accumulation"}):
        decided |= together if together & decided else set()  # they say the same: a suggestion may change neither
    advice = suggest.suggest(config, free, on_progress, keep=decided)
    config = config.with_settings(advice.settings())
    if numbers.learning_rate_multiplier != "auto" and "train.learning_rate" not in settings:
        rate = config.train.learning_rate
        scaled = float(f"{rate * numbers.learning_rate_multiplier:.2g}")
        config = config.with_settings({"train.learning_rate": scaled})
        multiplier = f"{numbers.learning_rate_multiplier:g}"
        lines.append(message("log.job.rate", multiplier=multiplier, rate=f"{rate:g}", scaled=f"{scaled:g}"))
    if job.model:
        lines.insert(0, message("log.job.model", model=job.model, id=config.model.id))
    unknown = [*(set(job.model_extra or ()) - _NO_SETTINGS), *(numbers.model_extra or ())]
    unknown += [str(each.get("type")) for each in job.integrations or [] if each.get("type") != "wandb"]
    if unknown:
        lines.append(message("log.job.left_out", fields=listed(sorted(unknown))))
    return JobRecipe(config, tuple(lines), advice)


def _rows_file(job: Path, field: str, named: str, override: Path | None) -> Path:
    """Return the file with a job's rows: the one that is given, else one of that name beside the job."""
    if override is not None:
        return override
    candidates = [job.parent / named, job.parent / f"{named}.jsonl"]
    file = next((path for path in candidates if named and path.is_file()), None)
    if file is None:
        option = "--" + field.replace("_", "-")
        raise ConfigError("config.job_file", field=field, named=named[:80], folder=str(job.parent), option=option)
    return file
