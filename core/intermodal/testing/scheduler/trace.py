"""A failing run, drawn to be read: one column for each thread, one line for each step that matters.

May import only ``execution`` and ``schedule``.
"""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import TYPE_CHECKING

from intermodal.testing.scheduler.execution import BEGIN, READ, YIELD
from intermodal.testing.scheduler.schedule import NAMES

if TYPE_CHECKING:
    from collections.abc import Hashable

    from intermodal.testing.scheduler.execution import Step


def draw(trace: list[Step]) -> str:
    """Return the steps of *trace* that conflict with others, and those at which another thread goes on."""
    shown = _conflicting(trace) | _edges(trace)
    lines = []
    skipped = 0
    for number, step in enumerate(trace):
        if number not in shown:
            skipped += 1
            continue
        if skipped:
            lines.append(f"       ... {skipped} step{'s' if skipped > 1 else ''} that concern nobody else")
        skipped = 0
        lines.append(_line(number, step))
    return "\n".join(lines)


def _conflicting(trace: list[Step]) -> set[int]:
    users: dict[Hashable, set[int]] = {}
    written: set[Hashable] = set()
    for step in trace:
        for location in step.locations:
            users.setdefault(location, set()).add(step.thread)
            if step.kind not in (READ, YIELD, BEGIN):
                written.add(location)
    shared = {location for location in written if len(users[location]) > 1}
    return {number for number, step in enumerate(trace) if not shared.isdisjoint(step.locations)}


def _edges(trace: list[Step]) -> set[int]:
    edges = set()
    for number, step in enumerate(trace):
        before = trace[number - 1].thread if number else -1
        after = trace[number + 1].thread if number + 1 < len(trace) else -1
        if not before == step.thread == after:
            edges.add(number)
    return edges


def _line(number: int, step: Step) -> str:
    name = NAMES[step.thread]
    indent = "    " * step.thread
    if not step.frames:
        return f"{number:5} {indent}{name} {step.kind}"
    file, line, function = step.frames[0]
    source = linecache.getline(file, line).strip() or "?"
    place = f"{Path(file).name}:{line} {function}"
    return f"{number:5} {indent}{name} {place}: {source}"
