"""What the commands do: options in, tables out. Measuring is the business of ``intermodal.bench``.

The only module that imports typer and rich. Everything that is wrong with the options becomes one line on
stderr and exit status 2, whether typer finds it or we do.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import attrs
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.prompt import Confirm, FloatPrompt, IntPrompt, Prompt
from rich.table import Table

from intermodal.bench import choice, contenders, report, runner, survey, workloads
from intermodal.bench.memory import Memory
from intermodal.bench.workloads import BenchmarkError
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from intermodal.capabilities import BackendSpec, Capabilities

T = TypeVar("T")

# Where there is no terminal there is no width either: whatever reads the tables wants a row per line.
_WIDTH_OF_NO_TERMINAL: Final = 320

_METHOD: Final = (
    "each thread looks keys up with objects of its own, equal to the stored keys but not identical; "
    "every result is checked"
)

# click's ClickException, which typer does not export: the class above BadParameter and UsageError.
_OptionError: Final[Any] = typer.BadParameter.__mro__[2]


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Interchangeable concurrent maps: what is installed, and which is fastest for your work.",
)


def run(arguments: list[str]) -> int:
    """Run the command and return its exit status."""
    try:
        status = app(arguments, prog_name="intermodal", standalone_mode=False)
    except _OptionError as error:
        return _complain(error.format_message(), 2)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    return status if isinstance(status, int) else 0


def _complain(message: str, status: int) -> int:
    print(f"intermodal: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return status


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_NO_TERMINAL, highlight=False)


# ---- intermodal --version, intermodal without a command ---------------------------------------------------


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from intermodal import __compiled__, __version__, backends

    python = f"{platform.python_implementation()} {sys.version.split('[')[0].strip()}"
    lines = [
        f"intermodal {__version__}, {'compiled' if __compiled__ else 'pure Python'}",
        f"{python}, GIL {'on' if contenders.gil_enabled() else 'off'}",
    ]
    for spec in backends():
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


# ---- intermodal backends ---------------------------------------------------


@app.command("backends")
def show_backends(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects, not a table.")] = False,
) -> None:
    """List the installed backends and what their maps promise."""
    from intermodal import backends
    from intermodal.capabilities import LEVELS

    specs = backends()
    if as_json:
        typer.echo(json.dumps([_backend_record(spec) for spec in specs], indent=2, default=repr))
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for title in ("backend", "what it is", *LEVELS, "also", "from"):
        table.add_column(title.replace("_", " "), overflow="fold")
    for spec in specs:
        has = spec.capabilities
        if has is None:
            row = ["broken: " + (spec.error or ""), *("" for _ in LEVELS), ""]
        else:
            row = [spec.summary, *(getattr(has, field) for field in LEVELS), ", ".join(_extras(has))]
        table.add_row(*map(escape, [spec.name, *row, f"{spec.distribution} {spec.version}"]))
    _console().print(table)


def _backend_record(spec: BackendSpec) -> dict[str, Any]:
    has = spec.capabilities
    options = [
        {
            "name": option.name,
            "types": [kind.__name__ for kind in option.types],
            "default": option.default,
            "summary": option.summary,
        }
        for option in spec.options
    ]
    return {
        "name": spec.name,
        "summary": spec.summary,
        "distribution": spec.distribution,
        "version": spec.version,
        "error": spec.error,
        "capabilities": None if has is None else attrs.asdict(has),
        "options": options,
    }


def _extras(has: Capabilities) -> Iterable[str]:
    """Name what is promised beyond the graded promises: flags, and names other than everybody's."""
    for field in attrs.fields(type(has)):
        value = getattr(has, field.name)
        title = field.name.replace("_", " ")
        if value is True:
            yield title
        elif isinstance(value, tuple) and value != field.default:
            yield f"{title}: {' '.join(name for name in value if name not in field.default)}"


# ---- intermodal bench ---------------------------------------------------


