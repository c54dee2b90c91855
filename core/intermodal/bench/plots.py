"""What a report draws, apart from what draws it: the page and the images show the same plots.

A contender has the same colour in all of them, and peers are dashed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from intermodal.bench.report import Figure, Latency, Report

# Chosen to be told apart by most, also who sees red and green alike; more contenders than colours share them,
# with another marker.
COLOURS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7",
    "#56b4e9", "#7f6000", "#5b2a86", "#8c8c8c", "#000000",
)  # fmt: skip

#: Names that plotly has; images translate them.
MARKERS: Final = ("circle", "square", "diamond", "triangle-up", "x")

_PARTS_SHOWN: Final = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


@attrs.frozen
class Line:
    """One contender in a plot.

    Attributes:
        name: of the contender.
        colour: as CSS has it.
        marker: one of MARKERS.
        dashed: whether it is no backend.
        xs: where the points are.
        ys: their values.
        low: the least of the rounds at each point; empty if there is nothing to say.
        high: the most of them.
    """

    name: str
    colour: str
    marker: str
    dashed: bool
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@attrs.frozen
class Plot:
    """A figure.

    Attributes:
        name: for identifiers and names of files.
        title: what it shows.
        x_title: what is to the right, with the unit.
        y_title: what is up, with the unit.
        lines: one for each contender that has points in it.
        log_x: whether the axis to the right is logarithmic.
        log_y: the same for the axis up; one that is not begins at 0.
        ticks: places on the axis to the right and what is written there; empty: as it comes.
    """

    name: str
    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    log_x: bool = False
    log_y: bool = False
    ticks: tuple[tuple[float, str], ...] = ()


class _Palette:
    """How each contender of a report looks."""

    def __init__(self, report: Report, backends: Iterable[str]) -> None:
        names: list[str] = [figure.contender for figure in report.figures]
        names += [latency.contender for latency in report.latencies]
        self._places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        self._backends = set(backends)

    def line(
        self, name: str, points: Sequence[tuple[float, float]], spread: Sequence[tuple[float, float]] = ()
    ) -> Line:
        place = self._places.setdefault(name, len(self._places))
        return Line(
            name,
            COLOURS[place % len(COLOURS)],
            MARKERS[place // len(COLOURS) % len(MARKERS)],
            dashed=name not in self._backends,
            xs=tuple(x for x, _ in points),
            ys=tuple(y for _, y in points),
            low=tuple(low for low, _ in spread),
            high=tuple(high for _, high in spread),
        )


def plots_of(report: Report) -> tuple[Plot, ...]:
    """Return the plots that there are figures for."""
    palette = _Palette(report, report.backends)
    every = [
        _by_threads("threads", f"Throughput against threads: mix {_mix_of(report)}", report.figures, palette),
        *_by_writes(report, palette),
        *(
            _by_threads(
                f"threads-writes-{mix.writes}",
                f"Throughput against threads: {mix.writes} % writes",
                mix.figures,
                palette,
            )
            for mix in report.mixes
        ),
        *_latencies(report, palette),
        _memory(report, palette),
    ]
    return tuple(plot for plot in every if plot.lines)


def _mix_of(report: Report) -> str:
    """Return the mix from the words for the workload, which begin with it."""
    return report.workload.removeprefix("mix ").partition(")")[0] + ")"


def _by_threads(name: str, title: str, figures: Sequence[Figure], palette: _Palette) -> Plot:
    numbers = sorted({figure.threads for figure in figures})
    return Plot(
        name,
        title,
        "threads",
        "operations per second",
        tuple(_rates(figures, lambda figure: figure.threads, palette)),
        ticks=tuple((number, str(number)) for number in numbers),
    )


def _by_writes(report: Report, palette: _Palette) -> Iterator[Plot]:
    pairs = [(mix.writes, figure) for mix in report.mixes for figure in mix.figures]
    for threads in sorted({figure.threads for _, figure in pairs}):
        lines = []
        for name in dict.fromkeys(figure.contender for _, figure in pairs):
            own = sorted(
                (
                    (writes, each)
                    for writes, each in pairs
                    if (each.contender, each.threads) == (name, threads)
                ),
                key=lambda pair: pair[0],
            )
            if own:
                lines.append(_rate_line(name, own, palette))
        yield Plot(
            f"writes-threads-{threads}",
            f"Throughput against the share of writes: {threads} thread{'s' * (threads > 1)}",
            "writes, per cent",
            "operations per second",
            tuple(lines),
            ticks=tuple((writes, str(writes)) for writes in sorted({writes for writes, _ in pairs})),
        )


def _rates(figures: Sequence[Figure], place: Callable[[Figure], float], palette: _Palette) -> Iterator[Line]:
    for name in dict.fromkeys(figure.contender for figure in figures):
        own = sorted(
            ((place(figure), figure) for figure in figures if figure.contender == name),
            key=lambda pair: pair[0],
        )
        yield _rate_line(name, own, palette)


def _rate_line(name: str, own: Sequence[tuple[float, Figure]], palette: _Palette) -> Line:
    return palette.line(
        name,
        [(x, figure.rate) for x, figure in own],
        [(min(figure.rates), max(figure.rates)) for _, figure in own],
    )


def _latencies(report: Report, palette: _Palette) -> Iterator[Plot]:
    for operation in ("read", "write"):
        own = [each for each in report.latencies if each.operation == operation]
        if own:
            threads = own[0].threads
            yield Plot(
                f"latency-{operation}s",
                f"Latency distribution of {operation}s: {threads} thread{'s' * (threads > 1)}, "
                f"the clock's own {report.clock} ns included",
                "part of the operations that took at most so long, per cent",
                "nanoseconds",
                tuple(_distribution(each, palette) for each in own if each.quantiles),
                log_x=True,
                log_y=True,
                ticks=tuple((_odds(part), f"{part * 100:g}") for part in _PARTS_SHOWN),
            )


def _distribution(latency: Latency, palette: _Palette) -> Line:
    # No logarithm of a time that the clock could not see.
    points = [(_odds(part), max(1, time)) for part, time in latency.quantiles]
    return palette.line(latency.contender, points)


def _odds(part: float) -> float:
    """Return how many operations there are to each that took longer: it spreads the slowest out."""
    return 1 / (1 - part)


def _memory(report: Report, palette: _Palette) -> Plot:
    names = dict.fromkeys(each.contender for each in report.memory)
    return Plot(
        "memory",
        "Memory per entry, without keys and values",
        "entries",
        "bytes per entry",
        tuple(
            palette.line(
                name,
                [(each.entries, each.bytes_per_entry) for each in report.memory if each.contender == name],
            )
            for name in names
        ),
        log_x=True,
        ticks=tuple(
            (entries, f"{entries:,}") for entries in sorted({each.entries for each in report.memory})
        ),
    )
