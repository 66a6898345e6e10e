"""Verify an export of any kind: an isolated process uses it, and its answers are compared with the run's."""

import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.compare.columns import BASE
from studio.data import tokens
from studio.data.conversation import Turn
from studio.data.prepare import run_renderer
from studio.data.prompt import adds_bos
from studio.errors import ExportError
from studio.export import adapter, code_snippets, gguf_file, merge, script, space
from studio.export.export_context import ExportContext
from studio.export.request import Kind, OnProgress
from studio.export.verify import reference_answers
from studio.export.verify.reference_answers import TEMPLATE_TEXTS, run_answers
from studio.export.verify.verification import (
    LOGPROB_TOLERANCE,
    Answer,
    EvalPrompt,
    ModelAnswers,
    Verification,
    compare_answers,
    compare_losses,
)
from studio.model.adapter import ModelHost
from studio.model.adapter_files import BASE_RECORD
from studio.model.hardware import device
from studio.model.quantization import saved_quantization
from studio.model.subprocess_worker import checked_lines

MAX_NEW_TOKENS = 48
SCRIPT_STEPS = 3
_EXTRA_CONTEXT = 64  # tokens of context for what llama.cpp's tokenizer may add
_LOSS_LINE = re.compile(r"step (\d+) loss (\S+) run \S+")

Events = dict[str, list[dict[str, Any]]]
"""What the isolated process has printed, by kind: see `isolated_process.py`."""


@dataclass(frozen=True)
class VerificationCase:
    """An export to verify."""

    context: ExportContext
    folder: Path
    host: ModelHost
    on_progress: Callable[[float | None], None]

    @property
    def max_new_tokens(self) -> int:
        """The longest answer that is compared."""
        return min(MAX_NEW_TOKENS, self.context.config.generation.max_new_tokens)

    def load_error(self, detail: str) -> ExportError:
        """Return the error for an export that cannot be used."""
        return ExportError("export.does_not_load", folder=str(self.folder), detail=detail[:300])

    def run_isolated(self, request: dict[str, Any], count: int) -> Events:
        """Run `isolated_process.py`; raises ExportError unless it gives `count` answers."""
        program = Path(__file__).with_name("isolated_process.py")
        events: Events = {"answer": []}
        command = [sys.executable, "-B", "-P", str(program)]
        request |= {"max_new_tokens": self.max_new_tokens}
        with contextlib.closing(checked_lines(command, self.load_error, json.dumps(request))) as lines:
            for line in lines:
                self.on_progress(len(events["answer"]) / count if events["answer"] else None)
                if line and line.startswith('{"kind"'):
                    event = json.loads(line)
                    events.setdefault(event.pop("kind"), []).append(event)
        if len(events["answer"]) != count:
            raise self.load_error(f"{len(events['answer'])} / {count}")
        return events


def verify(context: ExportContext, folder: Path, host: ModelHost, on_progress: OnProgress) -> Verification:
    """Verify the export in `folder`; releases the models of the host; raises ExportError."""
    context = replace(context, strength=_metadata(folder).get("strength", 1.0))
    case = VerificationCase(context, folder, host, lambda share: on_progress("verifying", share))
    return _CHECKS[_metadata(folder)["export"]](case)


def check_adapter(case: VerificationCase) -> Verification:
    """Compare the exported adapter with the run's own answers."""
    context, dtype = case.context, case.context.precision
    prompts, source = reference_answers.prompts_with_references(context, case.max_new_tokens)
    [expected] = run_answers(case, prompts)
    answers, rendered = _model_answers(case, prompts, model=context.base.path, adapter=case.folder, dtype=dtype)
    tolerance = LOGPROB_TOLERANCE[dtype] if dtype != "float32" else 0.0
    return Verification("adapter", dtype, compare_answers(expected, answers, prompts, tolerance), source, rendered)


def check_merged(case: VerificationCase) -> Verification:
    """Compare the merged model with the adapter on the same base in the same dtype, and with a quantized run."""
    context, dtype = case.context, _metadata(case.folder)["precision"]
    prompts, source = reference_answers.prompts_with_references(context, case.max_new_tokens)
    as_trained = run_answers(case, prompts) if context.quantization != "none" else None
    with tempfile.TemporaryDirectory() as folder:
        adapter.write_weights(Path(folder), context)
        models = {"model": context.base.path, "adapter": Path(folder)}
        expected, _ = _model_answers(case, prompts, **models, dtype=dtype, quantization="none", dequantize=True)
    answers, rendered = _model_answers(case, prompts, model=case.folder, dtype=dtype, quantization="none")
    return Verification(
        "merged",
        dtype,
        compare_answers(expected, answers, prompts, LOGPROB_TOLERANCE[dtype]),
        source,
        rendered,
        trained_as=context.quantization if as_trained else None,
        distance=compare_answers(as_trained[0], answers, prompts, 0.0) if as_trained else None,
    )


