"""The command serve."""

import contextlib
import signal
from typing import Annotated

import typer

from studio.cli.console import err, out, print_messages, print_plain, text

app = typer.Typer()


@app.command(help=text("cli.serve"))
def serve(
    sources: Annotated[list[str], typer.Argument(metavar="RUN", help=text("cli.serve_runs"))],
    models: Annotated[list[str] | None, typer.Option("--model", help=text("cli.serve_model"))] = None,
    host: Annotated[str, typer.Option("--host", help=text("cli.serve_host"))] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help=text("cli.serve_port"))] = 8000,
    keys: Annotated[list[str] | None, typer.Option("--key", help=text("cli.serve_key"))] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help=text("cli.serve_max_tokens"))] = 4096,
    max_requests: Annotated[int, typer.Option("--max-requests", min=1, help=text("cli.serve_max_requests"))] = 128,
    together: Annotated[int, typer.Option("--together", min=1, help=text("cli.serve_together"))] = 32,
) -> None:
    from studio import gpu
    from studio.serve import models as served
    from studio.serve import vllm
    from studio.serve.engine import Limits
    from studio.serve.server import Server, listen_address

    catalogue = served.catalogue(sources, models or ())
    limits = Limits(max_tokens=max_tokens, requests=max_requests, rows=together)
    server = Server(catalogue, limits, gpu.thread(), listen_address(host, port, keys or ()))
    server.load()
    print_messages(server.engine.notes, "yellow", console=err)
    for name in catalogue.listed:
        model = catalogue.resolve(name)
        print_plain(name, "bold")
        if model.rewrites and not model.was_trained_to_rewrite:
            print_plain(text("cli.serve_not_rewriting", run=model.run.id), "yellow")
    with_vllm = vllm.command(catalogue)
    if with_vllm.line:
        print_plain(text("cli.serve_vllm"))
        out.print(with_vllm.line, soft_wrap=True, highlight=False, markup=False)
    print_messages(with_vllm.notes, "yellow", console=err)
    if server.address.generated:
        print_plain(text("cli.serve_made_key", key=server.address.keys[0]))
    # the last line, on which those who started it may wait
    out.print(text("cli.serve_ready", url=server.url), soft_wrap=True, highlight=False, markup=False)
    for ending in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it has ended
        signal.signal(ending, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
