"""Use an export in a process that knows nothing of the studio, and say what it says. Run as a file, not imported.

Reads one JSON request from standard input, prints one JSON object a line: what is loaded, the tokens of each asked
text, the greedy answer to each question, the likelihood of each reference. Knows torch, transformers, PEFT, llama.cpp,
and the files that exports carry.
"""

import importlib.util
import json
import os
import signal
import sys

RECORDED = {"output_scores": True, "return_dict_in_generate": True}
"""What `generate` is asked for besides the tokens."""
GREEDY = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
TEMPLATE_MEMORY, TEMPLATE_SECONDS = 512 * 1024**2, 5


def main() -> None:
    """Carry out the request."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    request = json.loads(sys.stdin.readline())
    if request["use"] != "gguf":
        limit_templates()
    uses = {"model": use_model, "example": use_example, "space": use_space, "gguf": use_gguf}
    uses[request["use"]](request)


def limit_templates() -> None:
    """End this process when a chat template needs more than its limits; it may tell this use from the run's own."""
    try:
        import resource
    except ImportError:  # Windows: whoever started this ends it when it says nothing for long
        return
    from transformers import PreTrainedTokenizerBase

    render = PreTrainedTokenizerBase.apply_chat_template
    usual = resource.getrlimit(resource.RLIMIT_AS)

    def limited(*given: object, **settings: object) -> object:
        if sys.platform == "linux":
            with open("/proc/self/statm", encoding="ascii") as file:
                held = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + TEMPLATE_MEMORY, usual[1]))
        signal.setitimer(signal.ITIMER_PROF, TEMPLATE_SECONDS)  # its signal ends the process
        try:
            return render(*given, **settings)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, usual)

    PreTrainedTokenizerBase.apply_chat_template = limited


def use_model(request: dict) -> None:
    """Load a model as transformers and PEFT do, and ask it in tokens."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(request["tokenizer"])
    for messages in request["asked"]:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        tell(kind="asked", ids=tokenizer(text, add_special_tokens=False)["input_ids"])
    model = load(request)
    tell(kind="loaded", modules=len([name for name, _ in model.named_parameters() if ".lora_A." in name]))
    with torch.inference_mode():
        for ids in request["questions"]:
            tell(kind="answer", **answer(model, ids, request))
        for ids, reference in request["references"]:
            tell(kind="reference", nll=surprise(model, ids, reference))


def use_example(request: dict) -> None:
    """Ask in words, with the functions of an exported example."""
    from transformers import AutoTokenizer

    ask = imported(request["program"])
    tokenizer = AutoTokenizer.from_pretrained(ask.ADAPTER)
    model = ask.load(request["base"], False)
    overhear(model, request)
    for asked in request["asked"]:
        for _ in ask.stream(model, tokenizer, ask.prompt_of(tokenizer, asked), True):
            pass


def use_space(request: dict) -> None:
    """Show what a Space's app has recorded, and ask its model in words; the base answers first, then the adapter."""
    os.environ |= {"LIVE": "on", "BASE": request["base"]}
    app = imported(request["program"])
    for (prompt,) in request["asked"]:
        tell(kind="recorded", answers=app.recorded(prompt))
    _, model = app.MODEL.load()
    overhear(model, request)
    for (prompt,) in request["asked"]:
        for _ in app.MODEL.answers(prompt):
            pass


def use_gguf(request: dict) -> None:
    """Let llama.cpp answer with a GGUF file, which has a tokenizer of its own."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel = request["model"], request["room"], 1
    settings.cache_prompt = settings.warmup = False
    settings.verbosity = 1  # errors alone
    server = xllamacpp.Server(settings)
    for prompt in request["asked"]:
        asked = {"prompt": prompt, "max_tokens": request["max_new_tokens"], "temperature": 0, "logprobs": 2}
        made = (server.handle_completions(asked)["choices"][0].get("logprobs") or {}).get("content", [])
        two = [token["top_logprobs"] for token in made]
        gaps = [best["logprob"] - second["logprob"] for best, second in two]
        tell(kind="answer", ids=[token["id"] for token in made], second=[second["id"] for _, second in two], gap=gaps)


def imported(path: str) -> object:
    """Return an exported file as a module."""
    found = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def overhear(model: object, request: dict) -> None:
    """Tell what a model is asked and what it answers, whoever asks it: greedily, and with so many tokens at most."""
    generate = model.generate

    def told(**asked: object) -> object:
        made = generate(**asked | GREEDY | RECORDED | {"max_new_tokens": request["max_new_tokens"]})
        ids = asked["input_ids"][0].tolist()
        tell(kind="asked", ids=ids)
        tell(kind="answer", **answered(made, len(ids)))
        return made.sequences

    tell(kind="loaded", precision=str(model.dtype).removeprefix("torch."))
    model.generate = told


def tell(**said: object) -> None:
    """Print one object."""
    print(json.dumps(said), flush=True)


def load(request: dict) -> object:
    """Load a model, with its adapter if there is one."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = getattr(torch, request["dtype"])
    settings = {"dtype": dtype, "use_safetensors": True, "attn_implementation": request["attention"]}
    if request["quantization"] == "int8":
        settings["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    elif request["quantization"] != "none":
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=request["quantization"],
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    place = "cpu" if request["unpack"] else request["device"]
    model = AutoModelForCausalLM.from_pretrained(request["model"], device_map={"": place}, **settings)
    if request["unpack"]:
        model = model.dequantize(dtype).to(request["device"])
    if request["in_float32"]:
        model = model.float()
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            part.support_avx512bf16_for_cpu = False  # else 4-bit weights are packed anew, for bfloat16
    if request["adapter"]:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, request["adapter"], use_safetensors=True)
    return model.eval()


def answer(model: object, ids: list[int], request: dict) -> dict:
    """Return the greedy answer to a question, as `answered` has it."""
    import torch

    asked = torch.tensor([ids], device=model.device)
    made = model.generate(
        input_ids=asked,
        attention_mask=torch.ones_like(asked),
        max_new_tokens=request["max_new_tokens"],
        repetition_penalty=1.0,
        eos_token_id=request["stops"],
        pad_token_id=request["pad"],
        **GREEDY,
        **RECORDED,
    )
    return answered(made, len(ids))


def answered(made: object, asked: int) -> dict:
    """Return the tokens after the `asked` ones; and at each the runner-up, and by how much it is less likely."""
    best = [scores[0].float().log_softmax(-1).topk(2) for scores in made.scores]
    return {
        "ids": made.sequences[0, asked:].tolist(),
        "second": [int(two.indices[1]) for two in best],
        "gap": [float(two.values[0] - two.values[1]) for two in best],
    }


def surprise(model: object, ids: list[int], reference: list[int]) -> float:
    """Return the negative log-likelihood of a reference after its prompt, summed over its tokens, in nats."""
    import torch

    whole = torch.tensor([[*ids, *reference]], device=model.device)
    logits = model(input_ids=whole, use_cache=False, logits_to_keep=len(reference) + 1).logits[0, :-1].float()
    wanted = whole[0, len(ids) :]
    return float(-logits.log_softmax(-1).gather(-1, wanted[:, None]).sum())


if __name__ == "__main__":
    main()
