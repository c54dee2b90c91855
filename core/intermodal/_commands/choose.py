"""``intermodal choose``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm, FloatPrompt, IntPrompt, Prompt
from rich.table import Table

from intermodal._commands.options import KeysOption, LinesOption, check_made_up, complain, console_for_tables
from intermodal._commands.progress import gather
from intermodal.bench import choice, contenders, runner
from intermodal.bench.workloads import BenchmarkError


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
    keys: KeysOption = None,
    lines: LinesOption = False,
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
        if keys is not None:
            check_made_up({"--size": size})
        field = choice.candidates_for(choice.Needs(**known, lines=lines))
        field.plan(seconds)
        status, taken = gather(choice.memories_of(field), len(field.candidates))
        samples: list[runner.Sample] = []
        if not status:
            field = choice.within_memory(field, taken)
            status, samples = gather(choice.samples_of(field, seconds), field.plan(seconds).steps)
    except runner.SelfCheckError as error:
        raise typer.Exit(complain(str(error), 1)) from error
    except BenchmarkError as error:
        raise typer.Exit(complain(str(error), 2)) from error
    result = None if status else choice.choose(field, samples, taken, gil_before=gil_before)
    if result is None:
        raise typer.Exit(complain("interrupted before everybody was measured; nothing is chosen", 130))
    if as_json:
        typer.echo(json.dumps(result.as_dict(), indent=2))
    else:
        _print_choice(result)


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
    console = console_for_tables()

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
