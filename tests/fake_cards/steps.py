"""Runs on cards that are not there, one after the other; prints what came of each as a line of JSON.

`python -m tests.fake_cards.steps` takes a JSON list of cases as its only argument.
"""

import gc
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests import fake_cards

CARDS = fake_cards.start([10**9])

import transformers  # noqa: E402

from studio.files import write_json_lines  # noqa: E402
from tests.fake_cards.cards import prepare_transformers  # noqa: E402
from tests.tiny import make_config, make_tokenizer  # noqa: E402

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


def set_memory(case: dict[str, Any], model: Path) -> None:
    """Give the cards the memory that a case names, as multiples of the weights; by default as many hold them."""
    from studio.model.estimate import parameters

    weights = parameters(model) * (2 if case["precision"] != "float32" else 4)
    default = [10**4] if case["cards"] == 1 else [1.1] * 2  # one of two cannot hold the weights and train
    multiples = case.get("memory", default)
    CARDS.memory[:] = [int(each * weights) for each in multiples]
    CARDS.cached[:] = [int(case.get("cached", 0) * each) for each in CARDS.memory]


def answers(host: Any, run: Any, config: Any, request: Any) -> dict[str, Any]:
    """Answer with the base and the adapter that trains, on the way of a visit to a training."""
    from studio.compare.column_loading import load_columns
    from studio.compare.proof import prove
    from studio.generation import generate
    from studio.generation.generate import PromptBatchItem
    from studio.model.adapter import preserve_state

    with preserve_state(host.peft), load_columns(host, run, config, request.columns, run) as models:
        prompts = [PromptBatchItem(((5, 6, 7),) * 2, "a"), PromptBatchItem(((5, 6),) * 2, "b")]
        answered = generate.answer(models, prompts, request.generation, threading.Event())
        proof = prove(request, models, prompts, answered.first_logits)
    return {
        "mixes": models.mixes,
        "notes": [note.text() for note in models.notes],
        "answers": [[len(side.ids) for side in sides] for sides in answered.answers],
        "base_is_untouched": proof.base_is_untouched,
    }


def carry_out(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Plan, place, train a step, evaluate, compare in a mixed batch; return where things were and of which type."""
    from studio import runs
    from studio.compare.columns import CompareRequest
    from studio.data.prepare import prepare
    from studio.model import load
    from studio.model.adapter import ModelHost
    from studio.model.hardware import free_memory_each
    from studio.train import plan
    from studio.train.best_adapter import BestAdapter
    from studio.train.trainer import build_trainer

    model = folder / case["family"]
    if not model.exists():
        make_model(model, case["family"])
    set_memory(case, model)
    settings = {
        "model.precision": case["precision"],
        "model.attention": case["attention"],
        "train.max_steps": 1,
        "train.batch_split": "off",
        "train.batch_size": 2,
        "train.gradient_accumulation": 1,
        "train.gradient_checkpointing": case.get("checkpointing", "off"),
        "data.validation": {"kind": "fraction", "fraction": 0.34},
        "train.save": "no",
        "samples.mode": "off",
    }
    config = make_config(model, folder / "rows.jsonl").with_settings(settings)
    located, host = load.locate(config.model), ModelHost()
    prepared = prepare(config, load.load_tokenizer(config.model), lambda share=None: None)
    planned = plan.make(
        config, located, rows=len(prepared.train), longest=prepared.longest, free=free_memory_each(host.base_bytes)
    )
    with CARDS, runs.scratch(config) as run:
        loaded = host.base(config.model, located)
        best = BestAdapter(run)
        rows = prepared.train, prepared.validation
        CARDS.reset_peak()
        trainer = build_trainer(run, config, planned, host, *rows, lambda: None, best, resumed=False)
        trainer.train()
        peak = dict(CARDS.peak)
        metrics = trainer.evaluate()
        answered = {}
        if case["compare"]:
            answering = config.generation.model_copy(update={"max_new_tokens": 2, "temperature": 0.7})
            answered = answers(host, run, config, CompareRequest(run.id, ("What is 3?", "hi"), answering))
        trained = [part for part in host.peft.parameters() if part.requires_grad]
        base = [part for name, part in host.peft.named_parameters() if ".lora_" not in name]
        return {
            "placement": loaded.placement.value,
            "cards_used": sorted({str(part.device) for part in host.peft.parameters()}),
            "trained_types": sorted({str(part.dtype) for part in trained}),
            "gradient_places": all(part.grad is None or part.grad.device == part.device for part in trained),
            "moments": sorted({str(s["exp_avg"].dtype) for s in trainer.optimizer.state.values() if "exp_avg" in s}),
            "base_types": sorted({str(part.dtype) for part in base}),
            "rows": "packed" if trainer.packed else "padded",
            "scored": trainer.scored,
            "scales": trainer.accelerator.scaler is not None,
            "eval_loss": metrics["eval_loss"],
            **answered,
            "forecast": vars(planned.memory),
            "fits": planned.fits,
            "plan_free": planned.free,
            "bytes": {
                "weights": size(base),
                "adapter": 3 * size(trained),  # with the gradients, and the copy of the last good ones
                "optimizer": sum(size(state.values()) for state in trainer.optimizer.state.values()),
                "peak": peak,
            },
        }


def size(tensors: Iterable[Any]) -> int:
    """Return the bytes of tensors on cards."""
    return sum(part.numel() * part.element_size() for part in tensors if getattr(part, "is_cuda", False))


def make_rows(path: Path) -> None:
    """Write rows of one length, nearly all of it the answer, so that each step is the one that is forecast."""
    rows = [{"instruction": "Hm?", "output": f"{n:03} " + "Aye! " * 40} for n in range(6)]
    write_json_lines(path, rows)


def main() -> None:
    """Carry out the cases."""
    from studio.model import libraries, memory

    cases = json.loads(sys.argv[1])
    prepare_transformers()
    memory.LIBRARY_BYTES["cuda"] = 0.0  # there are no libraries on these cards
    folder = Path(tempfile.mkdtemp(prefix="fake-cards-"))
    os.environ.update(RESTYLE_HOME=str(folder / "home"), RESTYLE_CACHE=str(folder / "cache"), HF_HUB_OFFLINE="1")
    make_rows(folder / "rows.jsonl")
    libraries.require()  # now, so that no case's own objects are among those that garbage collections leave out
    for case in cases:
        began = time.monotonic()
        try:
            made = carry_out(case, folder)
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/torch/" not in frame.filename]
            trace = "".join(traceback.format_list(frames[-12:]))
            made = {"error": f"{type(error).__name__}: {str(error)[:300]}", "trace": trace}
        gc.collect()
        made["left"] = CARDS.allocated.total()
        print(json.dumps({"case": case, **made, "seconds": round(time.monotonic() - began, 2)}), flush=True)


if __name__ == "__main__":
    main()
