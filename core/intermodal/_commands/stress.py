"""``intermodal stress``."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from intermodal._commands.options import complain, console_for_tables, split
from intermodal.bench.contenders import gil_enabled
from intermodal.errors import IntermodalError
from intermodal.testing.stressing import (
    Plan,
    RoundDone,
    StressError,
    StressReport,
    plan_stress,
    report_of,
    run_rounds,
)


def stress(
    backend: Annotated[str, typer.Option(help="Name of the backend.")],
    seconds: Annotated[float, typer.Option(help="How long; each workload has at least one turn.")] = 10.0,
    threads: Annotated[
        int | None, typer.Option(help="Number of threads.", show_default="as many as processors, 3 to 16")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every choice.", show_default="made up")] = None,
    workload: Annotated[
        str | None, typer.Option(help="Names of workloads, separated by commas; all that fit if not given.")
    ] = None,
) -> None:
    """Let threads use maps of a backend at once, and check every outcome.

    Exit status 1 if one is found that the backend promises not to give; the report says which, and how to
    do the same again. Ctrl-C ends with a report of what was done.
    """
    try:
        plan = plan_stress(
            backend,
            seconds=seconds,
            threads=threads,
            seed=seed,
            workloads=None if workload is None else split(workload),
        )
    except IntermodalError as error:
        raise typer.Exit(complain(str(error), 2)) from error
    _print_stress_heading(plan)
    began, status = time.monotonic(), 0
    done: list[RoundDone] = []
    try:
        _run_rounds(plan, done)
    except StressError as error:
        typer.echo(f"intermodal: {error}", err=True)
        status = 1
    except KeyboardInterrupt:
        typer.echo("\ninterrupted; this was done so far")
        status = 130
    _print_stress(report_of(plan, done, time.monotonic() - began), plan, status)
    raise typer.Exit(status)


def _run_rounds(plan: Plan, done: list[RoundDone]) -> None:
    with Progress(
        console=Console(stderr=True), auto_refresh=False, transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        task = progress.add_task("stress", total=plan.seconds)
        progress.refresh()
        began = time.monotonic()
        for each in run_rounds(plan):
            done.append(each)
            progress.update(
                task,
                completed=min(time.monotonic() - began, plan.seconds),
                description=f"round {each.number}: {each.workload}",
                refresh=True,
            )


def _print_stress_heading(plan: Plan) -> None:
    from intermodal import __compiled__, __version__

    build = "compiled" if __compiled__ else "pure Python"
    gil = "on" if gil_enabled() else "off"
    python = sys.version.split("[")[0].strip()
    typer.echo(f"intermodal {__version__} ({build}), Python {python}, GIL {gil}")
    typer.echo(f"backend {plan.backend}, {plan.threads} threads, {plan.seconds:g} s, seed {plan.seed}")


def _print_stress(result: StressReport, plan: Plan, status: int) -> None:
    table = Table(box=SIMPLE, pad_edge=False)
    for title in ("workload", "rounds", "what held"):
        table.add_column(title, justify="right" if title == "rounds" else "left")
    for each in plan.workloads:
        table.add_row(each.name, str(result.rounds[each.name]), escape(each.summary))
    console_for_tables().print(table)
    verdict = {0: "no violation found", 1: "a violation was found"}.get(status, "no violation so far")
    typer.echo(f"about {result.operations:,} operations in {result.seconds:.1f} s: {verdict}")
