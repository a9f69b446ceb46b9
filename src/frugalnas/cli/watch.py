"""The live view of studies in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frugalnas.cli.app import app, say
from frugalnas.core import InputError


@app.command(epilog="Example: frugalnas watch runs/shoes")
def watch(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of searches, or folders that hold such folders.", show_default="runs"),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one, 8050 if it is.")
    ] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page, to this computer only, that follows running or finished searches.

    It reads the files of the runs and changes nothing: start and stop it at any time. Ctrl-C ends it.
    """
    from frugalnas.watch import serve

    paths = runs or [Path("runs")]
    for path in paths:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file: expected the folder of a search, or one that holds such folders")

    def ready(url: str) -> None:
        waits = [str(path) for path in paths if not path.exists()]
        say(f"{url} (Ctrl-C ends it){f'; waiting for {chr(44).join(waits)}' if waits else ''}")
        if open_:
            typer.launch(url)

    serve(paths, port, ready)