@app.command("bench")
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
    keys: Annotated[
        Path | None, typer.Option(help="Take the keys from this file: each word is the key of one operation.")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="With --keys: each line is a key, not a word.")
    ] = False,
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
            show_default=_listed(survey.WRITES),
        ),
    ] = None,
    entries: Annotated[
        str | None,
        typer.Option(
            help="With --report or --png: numbers of entries to measure memory with, separated by commas.",
            show_default=_listed(survey.ENTRIES),
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
        field = contenders.enter(None if backends is None else _split(backends), peers=peers)
        plan = runner.Plan(field.contenders, workload, _numbers(threads, "--threads"), rounds, seconds)
        wanted = survey.Survey(
            plan,
            survey.WRITES if writes is None else _numbers(writes, "--writes"),
            survey.ENTRIES if entries is None else _numbers(entries, "--entries"),
        )
    except BenchmarkError as error:
        raise typer.Exit(_complain(str(error), 2)) from error

    console = _console()
    _print_heading(console, plan, field, gil_before=gil_before)
    try:
        if page is None and images is None:
            status, samples = _gather(runner.measure(plan), plan.steps)
            result = report.Report.of(plan, field, samples, gil_before=gil_before)
        else:
            status, found = _gather(survey.findings(wanted), wanted.steps, wanted.steps_of)
            result = report.Report.of_survey(wanted, field, found, gil_before=gil_before)
    except runner.SelfCheckError as error:
        raise typer.Exit(_complain(str(error), 1)) from error
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
                _complain(f"{option} needs {missing[0]}; install: pip install 'intermodal[report]'", 1)
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
    for option, value in (("--size", size), ("--distribution", distribution), ("--seed", seed)):
        if value is not None:
            raise BenchmarkError(
                f"{option} is for made-up keys; leave it out with --keys, where the file decides"
            )
    return workloads.Trace.from_file(keys, mix, lines=lines)


def _check_writable(path: Path | None, option: str) -> None:
    if path is None:
        return
    target = path if path.exists() else path.parent
    if path.is_dir() or not target.exists() or not os.access(target, os.W_OK):
        raise BenchmarkError(
            f"cannot write {str(path)!r} for {option}; give a file in a folder that you can write to"
        )


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(number) for number in _split(text)))
    except ValueError:
        raise BenchmarkError(
            f"{option} takes numbers with commas between them, such as 1,2; got {text!r}"
        ) from None


