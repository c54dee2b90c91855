"""A report as one HTML page: plots to look into, the machine, and the figures themselves as JSON.

The page has everything in it and asks nobody for anything; its content security policy has the browser see to
that. What goes wrong in its scripts is written into it. Needs what the extra ``report`` installs.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from intermodal.bench.plots import plots_of
from intermodal.bench.report import Report
from intermodal.bench.workloads import BenchmarkError

if TYPE_CHECKING:
    from pathlib import Path

    from intermodal.bench.plots import Line, Plot

_FIGURES: Final = re.compile(r'<script type="application/json" id="report">(.*?)</script>', re.DOTALL)


def page_of(report: Report) -> str:
    """Return the page of *report*."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("intermodal", "bench"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plots = plots_of(report)
    return environment.get_template("page.html.jinja").render(
        report=report,
        record=report.as_dict(),
        figures={plot.name: _figure(plot) for plot in plots},
        plots=plots,
        plotly=get_plotlyjs(),
    )


def report_in(page: Path) -> Report:
    """Return the report that the file *page* was made of.

    Raises: BenchmarkError if the file cannot be read or is no such page.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"cannot read {str(page)!r}: {error}; give a page of a report") from error
    found = _FIGURES.search(text)
    if not found:
        raise BenchmarkError(f"{str(page)!r} has no figures in it; give a page of intermodal bench --report")
    return Report.from_dict(json.loads(found[1]))


def _figure(plot: Plot) -> Any:
    """Return what plotly's script draws, as JSON has it."""
    figure = go.Figure([_trace(line) for line in plot.lines])
    figure.update_layout(
        template="plotly_white",
        height=480,
        margin={"t": 20, "r": 20},
        hovermode="closest",
        legend={"title": {"text": "click hides, double click isolates"}},
        xaxis={"title": {"text": plot.x_title}, "type": "log" if plot.log_x else "linear"},
        yaxis={"title": {"text": plot.y_title}, "type": "log" if plot.log_y else "linear"},
    )
    if not plot.log_y:
        figure.update_yaxes(rangemode="tozero")
    if plot.ticks:
        figure.update_xaxes(
            tickvals=[place for place, _ in plot.ticks], ticktext=[text for _, text in plot.ticks]
        )
    return json.loads(figure.to_json())


def _trace(line: Line) -> go.Scatter:
    bars = None
    if line.low:
        bars = {
            "type": "data",
            "symmetric": False,
            "array": [high - y for high, y in zip(line.high, line.ys, strict=True)],
            "arrayminus": [y - low for low, y in zip(line.low, line.ys, strict=True)],
            "thickness": 1,
        }
    return go.Scatter(
        name=line.name,
        x=line.xs,
        y=line.ys,
        mode="lines+markers",
        error_y=bars,
        line={"color": line.colour, "dash": "dash" if line.dashed else "solid"},
        marker={"symbol": line.marker, "size": 7},
    )
