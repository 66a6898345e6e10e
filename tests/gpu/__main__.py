"""Everything on the card at hand, under ten minutes: `python -m tests.gpu`; without a card, a rehearsal in small.

Each preset's shape with random weights goes through check, two measured steps, 20 steps with a pause and a resume, a
comparison, an export and its verification: in nf4, int8, bf16 and fp16, with flash attention where it is installed, and
over two cards where there are two. Prints tables in Markdown: forecast and measured memory, losses and tokens a second
with those of plain TRL, and the ways to compute that the studio chooses between.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from studio.model import hardware

hardware.prepare_process()

COLUMNS = (
    "preset", "layers", "weights", "attention", "cards", "result", "placement", "rows", "forecast GB", "measured GB",
    "step s", "loss", "tokens/s", "TRL tokens/s", "loss − TRL", "base untouched", "verified",
)  # fmt: skip
NEAR, NEAR_ON_CPU = 0.05, 0.005
"""Largest difference of a loss from plain TRL's, in 16 bits; small shapes on a processor are within 0.0004."""
WEIGHTS = {
    "nf4": {"model.quantization": "nf4"},
    "int8": {"model.quantization": "int8"},
    "bf16": {"model.precision": "bfloat16"},
    "fp16": {"model.precision": "float16"},
}


def main() -> int:
    """Carry it out; 1 when a line did not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small shapes, also on a card")
    parser.add_argument("--presets", nargs="*", help="only these")
    parser.add_argument("--weights", nargs="*", choices=WEIGHTS, default=list(WEIGHTS), help="only these")
    parser.add_argument("--seconds", type=float, default=570, help="begin nothing after so many (default: 570)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="restyle-gpu-") as folder:
        os.environ.update(RESTYLE_HOME=f"{folder}/home", RESTYLE_CACHE=f"{folder}/cache", HF_HUB_OFFLINE="1")
        lines, timings = carry_out(options, Path(folder))
        from studio import gpu

        gpu.shutdown()
    print(f"{hardware.device_name()}\n\n{table(COLUMNS, lines)}\n\n{table(('what', 'ms'), timings)}")
    failed = any(line["result"] not in ("ok", "left out") for line in lines)
    return int(failed or any(line["ms"] is None for line in timings))


def carry_out(options: Any, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines of both tables."""
    from tests.gpu import models

    began, tiny = time.monotonic(), options.tiny or hardware.device() != "cuda"
    data = make_rows(folder / "rows.jsonl")
    lines: list[dict[str, Any]] = []
    timings: list[dict[str, Any]] = []
    for preset in options.presets or models.SHAPES:
        model, layers = models.make(preset, folder, tiny=tiny)
        for weights in options.weights:
            for attention in attentions(weights):
                line = {"preset": preset, "layers": layers, "weights": weights, "attention": attention, "cards": 1}
                if time.monotonic() - began > options.seconds:
                    lines.append(line | {"result": "left out"})
                    continue
                lines.append(line | guarded(preset, model, data, weights, attention, folder))
                print(
                    f"{time.monotonic() - began:.0f} s", lines[-1]["preset"], weights, lines[-1]["result"], flush=True
                )
        if time.monotonic() - began < options.seconds:
            timings += time_ways(preset, model, data, tiny)
        if cards() > 1 and time.monotonic() - began < options.seconds:
            with spread():
                line = {"preset": preset, "layers": layers, "weights": "bf16", "attention": "auto", "cards": cards()}
                lines.append(line | guarded(preset, model, data, "bf16", "auto", folder))
    return lines, timings


def cards() -> int:
    """Return how many cards there are."""
    import torch

    return torch.cuda.device_count() if hardware.device() == "cuda" else 0


def spread() -> Any:
    """Let one card be too small for any weights, so that the layers are spread."""
    from unittest.mock import patch

    from studio import gpu

    gpu.shutdown()
    return patch.object(hardware, "TRAINING_MEMORY_FACTOR", 1e6)


