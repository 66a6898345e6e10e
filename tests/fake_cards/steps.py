"""Runs on cards that are not there, one after the other; prints what came of each as a line of JSON.

`python -m tests.fake_cards.steps` takes a JSON list of cases as its only argument.
"""

import json
import os
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from tests import fake_cards

CARDS = fake_cards.start([10**9])

import torch  # noqa: E402
import transformers  # noqa: E402

from tests.fake_cards.cards import prepare_transformers  # noqa: E402
from tests.tiny import make_config, make_style, make_tokenizer  # noqa: E402

SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 1024, "bos_token_id": 0, "eos_token_id": 1,
    "pad_token_id": 2,
}  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm2": ("Llama", {"tie_word_embeddings": True}),
    "llama-untied": ("Llama", {"tie_word_embeddings": False}),
    "gemma2": ("Gemma2", {"query_pre_attn_scalar": 8, "sliding_window": 16}),
    "gemma3": ("Gemma3", {"query_pre_attn_scalar": 8, "sliding_window": 16}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2-untied": ("Qwen2", {"tie_word_embeddings": False}),
}
"""The architectures of the presets' models, small."""


def make_model(folder: Path, family: str) -> Path:
    """Save a small random model of a family, with a tokenizer of bytes."""
    kind, settings = FAMILIES[family]
    tokenizer = make_tokenizer()
    described = getattr(transformers, f"{kind}TextConfig", None) or getattr(transformers, f"{kind}Config")
    config = described(vocab_size=len(tokenizer), **SIZES, **settings)
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def carry_out(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Plan, place, train a step, evaluate, compare in a mixed batch; return where things were and of which type."""
    from studio import runs
    from studio.compare import generate
    from studio.compare.placing import BASE, Models
    from studio.data.prepare import prepare
    from studio.model import adapter, load
    from studio.model.adapter import TUNED, ModelHost
    from studio.model.estimate import parameters
    from studio.model.hardware import free_memory_each
    from studio.train import plan
    from studio.train.best_adapter import BestAdapter
    from studio.train.trainer import build_trainer

    model = folder / case["family"]
    if not model.exists():
        make_model(model, case["family"])
    held = parameters(model) * (2 if case["precision"] != "float32" else 4)
    CARDS.memory[:] = [10**9] if case["cards"] == 1 else [int(1.1 * held)] * 2  # one cannot hold it and train
    settings = {
        "model.precision": case["precision"],
        "model.attention": case["attention"],
        "model.quantization": case.get("quantization", "none"),
        "train.max_steps": 1,
        "train.batch_split": "off",
        "train.batch_size": 2,
        "train.gradient_checkpointing": case.get("checkpointing", "off"),
        "data.limit": 6,
        "data.validation": {"kind": "fraction", "fraction": 0.34},
        "train.save": case.get("save", "no"),
        "samples.mode": "off",
    }
    config = make_config(model, folder / "style.jsonl").with_settings(settings)
    located, host = load.locate(config.model), ModelHost()
    prepared = prepare(config, load.load_tokenizer(config.model), lambda share=None: None)
    free = free_memory_each(host.held)
    planned = plan.make(config, located, rows=len(prepared.train), longest=prepared.longest, free=free)
    with CARDS:
        loaded = host.base(config.model, located)
        with runs.scratch(config) as run:
            best = BestAdapter(run, False, None, lambda made: None)
            rows = prepared.train, prepared.validation
            trainer = build_trainer(run, config, planned, host, *rows, lambda: None, best, resumed=False)
            trainer.train()
            metrics = trainer.evaluate()
        host.peft.eval()
        models = Models(host.peft, loaded.tokenizer, [1], (BASE, TUNED), mixes=True)
        prompt = generate.Asked(((5, 6, 7),) * 2, "a")
        answering = config.generation.model_copy(update={"max_new_tokens": 2, "temperature": 0.7})
        with adapter.untouched(host.peft), torch.no_grad():
            answered = generate.answer(models, [prompt, prompt], answering, threading.Event())
        trained = [part for part in host.peft.parameters() if part.requires_grad]
        held = [part for name, part in host.peft.named_parameters() if ".lora_" not in name]
        return {
            "placement": loaded.placement.value,
            "cards_used": sorted({str(part.device) for part in host.peft.parameters()}),
            "trained_types": sorted({str(part.dtype) for part in trained}),
            "gradient_places": all(part.grad is None or part.grad.device == part.device for part in trained),
            "moments": sorted({str(s["exp_avg"].dtype) for s in trainer.optimizer.state.values() if "exp_avg" in s}),
            "base_types": sorted({str(part.dtype) for part in held}),
            "rows": "packed" if trainer.packed else "padded",
            "scored": trainer.scored,
            "scales": trainer.accelerator.scaler is not None,
            "eval_loss": metrics["eval_loss"],
            "answers": [[len(side.ids) for side in sides] for sides in answered.sides],
            "memory": planned.memory.total,
            "plan_free": planned.free,
        }


def main() -> None:
    """Carry out the cases."""
    cases = json.loads(sys.argv[1])
    prepare_transformers()
    folder = Path(tempfile.mkdtemp(prefix="fake-cards-"))
    os.environ.update(RESTYLE_HOME=str(folder / "home"), RESTYLE_CACHE=str(folder / "cache"), HF_HUB_OFFLINE="1")
    make_style(folder / "style.jsonl")
    for case in cases:
        began = time.monotonic()
        try:
            made = carry_out(case, folder)
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/torch/" not in frame.filename]
            trace = "".join(traceback.format_list(frames[-12:]))
            made = {"error": f"{type(error).__name__}: {str(error)[:300]}", "trace": trace}
        print(json.dumps({"case": case, **made, "seconds": round(time.monotonic() - began, 2)}), flush=True)


if __name__ == "__main__":
    main()
