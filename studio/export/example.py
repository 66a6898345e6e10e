"""The example that goes with an adapter: a short script that loads it with its base and streams an answer."""

from studio.export import pieces
from studio.export.pieces import literal
from studio.export.subject import Prompt, Subject
from studio.reports import comparison_card

NAME = "ask.py"


def script(subject: Subject, adapter: str = ".") -> str:
    """Return the script's text; `adapter` is the adapter's folder as seen from the script's own."""
    parts = (
        _head(subject, adapter),
        pieces.packaged(subject.base),
        _load(subject),
        _PROMPT[subject.prompt.kind],
        _STREAM,
        _main(subject.prompt),
    )
    return "\n\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _head(subject: Subject, adapter: str) -> str:
    prompt, settings = subject.prompt, subject.generation
    asked = " ".join(map(pieces.argument, prompt.columns)) or '"How are you?"'
    needs = " ".join(sorted(name.partition("==")[0] for name in pieces.requirements(subject, training=False)))
    classes = ["AutoModelForCausalLM", "AutoTokenizer", "TextIteratorStreamer"]
    classes += ["BitsAndBytesConfig"] if subject.quantization != "none" else []
    classes += ["GgufConfig"] if subject.base.origin == "package" else []
    lines = [
        f'"""Ask "{pieces.safe(subject.name)}" and see its answer as it comes.',
        "",
        f"    pip install {needs}",
        f"    python {NAME} {pieces.safe(asked)}",
        "",
        pieces.wrapped(pieces.safe(pieces.origin(subject.base))),
        f'Written by Restyle Studio for its run {subject.run.id}; nothing of the studio is needed."""',
        "",
        "import argparse",
        *sorted(pieces.imports_of_packaged(subject.base)),
        "from pathlib import Path",
        "from threading import Thread",
        "",
        "import torch",
        "from peft import PeftModel",
        f"from transformers import {', '.join(sorted(classes))}",
        "",
        f"ADAPTER = Path(__file__).parent{'' if adapter == '.' else f' / {literal(adapter)}'}",
        pieces.constants(subject.base),
        f"PRECISION = torch.{subject.precision}  # as in the training",
    ]
    if quantized := pieces.quantization(subject):
        lines.append(f"QUANTIZATION = {quantized}")
    if prompt.kind == "chat":
        lines.append(f"SYSTEM = {literal(prompt.system)}")
    else:
        lines.append(f"PROMPT = {literal(prompt.before)}")
    lines.append(f"STOPS = {list(subject.stops)}  # {literal(subject.tokenizer.convert_ids_to_tokens(subject.stops))}")
    made = {"max_new_tokens": settings.max_new_tokens, "repetition_penalty": settings.repetition_penalty}
    sampled = {"temperature": settings.temperature, "top_k": settings.top_k, "top_p": settings.top_p}
    lines.append(f"ANSWER = {literal(made)}")
    lines.append(f"SAMPLED = {literal(sampled if settings.temperature else {})}")
    return "\n".join(lines)


def _load(subject: Subject) -> str:
    quantized = subject.quantization != "none"
    how = "quantized as in the training" if quantized else "in the training's precision"
    found = "base or base_from_package()" if subject.base.origin == "package" else "base or BASE"
    lines = [
        "def load(base, sixteen_bit):",
        f'    """Return the model with its adapter: {how}, or in 16 bit."""',
        '    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"',
        '    old_card = device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)',
        "    sixteen = torch.float16 if old_card else torch.bfloat16",
        "    model = AutoModelForCausalLM.from_pretrained(",
        f"        {found},",
        "        revision=None if base else REVISION,",
        "        dtype=sixteen if sixteen_bit else PRECISION,",
        f"        attn_implementation={literal(subject.attention)},",
    ]
    if quantized:
        lines.append("        quantization_config=None if sixteen_bit else QUANTIZATION,")
    lines += ['        device_map={"": device},', "    )"]
    if quantized:
        lines += pieces.UNPACKED
    lines.append("    return PeftModel.from_pretrained(model, ADAPTER).eval()")
    return "\n".join(lines)


_PROMPT = {
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


def _main(prompt: Prompt) -> str:
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


def usage(subject: Subject, kind: str) -> str:
    """Return what a card shows of the use of an adapter or a merged model, as Markdown: commands, then code."""
    asked = " ".join(map(pieces.argument, subject.prompt.columns)) or '"How are you?"'
    commands = ["pip install -r requirements.txt", f"python {NAME} {asked}"]
    if kind == "adapter":
        return comparison_card.fenced_block("\n".join(commands), "sh")
    return comparison_card.fenced_block(merged(subject), "python")


def merged(subject: Subject, folder: str = ".") -> str:
    """Return code that asks a merged model as the run did; `folder` is where it lies, or its id on the Hub."""
    prompt = subject.prompt
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer",
        "",
        f"FOLDER = {literal(folder)}  # or its id on the Hub",
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
