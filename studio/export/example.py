"""The example script of an adapter: it loads the adapter with its base and streams an answer."""

from studio.export import code_snippets
from studio.export.code_snippets import escape_docstring, literal
from studio.export.export_context import ExportContext, PromptFormat
from studio.reports import comparison_card

NAME = "ask.py"


def script(context: ExportContext, adapter: str = ".") -> str:
    """Return the script; `adapter` is the adapter's folder, relative to the script."""
    parts = (
        _head(context, adapter),
        code_snippets.base_from_package(context.base),
        _load(context),
        _PROMPT_FUNCTION[context.prompt.kind],
        _STREAM,
        _main(context.prompt),
    )
    return "\n\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _head(context: ExportContext, adapter: str) -> str:
    prompt, settings = context.prompt, context.generation
    asked = " ".join(map(code_snippets.quote_argument, prompt.columns)) or '"How are you?"'
    needs = " ".join(sorted(name.partition("==")[0] for name in code_snippets.requirements(context, training=False)))
    classes = ["AutoModelForCausalLM", "AutoTokenizer", "TextIteratorStreamer"]
    classes += ["BitsAndBytesConfig"] if context.quantization != "none" else []
    classes += ["GgufConfig"] if context.base.origin == "package" else []
    lines = [
        f'"""Ask "{escape_docstring(context.name)}" and see its answer as it comes.',
        "",
        f"    pip install {needs}",
        f"    python {NAME} {escape_docstring(asked)}",
        "",
        code_snippets.wrap(escape_docstring(code_snippets.base_description(context.base))),
        f'Written by Restyle Studio for its run {context.run.id}; nothing of the studio is needed."""',
        "",
        "import argparse",
        *sorted(code_snippets.base_from_package_imports(context.base)),
        "from pathlib import Path",
        "from threading import Thread",
        "",
        "import torch",
        "from peft import PeftModel",
        f"from transformers import {', '.join(sorted(classes))}",
        "",
        f"ADAPTER = Path(__file__).parent{'' if adapter == '.' else f' / {literal(adapter)}'}",
        code_snippets.base_constants(context.base),
        f"PRECISION = torch.{context.precision}  # as in the training",
    ]
    if quantized := code_snippets.quantization_config(context):
        lines.append(f"QUANTIZATION = {quantized}")
    if prompt.kind == "chat":
        lines.append(f"SYSTEM = {literal(prompt.system)}")
    else:
        lines.append(f"PROMPT = {literal(prompt.before)}")
    stops = context.tokenizer.convert_ids_to_tokens(context.stop_ids)
    lines.append(f"STOPS = {list(context.stop_ids)}  # {literal(stops)}")
    answer = {"max_new_tokens": settings.max_new_tokens, "repetition_penalty": settings.repetition_penalty}
    sampled = {"temperature": settings.temperature, "top_k": settings.top_k, "top_p": settings.top_p}
    lines.append(f"ANSWER = {literal(answer)}")
    lines.append(f"SAMPLED = {literal(sampled if settings.temperature else {})}")
    return "\n".join(lines)


def _load(context: ExportContext) -> str:
    quantized = context.quantization != "none"
    how = "quantized as in the training" if quantized else "in the training's precision"
    source = "base or base_from_package()" if context.base.origin == "package" else "base or BASE"
    lines = [
        "def load(base, sixteen_bit):",
        f'    """Return the model with its adapter: {how}, or in 16 bit."""',
        '    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"',
        '    old_card = device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)',
        "    sixteen = torch.float16 if old_card else torch.bfloat16",
        "    model = AutoModelForCausalLM.from_pretrained(",
        f"        {source},",
        "        revision=None if base else REVISION,",
        "        dtype=sixteen if sixteen_bit else PRECISION,",
        f"        attn_implementation={literal(context.attention)},",
    ]
    if quantized:
        lines.append("        quantization_config=None if sixteen_bit else QUANTIZATION,")
    lines += ['        device_map={"": device},', "    )"]
    if quantized:
        lines += code_snippets.KEEP_4BIT_LAYOUT
    lines.append("    return PeftModel.from_pretrained(model, ADAPTER).eval()")
    return "\n".join(lines)


