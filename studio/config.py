"""The settings of a run, each declared once.

The form, the YAML file, `--set` and the checks are all made from `RunConfig`. A field has a type, bounds and a unit
here; its title and its help are in the catalogues under `config.<path>`.
"""

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from studio import setting_text
from studio.errors import ConfigError, one_line
from studio.setting_text import Conflict

BUILTIN_MODEL = "builtin"
"""The model id that stands for SmolLM2-135M-Instruct, wherever it can be had."""


def setting(default: Any, *, basic: bool = False, unit: str | None = None, **bounds: Any) -> Any:
    """Declare one setting: `basic` ones are on the first view of the form, `unit` stands behind the value."""
    return Field(default, json_schema_extra={"basic": basic, "unit": unit}, **bounds)


class Section(BaseModel):
    """A group of settings that belong to one concern."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        return setting_text.read_scalar(value, annotation) if isinstance(value, str) else value


class SourceConfig(Section):
    """Where the rows come from: a data set that ships with the studio, a file, or a data set of the Hub."""

    kind: Literal["bundled", "file", "hub"] = setting("bundled", basic=True)
    name: str = setting("captain", basic=True, min_length=1)
    subset: str | None = setting(None)
    split: str | None = setting(None)
    revision: str | None = setting(None)
    encoding: str | None = setting(None)
    """Of a text file; absent means that it is detected."""
    sheet: str | None = setting(None)
    """Of a spreadsheet, by name; absent means the first one with rows."""

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name: str | None) -> str | None:
        return None if name is None else setting_text.known_encoding(name)


Role = Literal["system", "user", "assistant", "skip"]
Method = Literal["sft", "dpo", "kto"]


class MappingConfig(Section):
    """Which columns make the prompt and which the answer; absent in `DataConfig` means that it is detected."""

    shape: Literal["pair", "messages", "text"] = setting("pair")
    prompt: tuple[str, ...] = setting(())
    joiner: str = setting("\n")
    """What stands between several prompt columns; empty cells are skipped."""
    joined: str = setting("prompt", min_length=1)
    """The name by which a text template calls the joined prompt columns."""
    completion: str | None = setting(None)
    rejected: str | None = setting(None)
    label: str | None = setting(None)
    """In preference data, the column of the worse answers, or the one that says whether an answer is good."""
    system: str | None = setting(None)
    history: str | None = setting(None)
    messages: str | None = setting(None)
    roles: dict[str, Role] = setting({})
    """Role names that are not known by themselves, and what they stand for."""
    marks: Literal["follow", "ignore"] = setting("follow")
    """Whether rows and answers that are marked as not to be learned (`weight: 0`, `label: false`, …) are left out."""
    text: str | None = setting(None)
    split_text: bool = setting(False)
    """Whether the first line of the text is the question, and the rest its answer."""

    @model_validator(mode="after")
    def _complete(self) -> "MappingConfig":
        if self.shape == "pair" and (not self.prompt or not self.completion):
            missing = [name for name in ("prompt", "completion") if not getattr(self, name)]
            raise Conflict("pair_columns", *(f"data.mapping.{name}" for name in missing))
        if self.shape == "messages" and not self.messages:
            raise Conflict("messages_column", "data.mapping.messages")
        if self.shape == "text" and not self.text:
            raise Conflict("text_column", "data.mapping.text")
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that it names."""
        answers = (self.completion, self.rejected, self.label)
        named = (*self.prompt, *answers, self.system, self.history, self.messages, self.text)
        return [column for column in named if column]


QUESTION, ANSWER = "question", "answer"
"""What a text template calls the two parts of a text that is split at its first line."""


class PromptConfig(Section):
    """How a row becomes text."""

    style: Literal["auto", "chat", "text"] = setting("auto", basic=True)
    template: str | None = setting(None)
    system: str | None = setting(None, basic=True)

    @model_validator(mode="after")
    def _template_for_text(self) -> "PromptConfig":
        if self.style == "text" and not self.template:
            raise Conflict("template", "data.prompt.template", "data.prompt.style")
        return self


