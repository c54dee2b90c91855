"""The bar on stderr while a command measures, and the end that Ctrl-C makes of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import Progress

from intermodal.bench import runner, survey
from intermodal.bench.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


def gather(
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
