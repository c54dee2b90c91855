"""What the examples share, apart from what they are about: options, threads, rates, a table and a figure."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import intermodal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


def options_of(doc: str | None, size: int, of: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every example has; *size* is how many *of* something there are."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--threads", type=positive, default=2, help="measure with 1 and with so many [2]")
    parser.add_argument(
        "--rounds", type=positive, default=3, help="turns of each contender; the best counts [3]"
    )
    parser.add_argument("--size", type=positive, default=size, help=f"number of {of} [{size}]")
    parser.add_argument("--figure", type=figure_file, metavar="FILE", help="draw the rates into a PNG")
    return parser


def positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return number


def figure_file(text: str) -> Path:
    """Return the path, if there is all that it takes to draw into it: not only after the measurements."""
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("drawing needs matplotlib; install: pip install matplotlib")
    path = Path(text)
    if path.suffix != ".png" or path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file name.png in a folder that is there; got {text!r}")
    return path


def in_threads(work: Callable[[Any], object], shares: Sequence[Any]) -> list[Any]:
    """Call *work* with each of the shares, each in a thread of its own; return the results."""
    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(work, shares))


def dealt(items: Sequence[Any], threads: int) -> list[Sequence[Any]]:
    """Deal the items to so many threads, as cards."""
    return [items[first::threads] for first in range(threads)]


def rates(
    contenders: Mapping[str, Callable[[int], object]], work: int, threads: Iterable[int], rounds: int
) -> dict[str, dict[int, float]]:
    """Return how much of *work* each contender does in a second: name -> threads -> its best turn.

    A contender is called with the number of threads and does all of the work. They take turns, so that what
    else the machine does meets all of them; it can only slow them down, so the best turn says most.
    """
    numbers = sorted(set(threads))
    seconds: dict[tuple[str, int], list[float]] = {(name, n): [] for name in contenders for n in numbers}
    for _ in range(rounds):
        for (name, n), taken in seconds.items():
            begun = perf_counter()
            contenders[name](n)
            taken.append(perf_counter() - begun)
    return {name: {n: work / min(seconds[name, n]) for n in numbers} for name in contenders}


def show(title: str, unit: str, found: Mapping[str, Mapping[int, float]], figure: Path | None) -> None:
    """Print the rates, and draw them if there is a file for it."""
    print(f"\n{title}, {unit} a second; {build()}")
    for name, by_threads in found.items():
        cells = (f"{rate:>14,.0f} ({n} thread{'s' * (n > 1)})" for n, rate in by_threads.items())
        print(f"{name:34}{''.join(cells)}")
    if figure is not None:
        draw(title, unit, found, figure)


def build() -> str:
    """Return in words what the rates were measured on."""
    version = sys.version.split()[0]
    free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED") and not sys._is_gil_enabled()
    compiled = "" if intermodal.__compiled__ else ", intermodal not compiled"
    return f"CPython {version}, GIL {'off' if free_threaded else 'on'}, {os.cpu_count()} cores{compiled}"


def draw(title: str, unit: str, found: Mapping[str, Mapping[int, float]], figure: Path) -> None:
    """Draw a group of bars for each contender, a bar for each number of threads."""
    label = f"{unit} a second; {build()}"  # before the import, which may turn the GIL on
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    picture = Figure(figsize=(7.5, 1.2 + 0.6 * len(found)), layout="constrained")
    axes = picture.add_subplot()
    numbers = list(next(iter(found.values())))
    height = 0.8 / len(numbers)
    for place, n in enumerate(numbers):
        bars = axes.barh(
            [row + place * height for row in range(len(found))],
            [by_threads[n] for by_threads in found.values()],
            height,
            label=f"{n} thread{'s' * (n > 1)}",
        )
        axes.bar_label(bars, fmt=EngFormatter(places=1), padding=3, fontsize="small")
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(found))], list(found))
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel(label, fontsize="small")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.tick_params(labelsize="small")
    axes.legend(fontsize="small", loc="best")
    axes.set_title(title, fontsize="medium")
    picture.savefig(figure, dpi=100)
