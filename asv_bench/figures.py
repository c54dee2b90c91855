# ruff: noqa: T201  (prints for scripts)
"""What the scripts must_reach*.py share: figures with targets, printed and written into a page of the docs.

A page has a pair of comments for each build, ``<!-- figures: GIL on -->`` to ``<!-- /figures: GIL on -->``
and the same with *off*; a script that is called with ``--into PAGE`` replaces what is between them.
"""

from __future__ import annotations

import argparse
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from intermodal.bench.contenders import gil_enabled
from intermodal.bench.report import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@attrs.frozen
class Figure:
    """A figure and what it must be.

    Args:
        what: words for the table.
        value: the figure.
        least: what it must reach; None: there is no such target.
        most: what it must not exceed; None: there is no such target.
        unit: written after the figure and its target.
        free_threaded: on which build the target holds; None: on both.
    """

    what: str
    value: float
    least: float | None = None
    most: float | None = None
    unit: str = ""
    free_threaded: bool | None = None

    def target(self) -> str:
        """Return the target in words; empty if there is none."""
        if self.least is None and self.most is None:
            return ""
        bound = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{bound}{self.unit}"

    def verdict(self) -> str:
        """Return whether the target is reached, in words; empty if there is none on this build."""
        if not self.target() or self.free_threaded not in (None, FREE_THREADED):
            return ""
        reached = self.value >= self.least if self.least is not None else self.value <= self.most
        return "yes" if reached else "SHORT"


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return a parser of the command line with ``--rounds`` and ``--into``."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FILE",
        help="replace the table between the comments 'figures: GIL on', or 'off', of a Markdown file",
    )
    return parser


def report(measure: Callable[[], Iterable[Figure]], *, rounds: int, into: Path | None) -> int:
    """Print the figures, and write them into a page; return the exit status: 1 if a target is missed."""
    gil_before = gil_enabled()
    figures = list(measure())
    machine = Machine.here((), gil_before=gil_before)
    about = f"{machine.cpu}, {machine.cores} cores; {machine.python.partition(' (')[0]}, GIL {machine.gil}."
    lines = [f"{about} Medians of {rounds}.", "", *table(figures)]
    print("\n".join(lines))
    if into is not None:
        write_into(into, f"GIL {machine.gil}", lines)
    return int(any(figure.verdict() == "SHORT" for figure in figures))


def table(figures: Iterable[Figure]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = ["| what | figure | must be | reached |", "| --- | --- | --- | --- |"]
    for figure in figures:
        reached = figure.verdict() or "not asked"
        lines.append(f"| {figure.what} | {figure.value:.2f}{figure.unit} | {figure.target()} | {reached} |")
    return lines


def write_into(path: Path, title: str, lines: Sequence[str]) -> None:
    """Replace what stands in the file between the two comments of that title."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- figures: {title} -->\n", f"<!-- /figures: {title} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"must_reach: {path} has no part between {begin.strip()} and {end}")
    path.write_text("".join((before, begin, *(f"{line}\n" for line in lines), end, after)), encoding="utf-8")
