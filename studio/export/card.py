"""The model card of an export: what it is, what it rests on, how it is used, with metadata that the Hub reads."""

from studio.config import fields
from studio.export import pieces
from studio.export.subject import Subject


def text(subject: Subject, kind: str) -> str:
    """Return the card as Markdown with its head; `kind` is `adapter` or `merged`."""
    from huggingface_hub import ModelCardData

    base = subject.base
    head = ModelCardData(
        base_model=None if base.origin == "folder" else base.id,
        library_name="peft" if kind == "adapter" else "transformers",
        license=base.licence if base.licence and " " not in base.licence else None,
        pipeline_tag="text-generation",
        tags=["restyle-studio", "lora", "sft"],
    )
    config = subject.config.model_dump()
    settings = [f"- `{path}`: {_value(config, path)}" for path, _ in fields() if path.startswith(("lora.", "train."))]
    told = (
        "An adapter (LoRA) to be put on its base." if kind == "adapter" else "The base with the adapter merged into it."
    )
    lines = [
        "---",
        head.to_yaml(),
        "---",
        "",
        f"# {_plain(subject.name)}",
        "",
        told,
        "",
        pieces.origin(base),
        "",
        "## How to use it",
        "",
        '`python ask.py "…"` loads it with its base and streams an answer.'
        if kind == "adapter"
        else "Load the folder with transformers; the chat template and the tokens that end an answer are in it.",
        *(
            []
            if subject.prompt.system is None
            else ["", f"It was trained with the system prompt: {_plain(subject.prompt.system)}"]
        ),
        "",
        "## How it was made",
        "",
        f"Restyle Studio, run `{subject.run.id}`; SHA-256 of the data: `{subject.run.resolved().get('data')}`.",
        "",
        *settings,
        "",
    ]
    return "\n".join(lines)


def _value(config: dict[str, object], path: str) -> object:
    section, name = path.split(".")
    return config[section][name]  # type: ignore[index]


def _plain(text: str) -> str:
    """Return a text that Markdown takes for text, in one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|" else letter for letter in flat)
