"""``intermodal bench``."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from intermodal._commands.options import (
    KeysOption,
    LinesOption,
    check_made_up,
    complain,
    console_for_tables,
    listed,
    numbers,
    split,
)
from intermodal._commands.progress import gather
from intermodal.bench import contenders, report, runner, survey, workloads
from intermodal.bench.workloads import BenchmarkError

if TYPE_CHECKING:
    from rich.console import Console

_METHOD: Final = (
    "each thread looks keys up with objects of its own, equal to the stored keys but not identical; "
    "every result is checked"
)


def bench(
    backends: Annotated[
        str | None, typer.Option(help="Names of backends, separated by commas; all if not given.")
    ] = None,
    peers: Annotated[
        bool, typer.Option(help="Also dict + Lock and the peers that are installed; dict always is.")
    ] = True,
    size: Annotated[int | None, typer.Option(help="Number of keys.", show_default="10000")] = None,
    threads: Annotated[str, typer.Option(help="Numbers of threads, separated by commas.")] = "1,2",
    mix: Annotated[str, typer.Option(help=f"Operation mix: {', '.join(workloads.MIXES)}.")] = "B",
    distribution: Annotated[
        str | None,
        typer.Option(help="Which keys are wanted: uniform or zipf (exponent 0.99).", show_default="uniform"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 0.3,
    rounds: Annotated[int, typer.Option(help="Measurements of each contender, which take turns.")] = 5,
    seed: Annotated[int | None, typer.Option(help="Seed of the operations.", show_default="1")] = None,
    keys: KeysOption = None,
    lines: LinesOption = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Measure shares of writes, latencies and memory too; write a page with plots here.",
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--png", help="The same, and write the plots as images into this folder.")
    ] = None,
    writes: Annotated[
        str | None,
        typer.Option(
            help="With --report or --png: shares of writes in per cent, separated by commas.",
            show_default=listed(survey.WRITES),
        ),
    ] = None,
    entries: Annotated[
        str | None,
        typer.Option(
            help="With --report or --png: numbers of entries to measure memory with, separated by commas.",
            show_default=listed(survey.ENTRIES),
        ),
    ] = None,
) -> None:
    """Run a workload on the backends and on dict and its peers side by side, and pick one.

    Every result is checked while measuring. With --keys FILE the first sight of a key writes its entry, later
    ones read or overwrite it in the proportions of the mix (A, B or C), in the order of the file.
    """
    gil_before = contenders.gil_enabled()
    try:
        _check_outputs(json_file, page, images)
        if page is None and images is None:
            _check_not_given({"--writes": writes, "--entries": entries})
        workload = _workload(workloads.find_mix(mix), size, distribution, seed, keys, lines=lines)
        field = contenders.enter(None if backends is None else split(backends), peers=peers)
        plan = runner.Plan(field.contenders, workload, numbers(threads, "--threads"), rounds, seconds)
        wanted = survey.Survey(
            plan,
            survey.WRITES if writes is None else numbers(writes, "--writes"),
            survey.ENTRIES if entries is None else numbers(entries, "--entries"),
        )
    except BenchmarkError as error:
        raise typer.Exit(complain(str(error), 2)) from error

    console = console_for_tables()
    _print_heading(console, plan, field, gil_before=gil_before)
    try:
        if page is None and images is None:
            status, samples = gather(runner.measure(plan), plan.steps)
            result = report.Report.of(plan, field, samples, gil_before=gil_before)
        else:
            status, found = gather(survey.findings(wanted), wanted.steps, wanted.steps_of)
            result = report.Report.of_survey(wanted, field, found, gil_before=gil_before)
    except runner.SelfCheckError as error:
        raise typer.Exit(complain(str(error), 1)) from error
    _print_report(console, result)
    _write_report(result, json_file, page, images)
    raise typer.Exit(status)


def _write_report(
    result: report.Report, json_file: Path | None, page: Path | None, images: Path | None
) -> None:
    # Only now, and only if needed: an extension module of theirs might turn the GIL on.
    if json_file is not None:
        json_file.write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
    if page is not None:
        from intermodal.bench.page import page_of

        page.write_text(page_of(result), encoding="utf-8")
    if images is not None:
        from intermodal.bench.images import write_images

        write_images(result, images)


def _check_not_given(options: dict[str, str | None]) -> None:
    for option, given in options.items():
        if given is not None:
            raise BenchmarkError(f"{option} is for reports; say where with --report FILE or --png FOLDER")


def _check_outputs(json_file: Path | None, page: Path | None, images: Path | None) -> None:
    """Find out before anything is measured whether the outcome can be written."""
    _check_writable(json_file, "--json")
    _check_writable(page, "--report")
    if images is not None and not images.is_dir():
        _check_writable(images, "--png")
        if images.exists():
            raise BenchmarkError(f"{str(images)!r} is a file; give --png a folder")
    for option, given, needed in (
        ("--report", page, ("jinja2", "plotly")),
        ("--png", images, ("matplotlib",)),
    ):
        missing = [name for name in needed if given is not None and importlib.util.find_spec(name) is None]
        if missing:
            raise typer.Exit(
                complain(f"{option} needs {missing[0]}; install: pip install 'intermodal[report]'", 1)
            )


def _check_writable(path: Path | None, option: str) -> None:
    if path is None:
        return
    target = path if path.exists() else path.parent
    if path.is_dir() or not target.exists() or not os.access(target, os.W_OK):
        raise BenchmarkError(
            f"cannot write {str(path)!r} for {option}; give a file in a folder that you can write to"
        )


def _workload(
    mix: workloads.Mix,
    size: int | None,
    distribution: str | None,
    seed: int | None,
    keys: Path | None,
    *,
    lines: bool,
) -> workloads.Workload:
    if keys is None:
        if lines:
            raise BenchmarkError("--lines says how to read a file of keys; give one with --keys FILE")
        given = {"size": size, "distribution": distribution, "seed": seed}
        return workloads.Synthetic(mix, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # each has its own type
    check_made_up({"--size": size, "--distribution": distribution, "--seed": seed})
    return workloads.Trace.from_file(keys, mix, lines=lines)


def _print_heading(console: Console, plan: runner.Plan, field: contenders.Field, *, gil_before: bool) -> None:
    machine = report.Machine.here(field.contenders, gil_before=gil_before)
    build = "compiled" if machine.compiled else "pure Python"
    lines = [
        f"{machine.cpu}, {machine.cores} cores, {machine.system}",
        f"{machine.python}, GIL {machine.gil}, intermodal {machine.versions['intermodal']} ({build})",
        str(plan.workload),
        _METHOD,
        f"{plan.rounds} times {plan.seconds:g} s each, the contenders taking turns; medians",
        *(f"note: {note}" for note in field.notes),
    ]
    if not machine.compiled:
        lines.append("note: intermodal runs uncompiled, which is for reading and debugging, not for speed")
    for line in lines:
        console.print(line, markup=False, soft_wrap=not console.is_terminal)


def _print_report(console: Console, result: report.Report) -> None:
    if not result.complete:
        console.print("\ninterrupted; this was measured so far", markup=False)
    for threads in dict.fromkeys(figure.threads for figure in result.figures):
        table = Table(
            box=SIMPLE, pad_edge=False, title=f"{threads} thread{'s' * (threads > 1)}", title_justify="left"
        )
        table.add_column("contender")
        for title in ("operations/s", "ns each", "spread", f"times {contenders.BASELINE}"):
            table.add_column(title, justify="right")
        for figure in result.figures:
            if figure.threads == threads:
                table.add_row(
                    escape(figure.contender),
                    f"{figure.rate:,.0f}",
                    f"{1e9 / figure.rate:,.1f}",
                    f"{figure.spread:.0%}",
                    "" if figure.ratio is None else f"{figure.ratio:.2f}",
                )
        console.print(table)
    console.print(f"GIL {result.machine.gil}", markup=False)
    if result.pick is not None:
        text = f"pick here: {result.pick.name}. {result.pick.why}"
        console.print(text, markup=False, soft_wrap=not console.is_terminal)
