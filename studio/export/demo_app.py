"""A demo of an adapter: the same prompt put to the base and to the adapter, side by side.

This file is copied into a Space as its app.py and is never imported. It reads demo.json beside it. Answers that were
recorded show at once, on any machine; with a GPU the visitor's own prompts are answered too. LIVE=on answers on a
processor as well (slowly), LIVE=off never loads a model; BASE names another folder or id for the base. On ZeroGPU, each
live answer borrows a GPU for SECONDS (60).
"""

import json
import os
import threading
from pathlib import Path

import gradio as gr

ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
"""Whether this Space lends a GPU to a process that is forked for each call; this process must not use one."""
if ZERO_GPU:
    import spaces  # it has to come before torch

HERE = Path(__file__).parent
DEMO = json.loads((HERE / "demo.json").read_text(encoding="utf-8"))
WORDS = DEMO["words"]
LONGEST = 2000
"""Characters of a prompt, at most."""
NOTHING = [""] * len(DEMO["sides"])


def has_device():
    """Whether prompts are answered here."""
    chosen = os.environ.get("LIVE", "auto")
    if DEMO["base"]["origin"] == "folder" and not os.environ.get("BASE"):
        return False  # nobody but its author has that base
    if chosen == "auto":
        if ZERO_GPU:
            return True
        import torch

        return torch.cuda.is_available()
    return chosen == "on"


class Model:
    """Base and adapter in one model, loaded when the first prompt comes, by the process that has the GPU."""

    def __init__(self):
        self.lock, self.loaded = threading.Lock(), None

    def fetch(self):
        """Download the base, so that no borrowed time goes by with it."""
        os.environ["BASE"] = str(self.base())

    def load(self):
        """Return tokenizer and model."""
        with self.lock:
            if self.loaded is None:
                import torch
                from peft import PeftModel
                from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

                device = "cuda" if torch.cuda.is_available() else "cpu"
                old_card = device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
                dtype = torch.float32 if device == "cpu" else torch.float16 if old_card else torch.bfloat16
                settings = {"dtype": dtype, "device_map": {"": device}, "attn_implementation": DEMO["attention"]}
                if DEMO["quantization"] == "int8":
                    settings["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
                elif DEMO["quantization"] != "none":
                    settings["quantization_config"] = BitsAndBytesConfig(
                        load_in_4bit=True,
                        bnb_4bit_quant_type=DEMO["quantization"],
                        bnb_4bit_use_double_quant=True,
                        bnb_4bit_compute_dtype=dtype,
                    )
                base = AutoModelForCausalLM.from_pretrained(self.base(), use_safetensors=True, **settings)
                model = PeftModel.from_pretrained(base, HERE / "adapter", use_safetensors=True).eval()
                self.loaded = AutoTokenizer.from_pretrained(HERE / "adapter"), model
        return self.loaded

    def base(self):
        """Return the base's folder."""
        if named := os.environ.get("BASE"):
            return named
        if DEMO["base"]["origin"] == "package":
            from base import base_from_package

            return base_from_package()
        from huggingface_hub import snapshot_download

        patterns = ["*.safetensors", "*.json"]
        return snapshot_download(DEMO["base"]["id"], revision=DEMO["base"]["revision"], allow_patterns=patterns)

    def answers(self, prompt):
        """Yield the answers of all sides as they grow, one side after the other, from the same random numbers."""
        import torch
        from transformers import TextIteratorStreamer

        tokenizer, model = self.load()
        system = [] if DEMO["system"] is None else [{"role": "system", "content": DEMO["system"]}]
        messages = [*system, {"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(model.device)
        texts = list(NOTHING)
        for side in range(len(texts)):
            streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
            failed = []

            def work(side=side, streamer=streamer, failed=failed):
                try:
                    torch.manual_seed(DEMO["seed"])
                    settings = {"eos_token_id": DEMO["stops"], "pad_token_id": tokenizer.pad_token_id}
                    settings |= DEMO["generation"]
                    with torch.inference_mode():
                        if side:
                            model.generate(**inputs, streamer=streamer, **settings)
                        else:
                            with model.disable_adapter():
                                model.generate(**inputs, streamer=streamer, **settings)
                except Exception as error:
                    failed.append(error)
                    streamer.end()

            thread = threading.Thread(target=work)
            thread.start()
            for piece in streamer:
                texts[side] += piece
                yield list(texts)
            thread.join()
            if failed:
                raise failed[0]


MODEL = Model()


def answer(prompt):
    """Yield the answers to a prompt as they grow."""
    yield from MODEL.answers(prompt)


if ZERO_GPU:
    answer = spaces.GPU(duration=int(os.environ.get("SECONDS", "60")))(answer)


def recorded(prompt):
    """Return the recorded answers to a prompt; None without any."""
    return next((one["answers"] for one in DEMO["recorded"] if one["prompt"] == prompt), None)


def show(chosen):
    """Return a pinned prompt, its recorded answers, and that they are recorded."""
    return chosen, *(recorded(chosen) or NOTHING), WORDS["recorded"]


def compare(prompt, live):
    """Yield the answers to a prompt as they come, and where they are from."""
    prompt = prompt.strip()
    if not prompt:
        raise gr.Error(WORDS["empty"], print_exception=False)
    if len(prompt) > LONGEST:
        raise gr.Error(WORDS["too_long"], print_exception=False)
    known = recorded(prompt)
    if known and not (live and LIVE):
        yield *known, WORDS["recorded"]
    elif not LIVE:
        raise gr.Error(WORDS["no_device"], print_exception=False)
    else:
        for texts in answer(prompt):
            yield *texts, WORDS["answering"]
        yield *texts, WORDS["live"]


def page():
    """Build the page."""
    first = DEMO["recorded"][0]
    with gr.Blocks(title=DEMO["title"], analytics_enabled=False) as demo:
        gr.Markdown(f"# {DEMO['heading']}\n\n{DEMO['about']}\n\n{WORDS['with_device' if LIVE else 'without_device']}")
        choices = [one["prompt"] for one in DEMO["recorded"]]
        pinned = gr.Radio(choices, value=first["prompt"], label=WORDS["pinned"])
        prompt = gr.Textbox(label=WORDS["prompt"], value=first["prompt"], visible=LIVE, max_length=LONGEST)
        live = gr.Checkbox(label=WORDS["afresh"], value=False, visible=LIVE)
        ask = gr.Button(WORDS["ask"], variant="primary", visible=LIVE)
        with gr.Row():
            sides = [
                gr.Textbox(value=answer, label=name, lines=8, interactive=False, buttons=["copy"])
                for name, answer in zip(DEMO["sides"], first["answers"], strict=True)
            ]
        state = gr.Markdown(WORDS["recorded"])
        outputs = [*sides, state]
        pinned.change(show, pinned, [prompt, *outputs], api_name="recorded")
        settings = {"concurrency_limit": 1, "api_name": "compare"}
        gr.on([ask.click, prompt.submit], compare, [prompt, live], outputs, **settings)
    return demo.queue(max_size=16)


if __name__ == "__main__":
    LIVE = has_device()
    if LIVE and ZERO_GPU:
        MODEL.fetch()
    page().launch(max_file_size="1kb")
