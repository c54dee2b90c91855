"""The plots of a report as images, for pages that are not HTML. Needs what the extra ``report`` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter, NullLocator

from intermodal.bench.plots import plots_of

if TYPE_CHECKING:
    from pathlib import Path

    from intermodal.bench.plots import Line, Plot
    from intermodal.bench.report import Report

_MARKERS: Final = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "x": "x"}

_DOTS_PER_INCH: Final = 120


def write_images(report: Report, folder: Path) -> list[Path]:
    """Write a PNG of each plot into *folder*, which is made if need be; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for plot in plots_of(report):
        files.append(folder / f"{plot.name}.png")
        _draw(plot, report).savefig(files[-1], dpi=_DOTS_PER_INCH)
    return files


def _draw(plot: Plot, report: Report) -> Figure:
    # Without pyplot: no window, and no figure that something keeps.
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log" if plot.log_x else "linear")
    axes.set_yscale("log" if plot.log_y else "linear")
    for line in plot.lines:
        _draw_line(axes, line)
    if not plot.log_y:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(EngFormatter())
    if plot.ticks:
        axes.set_xticks([place for place, _ in plot.ticks], [text for _, text in plot.ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    partial = "" if report.complete else " (partial: interrupted)"
    axes.set_title(plot.title + partial, fontsize="medium")
    axes.set_xlabel(plot.x_title)
    axes.set_ylabel(plot.y_title)
    axes.grid(visible=True, color="#d8dee4")
    figure.legend(loc="outside right upper", fontsize="small")
    machine = report.machine
    figure.supxlabel(
        f"{machine.cpu}, {machine.cores} cores, {machine.python}, GIL {machine.gil}",
        fontsize="x-small",
        color="#57606a",
    )
    return figure


def _draw_line(axes: Any, line: Line) -> None:
    bars = None
    if line.low:
        below = [y - low for low, y in zip(line.low, line.ys, strict=True)]
        bars = [below, [high - y for high, y in zip(line.high, line.ys, strict=True)]]
    axes.errorbar(
        line.xs,
        line.ys,
        yerr=bars,
        label=line.name,
        color=line.colour,
        marker=_MARKERS[line.marker],
        markersize=4,
        linestyle="--" if line.dashed else "-",
        elinewidth=1,
    )