class ValidationConfig(Section):
    """Which rows are kept back to validate on."""

    kind: Literal["none", "fraction", "file", "split"] = setting("none", basic=True)
    fraction: float = setting(0.1, basic=True, unit="share", gt=0.0, le=0.5)
    name: str | None = setting(None)
    """The file, or the name of the data set's own split."""
    group: str | None = setting(None)
    """A column whose equal values stay on the same side of the split."""

    @model_validator(mode="after")
    def _named(self) -> "ValidationConfig":
        if self.kind in ("file", "split") and not self.name:
            raise Conflict("validation_name", "data.validation.name", "data.validation.kind")
        return self


Fix = Literal[
    "merge_turns", "merge_system", "drop_special", "drop_cut", "deduplicate", "near_deduplicate", "remove_leaks"
]
"""What can be mended in all rows: join turns of the same speaker, put the system prompt into the first question where
the chat template has no place for it, leave out rows that spell control tokens, rows that are cut, exact or near
duplicates, and training rows that are also in the validation rows."""


class DataConfig(Section):
    """The rows, how they are rendered, and which are kept for validation."""

    source: SourceConfig = SourceConfig()
    limit: int | None = setting(None, basic=True, unit="rows", ge=1)
    pick: Literal["first", "random"] = setting("first", basic=True)
    mapping: MappingConfig | None = setting(None)
    prompt: PromptConfig = PromptConfig()
    train_on: Literal["completion", "all"] = setting("completion")
    turns: Literal["all", "last"] = setting("all")
    max_length: int = setting(512, basic=True, unit="tokens", ge=16, le=131072)
    fixes: tuple[Fix, ...] = setting(())
    validation: ValidationConfig = ValidationConfig()
    seed: int = setting(42, ge=0, lt=2**32)


class ModelConfig(Section):
    """The base model."""

    id: str = setting(BUILTIN_MODEL, basic=True, min_length=1)
    revision: str | None = setting(None)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = setting("auto")
    quantization: Literal["none", "nf4", "int8"] = setting("none", basic=True)
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = setting("auto")
    adapter: str | None = setting(None, min_length=1)
    """The run, or the folder of an adapter, that training continues from; absent means a new adapter."""


class LoraSettings(Section):
    """The adapter (Hu et al. 2021, LoRA)."""

    r: int = setting(16, basic=True, ge=1, le=512)
    alpha: int = setting(32, basic=True, ge=1, le=1024)
    dropout: float = setting(0.0, ge=0.0, lt=1.0)
    target_modules: Literal["all-linear"] | tuple[str, ...] = setting("all-linear")
    layers: Literal["all", "upper-half"] = setting("all")
    rslora: bool = setting(False)
    dora: bool = setting(False)
    init: Literal["default", "gaussian", "orthogonal"] = setting("default")

    @model_validator(mode="after")
    def _orthogonal_halves(self) -> "LoraSettings":
        if self.init == "orthogonal" and self.r % 2:
            raise Conflict("odd_rank", "lora.r", "lora.init")
        return self


