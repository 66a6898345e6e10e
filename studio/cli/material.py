"""The command `data make`: rows of chat exports and documents."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column

from studio.cli import console
from studio.cli.console import AsJson, out, print_plain, text
from studio.cli.data import Encoding, Model, app
from studio.errors import DataError

if TYPE_CHECKING:
    from studio.material.endpoint import Cost
    from studio.material.reading import Summary
    from studio.material.rewriting import Writer


@app.command(help=text("cli.make"))
def make(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help=text("cli.make_files"))],
    speaker: Annotated[str | None, typer.Option("--speaker", help=text("cli.make_speaker"))] = None,
    recipe: Annotated[list[str] | None, typer.Option("--recipe", help=text("cli.make_recipe"))] = None,
    every_way: Annotated[bool, typer.Option("--every-way", help=text("cli.make_every_way"))] = False,
    path: Annotated[Path, typer.Option("-o", "--out", help=text("cli.out"))] = Path("rows.jsonl"),
    keep: Annotated[list[str] | None, typer.Option("--keep", help=text("cli.make_keep"))] = None,
    scrub: Annotated[bool | None, typer.Option("--scrub/--no-scrub", help=text("cli.make_scrub"))] = None,
    silence: Annotated[str | None, typer.Option("--silence", help=text("cli.make_silence"))] = None,
    least: Annotated[int, typer.Option("--min-tokens", min=1, help=text("cli.make_least"))] = 16,
    most: Annotated[int, typer.Option("--max-tokens", min=16, help=text("cli.make_most"))] = 384,
    model: Model = "builtin",
    instruction: Annotated[list[str] | None, typer.Option("--instruction", help=text("cli.make_instruction"))] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help=text("cli.make_limit"))] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help=text("cli.make_endpoint"))] = None,
    endpoint_model: Annotated[
        str | None, typer.Option("--endpoint-model", help=text("cli.make_endpoint_model"))
    ] = None,
    key_from: Annotated[
        str | None, typer.Option("--key-from", metavar="VARIABLE", help=text("cli.make_key_from"))
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help=text("cli.make_yes"))] = False,
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    from studio.generation.answer_store import Stopped
    from studio.material import make as making
    from studio.material.conversations import parse_length
    from studio.material.endpoint import ConfirmationRequired
    from studio.material.privacy import KINDS
    from studio.material.reading import RECIPES, Request, needs_speaker, read

    recipes = tuple(dict.fromkeys(recipe or ()))
    if wrong := [name for name in recipes if name not in RECIPES]:
        raise DataError("material.recipe", name=wrong[0][:40], names=", ".join(RECIPES))
    if unknown := [kind for kind in keep or () if kind not in KINDS]:
        raise DataError("material.keep", name=unknown[0][:40], names=", ".join(KINDS))
    asks_model = making.asks_model(recipes)
    needs_model, needs_endpoint = instruction or limit or endpoint, endpoint_model or key_from or yes
    if (needs_model and not asks_model) or (needs_endpoint and not endpoint):
        raise DataError("endpoint.options")
    if least >= most:
        raise DataError("material.tokens", least=least, most=most)
    request = Request(
        tuple(paths),
        speaker=speaker,
        recipes=recipes,
        every_way=every_way,
        keep=frozenset(keep or ()),
        scrub=scrub,
        silence=parse_length(silence) if silence else None,
        model=model,
        least_tokens=least,
        most_tokens=most,
        encoding=encoding,
        instructions=_instructions(instruction or [], recipes),
        limit=limit,
    )
    writer = _writer(model, endpoint, endpoint_model, key_from, yes) if asks_model else None
    phase = "phase.rewriting" if asks_model else "phase.reading"
    try:
        with console.reading_progress(as_json, phase) as on_progress:
            material = read(request, lambda share: on_progress(share / 2))
            summary = material.summary
            if needs_speaker(request, material):
                path = None
            else:
                making.make(request, path, material, lambda share: on_progress((1 + share) / 2), writer)
    except ConfirmationRequired as required:
        _print_cost(required.cost, model, as_json)
        return
    except (Stopped, KeyboardInterrupt):
        console.err.print(text("material.stopped" if asks_model else "cli.cancelled"))
        raise typer.Exit(130) from None
    if as_json:
        console.print_json(_as_json(summary, path))
    elif path is None:
        speakers = summary.speakers.most_common(50)
        _print_table(("speaker", "messages"), [(name, f"{count:,}") for name, count in speakers])
        print_plain(text("material.choose_speaker", name=speakers[0][0]))
    else:
        _print_summary(summary, request.keep, path)


def _instructions(options: list[str], recipes: tuple[str, ...]) -> dict[str, str]:
    """Return the model's instructions by recipe; where two recipes use one, each text begins with its recipe."""
    from studio.material import rewriting

    asking = [name for name in recipes if name in rewriting.NAMES]
    if len(asking) == 1 and len(options) == 1:
        return {asking[0]: options[0].removeprefix(f"{asking[0]}=")}
    instructions = {}
    for each in options:
        name, _, instruction = each.partition("=")
        if name not in asking or not instruction:
            raise DataError("material.instruction", text=each[:40], names=", ".join(f"{name}=" for name in asking))
        instructions[name] = instruction
    return instructions


