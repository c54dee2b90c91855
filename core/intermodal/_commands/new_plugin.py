"""``intermodal new-plugin``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intermodal._commands.options import complain


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the backend, as in open_map(NAME).")],
    into: Annotated[Path, typer.Option(help="The folder in which the plugin's own is made.")] = Path(),
) -> None:
    """Write the distribution of a new backend: one that works, with its tests, to be made your own."""
    from intermodal._new_plugin import write_plugin

    try:
        folder = write_plugin(name, into)
    except (ValueError, OSError) as error:
        raise typer.Exit(complain(str(error), 2)) from error
    typer.echo(f"wrote {folder}; its README.md has the commands to build and test it")
