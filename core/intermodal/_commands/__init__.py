"""What the commands do: options in, tables out. Measuring is the business of ``intermodal.bench``.

A module for each command, beside what several of them share: ``options`` and ``progress``. typer and rich are
imported nowhere else. Everything that is wrong with the options becomes one line on stderr and exit status 2,
whether typer finds it or we do.
"""

from __future__ import annotations

import platform
import sys
from typing import Annotated, Any, Final

import typer

from intermodal._commands import backends, bench, choose, explore, new_plugin, stress
from intermodal._commands.options import complain
from intermodal.bench.contenders import gil_enabled

# click's ClickException, which typer does not export: the class above BadParameter and UsageError.
_OptionError: Final[Any] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Interchangeable concurrent maps: what is installed, and which is fastest for your work.",
)

app.command("backends")(backends.show)
app.command("bench")(bench.bench)
app.command("choose")(choose.choose)
app.command("explore")(explore.explore)
app.command("stress")(stress.stress)
app.command("new-plugin")(new_plugin.new_plugin)


def run(arguments: list[str]) -> int:
    """Run the command and return its exit status."""
    try:
        status = app(arguments, prog_name="intermodal", standalone_mode=False)
    except _OptionError as error:
        return complain(error.format_message(), 2)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    return status if isinstance(status, int) else 0


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from intermodal import __compiled__, __version__
    from intermodal import backends as installed

    python = f"{platform.python_implementation()} {sys.version.split('[')[0].strip()}"
    lines = [
        f"intermodal {__version__}, {'compiled' if __compiled__ else 'pure Python'}",
        f"{python}, GIL {'on' if gil_enabled() else 'off'}",
    ]
    for spec in installed():
        broken = f", broken: {spec.error}" if spec.error else ""
        lines.append(f"backend {spec.name}: {spec.distribution} {spec.version}{broken}")
    typer.echo("\n".join(lines))
    raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  (its callback has done it)
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show versions and backends, and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