def _writer(model: str, endpoint: str | None, endpoint_model: str, key_from: str | None, yes: bool) -> "Writer":
    """Return what writes the prompts: the endpoint if one is named, else the model on the GPU thread."""
    from studio import gpu
    from studio.material.endpoint import UNLIMITED, Endpoint, EndpointWriter
    from studio.material.rewriting import BaseModelWriter

    if endpoint is None:
        return BaseModelWriter(model, lambda request: gpu.thread().answer_prompts(request))
    if key_from is not None and not os.environ.get(key_from):
        raise DataError("endpoint.no_key", name=key_from[:80])
    key = os.environ[key_from] if key_from else ""
    return EndpointWriter(Endpoint(endpoint, endpoint_model, key), UNLIMITED if yes else None)


def _print_cost(cost: "Cost", model: str, as_json: bool) -> None:
    if as_json:
        console.print_json({"rows": 0, "out": None, "cost": dataclasses.asdict(cost)})
        return
    tokens = {"prompt_tokens": f"{cost.prompt_tokens:,}", "completion_tokens": f"{cost.completion_tokens:,}"}
    print_plain(text("material.cost", requests=f"{cost.requests:,}", model=model, **tokens))
    print_plain(text("material.cost_yes"), "yellow")


def _as_json(summary: "Summary", path: Path | None) -> dict[str, Any]:
    same = ("rows", "recipes", "formats", "messages", "left_out", "replaced", "different", "notes")
    return {
        **{name: getattr(summary, name) for name in same},
        "out": path,
        "speakers": dict(summary.speakers.most_common()) if path is None else {},
        "examples": {kind: list(map(vars, examples)) for kind, examples in summary.examples.items()},
        "silence_seconds": summary.silence and summary.silence.seconds,
    }


def _print_summary(summary: "Summary", keep: frozenset[str], path: Path) -> None:
    print_plain(text("material.written", rows=summary.rows, path=path), "green")
    print_plain(text("material.read_as", formats=", ".join(f"{name} ({n})" for name, n in summary.formats.items())))
    if len(summary.recipes) > 1:
        counts = [(text(f"material.recipes.{name}"), f"{count:,}") for name, count in summary.recipes.items()]
        _print_table(("recipe", "rows"), counts)
    if summary.silence:
        print_plain(summary.silence.reason)
    console.print_messages(summary.notes, "yellow")
    left_out = [(text(f"material.left_out.{kind}"), f"{count:,}") for kind, count in summary.left_out.most_common()]
    _print_table(("left_out", "count"), left_out)
    replaced = []
    for kind, count in summary.replaced.most_common():
        example = next((example.text for example in summary.examples.get(kind, ())), "")
        replaced.append((text(f"material.kinds.{kind}"), f"{count:,}", f"{summary.different[kind]:,}", example))
    _print_table(("replaced", "count", "different", "example"), replaced)
    if keep:
        kinds = ", ".join(text(f"material.kinds.{kind}") for kind in sorted(keep))
        print_plain(text("material.kept", kinds=kinds))
    if summary.is_scrubbed:
        print_plain(text("material.rules_miss"))


def _print_table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows below the names of their columns, figures on the right; nothing without rows."""
    figures = ("count", "rows", "messages", "different")
    heads = (Column(text(f"material.column.{n}"), justify="right" if n in figures else "left") for n in columns)
    if rows:
        out.print(console.table(heads, rows))
