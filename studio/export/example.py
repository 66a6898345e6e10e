"""The example script of an adapter: it loads the adapter with its base and streams an answer."""

from studio.export import code_snippets
from studio.export.export_context import ExportContext
from studio.reports import comparison_card

NAME = "ask.py"


def script(context: ExportContext, adapter: str = "") -> str:
    """Return the script; `adapter` is the adapter's folder, relative to the script."""
    settings = context.generation
    packages = sorted(line.partition("==")[0] for line in code_snippets.requirements(context, training=False))
    return code_snippets.render(
        NAME,
        context,
        adapter=adapter,
        packages=" ".join(packages),
        prompt_arguments=_prompt_arguments(context),
        stop_tokens=context.tokenizer.convert_ids_to_tokens(context.stop_ids),
        answer_settings=settings.model_dump(include={"max_new_tokens", "repetition_penalty"}),
        sampling_settings=context.sampling,
    )


def _prompt_arguments(context: ExportContext) -> str:
    return " ".join(map(code_snippets.quote_argument, context.prompt.columns)) or '"How are you?"'


def usage(context: ExportContext, kind: str) -> str:
    """Return the usage of an adapter or a merged model for its model card, as Markdown."""
    if kind == "adapter":
        commands = f"pip install -r requirements.txt\npython {NAME} {_prompt_arguments(context)}"
        return comparison_card.fenced_block(commands, "sh")
    system = [] if context.prompt.system is None else [{"role": "system", "content": context.prompt.system}]
    messages = [*system, {"role": "user", "content": "How are you?"}]
    code = code_snippets.render("merged_usage.py", context, messages=messages)
    return comparison_card.fenced_block(code.rstrip("\n"), "python")