class TrainConfig(Section):
    """The optimization."""

    method: Method = setting("sft")
    epochs: float = setting(3.0, basic=True, gt=0, le=1000)
    max_steps: int | None = setting(None, unit="steps", ge=1)
    learning_rate: float = setting(2e-4, basic=True, gt=0)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = setting("linear")
    warmup_steps: int = setting(0, unit="steps", ge=0)
    warmup_ratio: float = setting(0.0, unit="share", ge=0.0, lt=1.0)
    batch_size: int = setting(4, basic=True, unit="rows", ge=1, le=1024)
    gradient_accumulation: int = setting(1, unit="batches", ge=1, le=4096)
    batch_split: Literal["auto", "off"] = setting("auto")
    optimizer: Literal[
        "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"
    ] = setting("adamw_torch")
    weight_decay: float = setting(0.0, ge=0.0, le=1.0)
    max_grad_norm: float = setting(1.0, gt=0)
    gradient_checkpointing: Literal["auto", "on", "off"] = setting("auto")
    length_grouping: bool = setting(True)
    neftune_alpha: float | None = setting(None, gt=0.0, le=100.0)
    logging_steps: int = setting(1, unit="steps", ge=1)
    eval_steps: int = setting(20, unit="steps", ge=1)
    save: Literal["no", "steps", "epoch"] = setting("epoch")
    save_steps: int = setting(100, unit="steps", ge=1)
    keep_checkpoints: int = setting(2, ge=1, le=100)
    keep: Literal["last", "best", "style"] = setting("last")
    early_stopping: int | None = setting(None, unit="evaluations", ge=1)
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = setting(())
    seed: int = setting(42, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _warmup_has_an_effect(self) -> "TrainConfig":
        if self.warmup_steps and self.warmup_ratio:
            raise Conflict("warmup_twice", "train.warmup_ratio", "train.warmup_steps")
        if self.schedule == "constant" and (self.warmup_steps or self.warmup_ratio):
            raise Conflict("warmup_constant", "train.schedule", "train.warmup_steps", "train.warmup_ratio")
        if self.max_steps and self.warmup_steps >= self.max_steps:
            raise Conflict("warmup_long", "train.warmup_steps", "train.max_steps")
        return self


class PreferenceConfig(Section):
    """Training on preferences: between two answers (`dpo`), or on answers that are good or bad (`kto`)."""

    beta: float = setting(0.1, gt=0.0, le=10.0)
    style_guard: Literal["auto", "off"] = setting("auto")


class SamplesConfig(Section):
    """The sample timeline: prompts answered again and again while a run trains, to show how the answers change."""

    mode: Literal["auto", "off"] = setting("auto")
    meter: Literal["auto", "on", "off"] = setting("auto")
    prompts: tuple[str, ...] = setting((), max_length=8)
    every: int | None = setting(None, unit="steps", ge=1)
    max_new_tokens: int | None = setting(None, unit="tokens", ge=1, le=1024)

    @model_validator(mode="after")
    def _check_prompts(self) -> "SamplesConfig":
        if not all(prompt.strip() for prompt in self.prompts):
            raise Conflict("empty_prompt", "samples.prompts")
        return self


class GenerationConfig(Section):
    """The defaults for comparing; temperature 0 is greedy decoding."""

    max_new_tokens: int = setting(128, basic=True, unit="tokens", ge=1, le=8192)
    temperature: float = setting(0.7, basic=True, ge=0.0, le=5.0)
    top_k: int = setting(50, ge=0, le=1000)
    top_p: float = setting(0.95, gt=0.0, le=1.0)
    repetition_penalty: float = setting(1.0, ge=1.0, le=2.0)
    seed: int = setting(0, ge=0, lt=2**32)


class EvaluationConfig(Section):
    """What a finished run is evaluated on: held-out prompts, and a pattern that marks the style."""

    prompts: str | None = setting(None)
    marker: str | None = setting(None)


class OfflineConfig(Section):
    """What stands in for the data where the Hub cannot be reached: a bundled sample of the same columns."""

    sample: str | None = setting(None)


class RunConfig(Section):
    """Everything that a run needs to be repeated."""

    name: str = setting("run", basic=True, min_length=1, max_length=60)
    preset: str | None = Field(None, max_length=60)
    """The preset that the settings began as. It says where a run comes from and changes nothing: not a setting."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    lora: LoraSettings = LoraSettings()
    train: TrainConfig = TrainConfig()
    preference: PreferenceConfig = PreferenceConfig()
    samples: SamplesConfig = SamplesConfig()
    generation: GenerationConfig = GenerationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    offline: OfflineConfig = OfflineConfig()

    @model_validator(mode="after")
    def _check_combinations(self) -> "RunConfig":
        if self.data.validation.kind == "none" and (self.train.keep == "best" or self.train.early_stopping):
            path = "train.keep" if self.train.keep == "best" else "train.early_stopping"
            raise Conflict("no_validation", path, "data.validation.kind")
        if self.train.method != "sft" and self.data.train_on == "all":
            raise Conflict("preference_all", "data.train_on", "train.method")
        if self.train.method != "sft" and self.train.neftune_alpha:
            raise Conflict("preference_noise", "train.neftune_alpha", "train.method")
        if self.train.keep == "style" and "off" in (self.samples.mode, self.samples.meter):
            raise Conflict("no_meter", "train.keep", "samples.mode", "samples.meter")
        return self

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Check `values` and return the config; raises ConfigError that names every wrong field."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise setting_text.config_error(error, fields()) from error

    @classmethod
    def from_yaml(cls, text: str) -> "RunConfig":
        """Read the YAML that `to_yaml` writes; raises ConfigError."""
        try:
            values = setting_text.read_yaml(text)
        except yaml.YAMLError as error:
            raise ConfigError("config.yaml", detail=one_line(error, 300)) from error
        if not isinstance(values, Mapping | None):
            raise ConfigError("config.yaml", detail=f"a mapping is needed, found {type(values).__name__}")
        return cls.from_mapping(values or {})

    def to_yaml(self) -> str:
        """Write all settings; `from_yaml` gives an equal config back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)

    def with_settings(self, settings: Mapping[str, Any]) -> "RunConfig":
        """Return a copy with some settings replaced, given by dotted path (`{"train.max_steps": 20}`)."""
        values = self.model_dump()
        for path, value in settings.items():
            if setting_text.annotation_at(type(self), path) is None:
                raise setting_text.unknown_setting(path, fields())
            *parents, name = path.split(".")
            section: Any = values
            for parent in parents:
                section[parent] = section = section.get(parent) or {}  # the mapping of columns may be absent
                if not isinstance(section, dict):
                    raise setting_text.unknown_setting(path, fields())
            section[name] = copy.deepcopy(value)  # a later path may lead into it
        return type(self).from_mapping(values)