_PROMPT_FUNCTION = {
    "chat": '''def prompt_of(tokenizer, asked):
    """Return the text of a chat with one question, as the training had it."""
    system = [] if SYSTEM is None else [{"role": "system", "content": SYSTEM}]
    messages = [*system, {"role": "user", "content": asked[0]}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
''',
    "text": '''def prompt_of(tokenizer, asked):
    """Return the training's template with what is asked in its places."""
    return PROMPT.format(*asked)
''',
    "plain": '''def prompt_of(tokenizer, asked):
    """Return the beginning of a text, which the model goes on with."""
    return PROMPT.format(*asked)
''',
}

_STREAM = '''def stream(model, tokenizer, prompt, greedy):
    """Yield the pieces of an answer as they come."""
    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(model.device)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    sampling = {"do_sample": False} if greedy or not SAMPLED else {"do_sample": True, **SAMPLED}

    failed = []

    def answer():
        try:
            with torch.inference_mode():
                model.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    eos_token_id=STOPS,
                    pad_token_id=tokenizer.pad_token_id,
                    streamer=streamer,
                    **ANSWER,
                    **sampling,
                )
        except Exception as error:
            failed.append(error)
            streamer.end()  # nobody waits for more

    thread = Thread(target=answer)
    thread.start()
    yield from streamer
    thread.join()
    if failed:
        raise failed[0]
'''


def _main(prompt: PromptFormat) -> str:
    asked = [
        f'    parser.add_argument("asked", nargs={len(prompt.columns)}, metavar={literal(prompt.columns)})'
        if len(prompt.columns) > 1
        else '    parser.add_argument("asked", nargs=1, help="what to ask")'
    ]
    return "\n".join(
        [
            "def main():",
            "    parser = argparse.ArgumentParser()",
            *asked,
            '    parser.add_argument("--base", help="the folder of the base, or another id of it")',
            '    parser.add_argument("--16bit", dest="sixteen_bit", action="store_true", help="base in 16 bit")',
            '    parser.add_argument("--greedy", action="store_true", help="always take the likeliest token")',
            '    parser.add_argument("--seed", type=int, default=0)',
            "    chosen = parser.parse_args()",
            "    torch.manual_seed(chosen.seed)",
            "    tokenizer = AutoTokenizer.from_pretrained(ADAPTER)",
            "    model = load(chosen.base, chosen.sixteen_bit)",
            "    for piece in stream(model, tokenizer, prompt_of(tokenizer, chosen.asked), chosen.greedy):",
            '        print(piece, end="", flush=True)',
            "    print()",
            "",
            "",
            'if __name__ == "__main__":',
            "    main()",
        ]
    )


def usage(context: ExportContext, kind: str) -> str:
    """Return the usage of an adapter or a merged model for its model card, as Markdown."""
    asked = " ".join(map(code_snippets.quote_argument, context.prompt.columns)) or '"How are you?"'
    commands = ["pip install -r requirements.txt", f"python {NAME} {asked}"]
    if kind == "adapter":
        return comparison_card.fenced_block("\n".join(commands), "sh")
    return comparison_card.fenced_block(_merged_usage(context), "python")


def _merged_usage(context: ExportContext) -> str:
    prompt = context.prompt
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer",
        "",
        'FOLDER = "."  # or its id on the Hub',
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)",
        'model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype="auto", device_map="auto")',
    ]
    if prompt.kind == "chat":
        system = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
        messages = [*system, {"role": "user", "content": "How are you?"}]
        lines.append(f"messages = {literal(messages)}")
        lines.append("prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)")
    else:
        lines.append(f"prompt = {literal(prompt.before)}.format({', '.join(map(literal, prompt.columns))})")
    lines += [
        'inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(model.device)',
        'inputs.pop("token_type_ids", None)',
        "model.generate(**inputs, streamer=TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True))",
    ]
    return "\n".join(lines)
