"""``intermodal backends``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from intermodal import backends
from intermodal._commands.options import console_for_tables
from intermodal.capabilities import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intermodal.capabilities import BackendSpec, Capabilities


def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects, not a table.")] = False,
) -> None:
    """List the installed backends and what their maps promise."""
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
    console_for_tables().print(table)


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
