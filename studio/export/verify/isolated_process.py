"""Generate with an export in a process that does not import the studio. Run as a file, not imported.

Reads one JSON request from standard input and prints one JSON object per line: what is loaded, prompts, answers.
"""

import heapq
import importlib.util
import json
import math
import os
import sys
from pathlib import Path

WITH_SCORES = {"output_scores": True, "return_dict_in_generate": True}
GREEDY = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
GGML_TYPE_F32 = 0
TEMPLATE_MEMORY, TEMPLATE_SECONDS = 512 * 1024**2, 5


def main() -> None:
    """Run the request."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    request = json.loads(sys.stdin.readline())
    if request["use"] != "gguf":
        limit_templates()
    uses = {"model": use_model, "example": use_example, "space": use_space, "gguf": use_gguf}
    uses[request["use"]](request)


def limit_templates() -> None:
    """End this process when a chat template needs more than its limits; it may tell this use from the run's own."""
    from transformers import PreTrainedTokenizerBase

    render = PreTrainedTokenizerBase.apply_chat_template
    limiter = import_file(str(Path(__file__).parents[2] / "process_limits.py")).limiter

    def limited(*arguments: object, **settings: object) -> object:
        with limiter()(TEMPLATE_MEMORY, TEMPLATE_SECONDS):
            return render(*arguments, **settings)

    PreTrainedTokenizerBase.apply_chat_template = limited


def use_model(request: dict) -> None:
    """Load a model with transformers and PEFT, and generate from token ids."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(request["tokenizer"])
    for messages in request["chats"]:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        emit(kind="prompt", ids=tokenizer(text, add_special_tokens=False)["input_ids"])
    model = load(request)
    emit(kind="loaded", modules=len([name for name, _ in model.named_parameters() if ".lora_A." in name]))
    with torch.inference_mode():
        for ids in request["prompts"]:
            inputs = torch.tensor([ids], device=model.device)
            output = model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=request["max_new_tokens"],
                repetition_penalty=1.0,
                eos_token_id=request["stop_ids"],
                pad_token_id=request["pad_id"],
                **GREEDY,
                **WITH_SCORES,
            )
            emit(kind="answer", **answer_of(output, len(ids)))
        for ids, reference in request["references"]:
            emit(kind="reference", nll=negative_log_likelihood(model, ids, reference))


def use_example(request: dict) -> None:
    """Generate from text with the functions of an exported example."""
    from transformers import AutoTokenizer

    example = import_file(request["program"])
    tokenizer = AutoTokenizer.from_pretrained(example.ADAPTER)
    model = example.load(request["base"], False)
    emit_generations(model, request)
    for texts in request["prompts"]:
        for _ in example.stream(model, tokenizer, example.prompt_of(tokenizer, texts), True):
            pass


def use_space(request: dict) -> None:
    """Read a Space app's recorded answers and generate with its model: the base first, then the adapter."""
    os.environ |= {"LIVE": "on", "BASE": request["base"]}
    app = import_file(request["program"])
    for (prompt,) in request["prompts"]:
        emit(kind="recorded", answers=app.recorded(prompt))
    _, model = app.MODEL.load()
    emit_generations(model, request)
    for (prompt,) in request["prompts"]:
        for _ in app.MODEL.answers(prompt):
            pass