def _gather(
    measuring: Iterator[T], total: int, steps_of: Callable[[T], int] = lambda _: 1
) -> tuple[int, list[T]]:
    """Return the status that the command ends with, and what was measured, all of it or until Ctrl-C."""
    # The bar is drawn between measurements: by itself it would draw ten times a second in a thread of its
    # own.
    found: list[T] = []
    with (
        Progress(
            *Progress.get_default_columns(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as progress,
        contextlib.closing(measuring) if isinstance(measuring, Generator) else contextlib.nullcontext(),
    ):
        task = progress.add_task("measuring", total=total)
        progress.refresh()
        try:
            for each in measuring:
                found.append(each)
                progress.update(task, advance=steps_of(each), description=_described(each), refresh=True)
        except KeyboardInterrupt:
            return 130, found
    return 0, found


def _described(finding: object) -> str:
    """Return what has just been measured, for the progress bar."""
    match finding:
        case runner.Sample():
            return f"{finding.contender}, threads: {finding.threads}"
        case runner.Latencies():
            return f"{finding.contender}, latencies"
        case Memory():
            return f"{finding.contender}, memory"
        case survey.MixSample():
            return f"{finding.sample.contender}, {finding.writes} % writes, threads: {finding.sample.threads}"
    return "measuring"


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


# ---- intermodal choose ------------------------------------------------------------------------------------


@app.command("choose")
def choose(
    threads: Annotated[
        int | None, typer.Option(help="How many threads use the map at once.", show_default="2")
    ] = None,
    writes: Annotated[
        int | None,
        typer.Option(help="Per cent of operations that change it; the rest reads.", show_default="10"),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Number of entries.", show_default="10000")] = None,
    ordered: Annotated[
        bool | None, typer.Option("--ordered", help="Keys in order, ranges, nearest keys.")
    ] = None,
    snapshot: Annotated[
        bool | None, typer.Option("--snapshot", help="Consistent snapshots of the whole map.")
    ] = None,
    key_type: Annotated[
        str | None, typer.Option(help="object, or int64 for 64-bit integers.", show_default="object")
    ] = None,
    value_type: Annotated[
        str | None, typer.Option(help="object, int64 or float64.", show_default="that of the keys")
    ] = None,
    stale: Annotated[
        bool | None, typer.Option("--stale", help="Readers may see what was so a moment ago.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="Megabytes that the map may take, without keys and values.")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(help="Another promise, such as multi_value or iteration=snapshot; may be repeated."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Take the keys from this file: each word is the key of one operation.")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="With --keys: each line is a key, not a word.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="Time to measure, all candidates together.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object, not text.")] = False,
) -> None:
    """Measure the backends that meet a workload's needs on that workload, and say which to take.

    Without an option that describes the workload, on a terminal, it asks. The answer is the code that was
    measured, who was ruled out and why, and how sure it is.
    """
    given: dict[str, Any] = {
        "threads": threads,
        "writes": writes,
        "size": size,
        "ordered": ordered,
        "snapshot": snapshot,
        "key_type": key_type,
        "value_type": value_type,
        "stale": stale,
        "memory": memory,
        "require": _requirements(require) if require else None,
        "keys": keys,
    }
    known = {name: value for name, value in given.items() if value is not None}
    gil_before = contenders.gil_enabled()
    try:
        if not known and sys.stdin.isatty() and sys.stderr.isatty():
            known = _ask()
        if "value_type" not in known and "key_type" in known:
            known["value_type"] = known["key_type"]
        _check_size(size, keys)
        field = choice.candidates_for(choice.Needs(**known, lines=lines))
        field.plan(seconds)
        status, taken = _gather(choice.memories_of(field), len(field.candidates))
        samples: list[runner.Sample] = []
        if not status:
            field = choice.within_memory(field, taken)
            status, samples = _gather(choice.samples_of(field, seconds), field.plan(seconds).steps)
    except runner.SelfCheckError as error:
        raise typer.Exit(_complain(str(error), 1)) from error
    except BenchmarkError as error:
        raise typer.Exit(_complain(str(error), 2)) from error
    result = None if status else choice.choose(field, samples, taken, gil_before=gil_before)
    if result is None:
        raise typer.Exit(_complain("interrupted before everybody was measured; nothing is chosen", 130))
    if as_json:
        typer.echo(json.dumps(result.as_dict(), indent=2))
    else:
        _print_choice(result)


def _check_size(size: int | None, keys: Path | None) -> None:
    if keys is not None and size is not None:
        raise BenchmarkError("--size is for made-up keys; leave it out with --keys, where the file decides")


def _requirements(texts: list[str]) -> dict[str, str | bool]:
    pairs = (text.partition("=") for text in texts)
    return {name.strip(): level.strip() if equals else True for name, equals, level in pairs}


def _ask() -> dict[str, Any]:
    """Ask about the workload, and return what is known then."""
    console = Console(stderr=True)
    known: dict[str, Any] = {
        "threads": IntPrompt.ask("How many threads use the map at once", default=2, console=console),
        "writes": IntPrompt.ask("How many of 100 operations change it", default=10, console=console),
    }
    file = Prompt.ask("A file with keys, each word one (empty: made-up keys)", default="", console=console)
    if file:
        known["keys"] = Path(file)
    else:
        known["size"] = IntPrompt.ask("How many entries has it", default=10_000, console=console)
    for name, question in (
        ("ordered", "Must keys be in order"),
        ("snapshot", "Are snapshots of the whole map taken"),
        ("stale", "May readers see what was so a moment ago"),
    ):
        known[name] = Confirm.ask(question, default=False, console=console)
    known["key_type"] = Prompt.ask(
        "What are the keys", choices=list(choice.KEY_TYPES), default="object", console=console
    )
    if known["key_type"] != "object":
        known["value_type"] = Prompt.ask(
            "What are the values", choices=list(choice.VALUE_TYPES[1:]), default="int64", console=console
        )
    limit = FloatPrompt.ask("Megabytes that it may take (0: any number)", default=0.0, console=console)
    return known | ({"memory": limit} if limit else {})


def _print_choice(result: choice.Choice) -> None:
    console = _console()

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=not console.is_terminal)

    machine = result.machine
    build = "compiled" if machine.compiled else "pure Python"
    say(f"{machine.cpu}, {machine.cores} cores; {machine.python}, GIL {machine.gil}, intermodal {build}")
    say(f"needs: {', '.join(result.needs)}")
    say(f"measured: {result.workload}")
    for each in result.ruled_out:
        say(f"ruled out: {each.name}: {'; '.join(each.reasons)}")
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("measured")
    for title in ("operations/s", "ns each", "spread", "bytes per entry"):
        table.add_column(title, justify="right")
    taken = {each.contender: f"{each.bytes_per_entry:.0f}" for each in result.memory}
    out = [each.name for each in result.ruled_out]
    for figure in sorted(result.figures, key=lambda figure: -figure.rate):
        name = figure.contender + (" (for comparison)" if figure.contender in out else "")
        cells = [f"{figure.rate:,.0f}", f"{1e9 / figure.rate:,.1f}", f"{figure.spread:.0%}"]
        table.add_row(escape(name), *cells, taken.get(figure.contender, ""))
    console.print(table)
    for note in result.notes:
        say(f"note: {note}")
    if not machine.compiled:
        say("note: intermodal runs uncompiled, which is for reading and debugging, not for speed")
    say(f"pick here: {result.pick}. {result.why}")
    say(result.certainty)
    say(f"\n{result.code}")


# ---- intermodal explore -----------------------------------------------------------------------------------


@app.command("explore")
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
        for count in _numbers(entries, "--entries"):
            for scenario in pairs(lambda: open_map(backend), count, None if calls is None else _split(calls)):
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
        raise typer.Exit(_complain(str(error), 2)) from error
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


# ---- intermodal stress ---------------------------------------------------


@app.command("stress")
def stress_backend(
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
            workloads=None if workload is None else _split(workload),
        )
    except IntermodalError as error:
        raise typer.Exit(_complain(str(error), 2)) from error
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
    gil = "on" if contenders.gil_enabled() else "off"
    python = sys.version.split("[")[0].strip()
    typer.echo(f"intermodal {__version__} ({build}), Python {python}, GIL {gil}")
    typer.echo(f"backend {plan.backend}, {plan.threads} threads, {plan.seconds:g} s, seed {plan.seed}")


def _print_stress(result: StressReport, plan: Plan, status: int) -> None:
    table = Table(box=SIMPLE, pad_edge=False)
    for title in ("workload", "rounds", "what held"):
        table.add_column(title, justify="right" if title == "rounds" else "left")
    for each in plan.workloads:
        table.add_row(each.name, str(result.rounds[each.name]), escape(each.summary))
    _console().print(table)
    verdict = {0: "no violation found", 1: "a violation was found"}.get(status, "no violation so far")
    typer.echo(f"about {result.operations:,} operations in {result.seconds:.1f} s: {verdict}")


# ---- intermodal new-plugin --------------------------------------------------------------------------------


@app.command("new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the backend, as in open_map(NAME).")],
    into: Annotated[Path, typer.Option(help="The folder in which the plugin's own is made.")] = Path(),
) -> None:
    """Write the distribution of a new backend: one that works, with its tests, to be made your own."""
    from intermodal._new_plugin import write_plugin

    try:
        folder = write_plugin(name, into)
    except (ValueError, OSError) as error:
        raise typer.Exit(_complain(str(error), 2)) from error
    typer.echo(f"wrote {folder}; its README.md has the commands to build and test it")