def parse_setting(text: str) -> tuple[str, Any]:
    """Split `train.max_steps=20` into path and value, which is read by the setting's type; raises ConfigError."""
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("config.set", text=text)
    path = path.strip()
    try:
        return path, setting_text.read_value(value, setting_text.annotation_at(RunConfig, path))
    except yaml.YAMLError as error:
        raise ConfigError("config.list", path=path, value=value[:80], detail=one_line(error, 300)) from error


@functools.cache
def fields(section: type[BaseModel] = RunConfig, prefix: str = "") -> Mapping[str, FieldInfo]:
    """Return pydantic's description of every setting by its dotted path, in order of declaration."""
    settings: dict[str, FieldInfo] = {}
    for name, info in section.model_fields.items():
        if inner := setting_text.section_of(info.annotation):
            settings |= fields(inner, f"{prefix}{name}.")
        elif info.json_schema_extra:
            settings[prefix + name] = info
    return settings


def differing(configs: Sequence[RunConfig]) -> dict[str, tuple[Any, ...]]:
    """Return the settings in which some configs differ, by dotted path, with the value of each."""
    rows = {path: tuple(value_of(one, path) for one in configs) for path in fields()}
    return {path: row for path, row in rows.items() if any(value != row[0] for value in row)}


def value_of(config: RunConfig, path: str) -> Any:
    """Return the value of the setting at a dotted path; None in a section that is absent."""
    value: Any = config
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return value


def choices(info: FieldInfo) -> tuple[Any, ...]:
    """Return the allowed values of a setting that is chosen from a list; empty for all others."""
    return get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