def use_gguf(request: dict) -> None:
    """Generate with a GGUF file and its own tokenizer in llama.cpp, on the CPU, with a KV cache in float32."""
    from cyllama.llama import llama_cpp

    class Model(llama_cpp.LlamaModel):
        @property
        def n_vocab(self) -> int:  # which cyllama 0.2 looks for here
            return self.get_vocab().n_vocab

    placed, sized = llama_cpp.LlamaModelParams(), llama_cpp.LlamaContextParams()
    placed.n_gpu_layers = 0
    sized.n_ctx = sized.n_batch = request["context_length"]
    sized.n_threads = sized.n_threads_batch = max(1, (os.cpu_count() or 1) // 2)
    sized.type_k = sized.type_v = GGML_TYPE_F32
    model = Model(request["model"], placed)
    vocabulary = model.get_vocab()
    batch = llama_cpp.LlamaBatch(n_tokens=request["context_length"], embd=0, n_seq_max=1)
    for prompt, reference in zip(request["prompts"], request["references"], strict=True):
        ids = new = vocabulary.tokenize(prompt, True, True)
        emit(kind="prompt", ids=ids)
        if len(ids) + max(request["max_new_tokens"], len(reference)) > request["context_length"]:
            sys.exit(f"llama.cpp makes {len(ids)} tokens of the prompt {prompt[:80]!r}")
        context = llama_cpp.LlamaContext(model, sized)
        answer: dict[str, list] = {"ids": [], "second": [], "gap": []}
        for place in range(request["max_new_tokens"]):
            batch.set_batch(new, len(ids) + place - 1 if place else 0, False)
            context.decode(batch)
            logits = context.get_logits_ith(-1)
            best, second = heapq.nlargest(2, range(len(logits)), key=logits.__getitem__)
            new = [best]
            for name, value in (("ids", best), ("second", second), ("gap", logits[best] - logits[second])):
                answer[name].append(value)
            if vocabulary.is_eog(best) or best in request["stop_ids"]:
                break
        emit(kind="answer", **answer)
        if reference:
            context = llama_cpp.LlamaContext(model, sized)
            batch.set_batch([*ids, *reference], 0, True)
            context.decode(batch)
            places = range(len(ids) - 1, len(ids) + len(reference) - 1)
            rows = zip(map(context.get_logits_ith, places), reference, strict=True)
            emit(kind="reference", nll=sum(log_sum_exp(logits) - logits[token] for logits, token in rows))


def log_sum_exp(logits: list[float]) -> float:
    """Return the logarithm of the sum of the exponentials."""
    largest = max(logits)
    return largest + math.log(math.fsum(math.exp(logit - largest) for logit in logits))


def import_file(path: str) -> object:
    """Import an exported file as a module."""
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def emit_generations(model: object, request: dict) -> None:
    """Make `model.generate` greedy and short, whoever calls it, and print each prompt and answer."""
    generate = model.generate

    def emitting(**settings: object) -> object:
        output = generate(**settings | GREEDY | WITH_SCORES | {"max_new_tokens": request["max_new_tokens"]})
        ids = settings["input_ids"][0].tolist()
        emit(kind="prompt", ids=ids)
        emit(kind="answer", **answer_of(output, len(ids)))
        return output.sequences

    emit(kind="loaded", precision=str(model.dtype).removeprefix("torch."))
    model.generate = emitting


def emit(**fields: object) -> None:
    """Print one object."""
    print(json.dumps(fields), flush=True)


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
    device = "cpu" if request["dequantize"] else request["device"]
    model = AutoModelForCausalLM.from_pretrained(request["model"], device_map={"": device}, **settings)
    if request["dequantize"]:
        model = model.dequantize(dtype).to(request["device"])
    if request["in_float32"]:
        model = model.float()
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            part.support_avx512bf16_for_cpu = False  # else 4-bit weights are repacked, for bfloat16
    if request["adapter"]:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, request["adapter"], use_safetensors=True)
    return model.eval()


def answer_of(output: object, prompt_length: int) -> dict:
    """Return the new token ids, and at each position the second-best token and its log-probability gap."""
    top = [scores[0].float().log_softmax(-1).topk(2) for scores in output.scores]
    return {
        "ids": output.sequences[0, prompt_length:].tolist(),
        "second": [int(two.indices[1]) for two in top],
        "gap": [float(two.values[0] - two.values[1]) for two in top],
    }


def negative_log_likelihood(model: object, ids: list[int], reference: list[int]) -> float:
    """Return the negative log-likelihood of a reference after its prompt, summed over its tokens, in nats."""
    import torch

    inputs = torch.tensor([[*ids, *reference]], device=model.device)
    logits = model(input_ids=inputs, use_cache=False, logits_to_keep=len(reference) + 1).logits[0, :-1].float()
    return float(-logits.log_softmax(-1).gather(-1, inputs[0, len(ids) :, None]).sum())


if __name__ == "__main__":
    main()
