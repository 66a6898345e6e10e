"""A run of the tiny model on enough text for the meter."""

from studio.config import GenerationConfig
from studio.files import write_json_lines

GREEDY = GenerationConfig(max_new_tokens=8, temperature=0.0)
SEA = ("the tide", "a gull", "my ship", "the mast", "old rope", "cold rain", "the moon", "a whale")
SETTINGS = {
    "data.validation": {"kind": "fraction", "fraction": 0.5},
    "data.max_length": 256,
    "train.max_steps": 2,
    "train.save": "steps",
    "train.save_steps": 1,
}


def write_rows(path, count):
    rows = [
        {
            "instruction": f"What is {n}?",
            "output": f"Aye, {n} it be, says {SEA[n % 8]}, and {SEA[n // 8 % 8]} sings to the sea all night, for it "
            f"knows the song of {n} and of {n + 1} as well as any sailor.",
        }
        for n in range(count)
    ]
    write_json_lines(path, rows)
    return {"data.source": {"kind": "file", "name": str(path)}}
