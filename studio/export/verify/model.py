"""Check an adapter or a merged model: transformers and PEFT load it and answer the rows' questions."""

import json
from pathlib import Path

from studio.data import tokens
from studio.data.conversation import Turn
from studio.data.prepare import run_renderer
from studio.export import questions
from studio.export.questions import TEXTS, Question
from studio.export.verify import fresh_answers, of_run
from studio.export.verify.agreement import NEAR, Said, agreement
from studio.export.verify.case import Case
from studio.export.verify.result import Verification
from studio.model.adapter_files import BASE_RECORD
from studio.model.hardware import device
from studio.model.quantization import saved_quantization

Rendered = tuple[int, int] | None
"""How many prompts the export's template has rendered rightly, of how many; None without a template."""


def adapter(case: Case) -> Verification:
    """Compare the exported adapter with the run's own answers."""
    found = case.subject
    rows, where = questions.of(found, case.most)
    [wanted] = of_run.said(case, rows)
    said, prompts = answered(case, rows, model=found.base.path, adapter=case.folder, dtype=found.precision)
    near = NEAR[found.precision] if found.precision != "float32" else 0.0
    return Verification("adapter", found.precision, agreement(wanted, said, rows, near), where, prompts)


def merged(case: Case) -> Verification:
    """Compare the merged model with the adapter on the same base in the same format, and with a quantized run."""
    found, dtype = case.subject, precision(case.folder)
    rows, where = questions.of(found, case.most)
    as_trained = of_run.said(case, rows) if found.quantization != "none" else None
    wanted, _ = answered(
        case, rows, model=found.base.path, adapter=found.run.adapter, dtype=dtype, quantization="none", unpack=True
    )
    said, prompts = answered(case, rows, model=case.folder, adapter=None, dtype=dtype, quantization="none")
    return Verification(
        "merged",
        dtype,
        agreement(wanted, said, rows, NEAR[dtype]),
        where,
        prompts,
        trained_as=found.quantization if as_trained else None,
        distance=agreement(as_trained[0], said, rows, 0.0) if as_trained else None,
    )


def precision(folder: Path) -> str:
    """Return the number format of an export with a merged model."""
    return json.loads((folder / BASE_RECORD).read_text(encoding="utf-8"))["precision"]


def answered(
    case: Case,
    rows: list[Question],
    *,
    model: Path,
    adapter: Path | None,
    dtype: str,
    quantization: str | None = None,
    unpack: bool = False,
) -> tuple[Said, Rendered]:
    """Let a fresh process answer; return that, and how its template renders."""
    subject = case.subject
    texts = TEXTS if subject.prompt.kind == "chat" or subject.prompt.chat_template() else ()
    system = [] if subject.prompt.system is None else [{"role": "system", "content": subject.prompt.system}]
    own = bool(saved_quantization(subject.base.settings))
    request = {
        "use": "model",
        "model": str(model),
        "adapter": adapter and str(adapter),
        "tokenizer": str(case.folder),
        "dtype": dtype,
        "device": device(),
        "attention": subject.attention,
        "quantization": "none" if own else quantization or subject.quantization,
        "unpack": unpack and own,
        "in_float32": quantization == "none" and device() != "cuda",
        "questions": [row.ids for row in rows],
        "references": [(row.ids, row.answer) for row in rows if row.answer],
        "asked": [[*system, {"role": "user", "content": text}] for text in texts],
        "stops": subject.stops,
        "pad": subject.tokenizer.pad_token_id,
        "max_new_tokens": case.most,
    }
    told = fresh_answers.heard(case, request, len(rows))
    if adapter and not told["loaded"][0]["modules"]:
        raise case.does_not_load("0 LoRA modules")
    render = run_renderer(subject.run, subject.tokenizer)
    wanted = [tokens.prompt_ids(render.question([Turn("user", text)]), subject.tokenizer) for text in texts]
    right = sum(one["ids"] == ids for one, ids in zip(told.get("asked", ()), wanted, strict=True))
    said = Said(fresh_answers.answers(told), tuple(one["nll"] for one in told.get("reference", ())))
    return said, (right, len(texts)) if texts else None