def attentions(weights: str) -> list[str]:
    """Return the attention settings to try: flash attention where it is installed, for the 16-bit weights."""
    flash = importlib.util.find_spec("flash_attn") is not None and hardware.device() == "cuda"
    return ["auto", *(["flash_attention_2"] if flash and weights in ("nf4", "bf16") else [])]


def make_rows(path: Path) -> Path:
    """Write rows whose answers differ in length."""
    rows = [{"instruction": f"What is {n}?", "output": f"Aye, {n} it be. " * (1 + n % 9)} for n in range(64)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def configured(model: Path, data: Path, weights: str, attention: str) -> Any:
    """Return the settings of a run of 20 steps."""
    from tests.gpu.stages import STEPS
    from tests.tiny import make_config

    settings = {
        "train.max_steps": STEPS,
        "train.learning_rate": 1e-3,
        "train.batch_size": 4,
        "train.logging_steps": 1,
        "train.length_grouping": False,  # rows in the order that plain TRL takes them in
        "samples.mode": "off",
        "model.precision": "auto",
        "model.attention": attention,
        "data.max_length": 512,
    }
    return make_config(model, data).with_settings(settings | WEIGHTS[weights])


def guarded(preset: str, model: Path, data: Path, weights: str, attention: str, folder: Path) -> dict[str, Any]:
    """Return a line; what failed is in it."""
    from tests.gpu import stages

    config = configured(model, data, weights, attention)
    try:
        line = stages.carry_out(config)
        run = line.pop("run", None)
        losses = line.pop("losses", [])
        if run is not None:
            from studio import gpu

            gpu.shutdown()  # frees the device for TRL
            plain = stages.plain_trl(config, run, folder, 6)
            line["TRL tokens/s"] = plain["tokens/s"]
            line["loss − TRL"] = max(abs(a - b) for a, b in zip(losses, plain["losses"], strict=False))
            wrong = {
                "the losses are not TRL's": line["loss − TRL"] > (NEAR_ON_CPU if hardware.device() == "cpu" else NEAR),
                "the base was changed": not line["base untouched"],
                "the export is not verified": not line["verified"],
            }
            line["result"] = "; ".join(words for words, so in wrong.items() if so) or "ok"
        return line
    except Exception as error:
        traceback.print_exc()
        return {"result": f"{type(error).__name__}: {str(error)[:120]}"}


def time_ways(preset: str, model: Path, data: Path, tiny: bool) -> list[dict[str, Any]]:
    """Time the ways to compute for a preset's shape; a way that fails is a line that says so."""
    import torch

    from studio.data.prepare import prepare
    from studio.model import load
    from tests.gpu import kernels

    config = configured(model, data, "bf16", attentions("bf16")[-1])
    located = load.locate(config.model)
    text = located.settings
    place, dtype = hardware.device(), torch.bfloat16
    tokens = 64 if tiny else 2048
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    size = text.get("head_dim") or hidden // heads
    rows = prepare(config, load.load_tokenizer(config.model), lambda share=None: None).train
    lengths = [tokens // 8, tokens // 4, tokens // 16, tokens // 2]
    lines: list[dict[str, Any]] = []
    for work in (
        lambda: kernels.heads(place, dtype, tokens, hidden, text["vocab_size"]),
        lambda: kernels.products(place, dtype, tokens, hidden),
        lambda: kernels.attention(place, dtype, lengths, heads, text["num_key_value_heads"], size),
        lambda: kernels.steps(config, located, rows),
    ):
        try:
            lines += [{"what": f"{preset}: {name}", "ms": 1000 * took} for name, took in work().items()]
        except Exception as error:
            traceback.print_exc()
            lines.append({"what": f"{preset}: {type(error).__name__}: {str(error)[:120]}", "ms": None})
    return lines


def table(columns: tuple[str, ...], lines: list[dict[str, Any]]) -> str:
    """Return lines as a table in Markdown."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.3g}"
        return "–" if value is None else str(value).replace("|", "/").replace("\n", " ")

    rows = ["| " + " | ".join(cell(line.get(name)) for name in columns) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns), *rows])


if __name__ == "__main__":
    sys.exit(main())