def _metadata(folder: Path) -> dict[str, Any]:
    return json.loads((folder / BASE_RECORD).read_text(encoding="utf-8"))


def _model_answers(
    case: VerificationCase,
    prompts: list[EvalPrompt],
    *,
    model: Path,
    dtype: str,
    adapter: Path | None = None,
    quantization: str | None = None,
    dequantize: bool = False,
) -> tuple[ModelAnswers, tuple[int, int] | None]:
    """Return a model's answers, and how many prompts its template renders as the run does, of how many."""
    context = case.context
    texts = TEMPLATE_TEXTS if context.prompt.kind == "chat" or context.prompt.chat_template() else ()
    system = [] if context.prompt.system is None else [{"role": "system", "content": context.prompt.system}]
    quantized_base = bool(saved_quantization(context.base.settings))
    request = {
        "use": "model",
        "model": str(model),
        "adapter": adapter and str(adapter),
        "tokenizer": str(case.folder),
        "dtype": dtype,
        "device": device(),
        "attention": context.choices["attention"],
        "quantization": "none" if quantized_base else quantization or context.quantization,
        "dequantize": dequantize and quantized_base,
        "in_float32": quantization == "none" and device() != "cuda",
        "prompts": [prompt.ids for prompt in prompts],
        "references": [(prompt.ids, prompt.reference) for prompt in prompts if prompt.reference],
        "chats": [[*system, {"role": "user", "content": text}] for text in texts],
        "stop_ids": context.stop_ids,
        "pad_id": context.tokenizer.pad_token_id,
    }
    events = case.run_isolated(request, len(prompts))
    if adapter and not events["loaded"][0]["modules"]:
        raise case.load_error("0 LoRA modules")
    renderer = run_renderer(context.run, context.tokenizer)
    expected = [tokens.prompt_ids(renderer.question([Turn("user", text)]), context.tokenizer) for text in texts]
    equal = sum(one["ids"] == ids for one, ids in zip(events.get("prompt", ()), expected, strict=True))
    answers = ModelAnswers(_answers(events), _nll(events))
    return answers, (equal, len(texts)) if texts else None


def _answers(events: Events) -> tuple[Answer, ...]:
    return tuple(Answer(*(tuple(one[name]) for name in ("ids", "second", "gap"))) for one in events["answer"])


def _nll(events: Events) -> tuple[float, ...]:
    return tuple(one["nll"] for one in events.get("reference", ()))


def check_gguf(case: VerificationCase) -> Verification:
    """Compare llama.cpp with the merged model, which is written to a temporary folder: answers, and perplexity."""
    context, metadata = case.context, _metadata(case.folder)
    dtype = metadata.get("merged", metadata["precision"])
    tokenizer = context.tokenizer
    bos = tokenizer.bos_token if adds_bos(tokenizer) else ""  # which llama.cpp adds
    rows, source = reference_answers.prompts_with_references(context, case.max_new_tokens)
    prompts = []
    for prompt in rows:
        text = tokenizer.decode(prompt.ids, clean_up_tokenization_spaces=False)
        if tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) == prompt.ids:
            prompts.append(replace(prompt, texts=(text.removeprefix(bos),)))
    if not prompts:
        raise ExportError("export.no_questions", run=context.run.id)
    case.host.release()
    merge.require_room(case.folder, merge.size(context, dtype))
    with tempfile.TemporaryDirectory(prefix=".merged-", dir=case.folder.parent) as name:
        merged = replace(case, folder=Path(name))
        merge.fill(merged.folder, context, dtype, lambda phase, share: case.on_progress(None))
        expected, _ = _model_answers(merged, prompts, model=merged.folder, dtype=dtype, quantization="none")
    request = {
        "use": "gguf",
        "model": str(case.folder / gguf_file.NAME),
        "stop_ids": context.stop_ids,
        "prompts": [prompt.texts[0] for prompt in prompts],
        "references": [prompt.reference for prompt in prompts],
        "context_length": _EXTRA_CONTEXT
        + max(len(prompt.ids) + max(case.max_new_tokens, len(prompt.reference)) for prompt in prompts),
    }
    events = case.run_isolated(request, len(prompts))
    answers = ModelAnswers(_answers(events), _nll(events))
    tokenized = sum(tuple(one["ids"]) == prompt.ids for one, prompt in zip(events["prompt"], prompts, strict=True))
    first, second = (
        replace(each, answers=tuple(without_stop_token(one, context.stop_ids) for one in each.answers))
        for each in (expected, answers)
    )
    return Verification(
        "gguf",
        metadata["precision"],
        compare_answers(first, second, prompts, LOGPROB_TOLERANCE[dtype]),
        source,
        tokenized=(tokenized, len(prompts)),
    )


