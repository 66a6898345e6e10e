"""The memory forecast against the measured peak, for three sizes of model: `python -m tests.bench.memory`.

Random models are made in a temporary folder, of about 10, 135 and 360 million weights; each is trained for two steps on
its longest rows in a process of its own, as `train --measure` does.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = {
    "10 M": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 4},
    "135 M": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9},
    "360 M": {"hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 15},
}
KEY_VALUE_HEADS = {"10 M": 4, "135 M": 3, "360 M": 5}
SETTINGS = {
    "as it comes": {},
    "checkpointing on": {"train.gradient_checkpointing": "on"},
    "longer rows, fewer at a time": {"data.max_length": 512, "train.batch_size": 2},
}
ROWS, LENGTH = 16, 500


def make(folder: Path, size: str) -> None:
    """Save a random Llama and the tests' byte-level tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tiny import make_tokenizer

    torch.manual_seed(0)
    config = LlamaConfig(
        **SIZES[size], num_key_value_heads=KEY_VALUE_HEADS[size], vocab_size=49152, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=1, pad_token_id=2, max_position_embeddings=2048,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


def measure(model: str, data: str, settings: str) -> None:
    """Forecast and measure one run, and print both in bytes."""
    from studio.config import RunConfig
    from studio.model.hardware import prepare_process

    prepare_process()
    from studio import gpu
    from studio.train import preflight

    basic = {"model.id": model, "data.source": {"kind": "file", "name": data}, "data.max_length": 256}
    config = RunConfig().with_settings({**basic, "model.precision": "float32", **json.loads(settings)})
    found = preflight.check(config, gpu.thread().free_memory())
    measured = gpu.thread().measure(config).result()
    print(json.dumps([found.plan.memory.total, measured.peak_bytes]))
    gpu.shutdown()


def main() -> None:
    """Measure every size with every setting, and print a table."""
    print(f"{'model':8} {'settings':30} {'forecast':>10} {'measured':>10} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.jsonl"
        row = {"instruction": "What is it?", "output": "a" * LENGTH}
        data.write_text((json.dumps(row) + "\n") * ROWS, encoding="utf-8")
        os.environ["RESTYLE_HOME"] = str(Path(folder) / "home")
        for size in SIZES:
            make(Path(folder) / size, size)
            for name, settings in SETTINGS.items():
                command = [sys.executable, "-m", "tests.bench.memory", str(Path(folder) / size), str(data)]
                told = subprocess.run([*command, json.dumps(settings)], capture_output=True, text=True)
                forecast, peak = json.loads(told.stdout.splitlines()[-1])
                print(f"{size:8} {name:30} {forecast / 1e9:7.2f} GB {peak / 1e9:7.2f} GB {forecast / peak:6.2f}")


if __name__ == "__main__":
    measure(*sys.argv[1:]) if len(sys.argv) > 1 else main()
