"""``intermodal explore``."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated, Any

import typer

from intermodal._commands.options import complain, numbers, split
from intermodal.bench.workloads import BenchmarkError
from intermodal.errors import IntermodalError


def explore(
    context: typer.Context,
    backend: Annotated[str, typer.Option(help="Name of the backend.")],
    entries: Annotated[
        str, typer.Option(help="Numbers of entries that the map has at first, separated by commas.")
    ] = "0,1,14",
    calls: Annotated[
        str | None,
        typer.Option(help="Names of calls, separated by commas, such as insert,pop.", show_default="all"),
    ] = None,
    method: Annotated[str, typer.Option(help="exhaustive, random or pct.")] = "exhaustive",
    preemptions: Annotated[int, typer.Option(help="exhaustive: switches away from a thread in one run.")] = 2,
    older: Annotated[int, typer.Option(help="Reads in one run that may get an older value.")] = 0,
    runs: Annotated[
        int | None,
        typer.Option(help="The most runs of each scenario.", show_default="1000; exhaustive: no limit"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of random and pct.")] = 0,
) -> None:
    """Run every pair of calls of a backend's map in every order of their accesses to shared memory.

    It works on the pure build, and starts itself again with INTERMODAL_PURE=1 where the compiled one runs.
    Exit status 1 after the first interleaving that fails, which is printed with its schedule.
    """
    from intermodal import __compiled__

    if __compiled__:
        raise typer.Exit(_run_pure("explore", context.params))
    from intermodal import open_map
    from intermodal.testing.scenarios import pairs
    from intermodal.testing.scheduler import Exploration, InterleavingError
    from intermodal.testing.scheduler import explore as explore_scenario

    done: list[Exploration] = []
    try:
        open_map(backend)
        for count in numbers(entries, "--entries"):
            for scenario in pairs(lambda: open_map(backend), count, None if calls is None else split(calls)):
                typer.echo(f"{count} entries: {scenario.__name__}: ", nl=False)
                done.append(
                    explore_scenario(
                        scenario,
                        method=method,  # type: ignore[arg-type]  # explore() says what is wrong with it
                        preemptions=preemptions,
                        older=older,
                        runs=runs,
                        seed=seed,
                    )
                )
                typer.echo(f"{done[-1].runs} runs")
    except (IntermodalError, BenchmarkError, ValueError) as error:
        raise typer.Exit(complain(str(error), 2)) from error
    except InterleavingError as error:
        typer.echo(f"\n{error}")
        raise typer.Exit(1) from error
    rest = "" if all(each.complete for each in done) else "; not every order was tried"
    typer.echo(f"{len(done)} scenarios, {sum(each.runs for each in done)} runs, no failure{rest}")


def _run_pure(command: str, options: dict[str, Any]) -> int:
    """Run a command with these options in a process of its own, on the sources; return its exit status."""
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return subprocess.run(  # noqa: S603  (ourselves)
        [sys.executable, "-m", "intermodal", command, *arguments],
        env={**os.environ, "INTERMODAL_PURE": "1"},
        check=False,
    ).returncode