def without_stop_token(answer: Answer, stop_ids: tuple[int, ...]) -> Answer:
    """Return an answer up to its stop token, which llama.cpp need not return."""
    end = next((at for at, token in enumerate(answer.ids) if token in stop_ids), len(answer.ids))
    return replace(answer, ids=answer.ids[:end])


def check_script(case: VerificationCase) -> Verification:
    """Compare the first losses of the script with those of the run; its output goes to a temporary folder."""
    case.host.release()
    case.on_progress(None)
    expected = dict(list(script.losses(case.context.run).items())[:SCRIPT_STEPS])
    actual: dict[int, float] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        command = [sys.executable, "-B", str(case.folder / script.NAME), "--base", str(case.context.base.path)]
        command += ["--steps", str(max(expected)), "--out", out]
        offline = {"HF_HUB_OFFLINE": "1"}
        with contextlib.closing(checked_lines(command, case.load_error, variables=offline)) as lines:
            for line in lines:
                case.on_progress(len(actual) / len(expected) if actual else None)
                if match := _LOSS_LINE.fullmatch(line or ""):
                    actual[int(match[1])] = float(match[2])
    precision = case.context.precision
    return Verification("script", precision, losses=compare_losses(expected, actual, precision))


def check_program(case: VerificationCase) -> Verification:
    """Compare the answers of an example, or of a Space's app with and without the adapter, with the run's own."""
    context, kind = case.context, _metadata(case.folder)["export"]
    columns = (BASE, context.column) if kind == "space" else (context.column,)
    recorded = json.loads((case.folder / space.DATA).read_text(encoding="utf-8"))["recorded"] if kind == "space" else []
    if kind == "space":
        prompts = reference_answers.encode_prompts(context, [one["prompt"] for one in recorded])
    elif len(context.prompt.columns) > 1:
        prompts = reference_answers.column_prompts(context)
    else:
        prompts = reference_answers.sample_prompts(context)
    prompts = reference_answers.fit_context_length(context, prompts, case.max_new_tokens)
    if not prompts:
        raise ExportError("export.no_questions", run=context.run.id)
    expected = run_answers(case, prompts, columns, context.config.generation.repetition_penalty)
    request = {
        "use": kind,
        "program": str(case.folder / (space.APP if kind == "space" else code_snippets.EXAMPLE)),
        "base": str(context.base.path),
        "prompts": [prompt.texts for prompt in prompts],
    }
    prompt_ids = [prompt.ids for prompt in prompts for _ in columns]
    events = case.run_isolated(request, len(prompt_ids))
    precision, answers = events["loaded"][0]["precision"], _answers(events)
    used = {context.precision, precision} - {"float32"}
    tolerance = max((LOGPROB_TOLERANCE[name] for name in used), default=0.0)
    agreements = [
        compare_answers(one, ModelAnswers(answers[side :: len(columns)]), prompts, tolerance)
        for side, one in enumerate(expected)
    ]
    rendered = sum(tuple(one["ids"]) == ids for one, ids in zip(events["prompt"], prompt_ids, strict=True))
    result = Verification(kind, precision, agreements[-1], prompts=(rendered, len(prompt_ids)))
    if kind == "example":
        return result
    known = {one["prompt"]: one["answers"] for one in recorded}
    equal = sum(one["answers"] == known[row.texts[0]] for one, row in zip(events["recorded"], prompts, strict=True))
    return replace(result, base=agreements[0], recorded=(equal, len(prompts)))


_CHECKS: dict[Kind, Callable[[VerificationCase], Verification]] = {
    "adapter": check_adapter,
    "merged": check_merged,
    "script": check_script,
    "example": check_program,
    "space": check_program,
    "gguf": check_gguf,
}
