"""What commands take from their options, and how they complain about them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer
from rich.console import Console

from intermodal.bench.workloads import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KeysOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Take the keys from this file: each word is the key of one operation.")
]
LinesOption: TypeAlias = Annotated[
    bool, typer.Option("--lines", help="With --keys: each line is a key, not a word.")
]

# Where there is no terminal there is no width either: whatever reads the tables wants a row per line.
_WIDTH_OF_NO_TERMINAL: Final = 320


def complain(message: str, status: int) -> int:
    """Print what is wrong as one line on stderr, and return *status*, the exit status."""
    print(f"intermodal: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return status


def console_for_tables() -> Console:
    """Return where tables are printed: as wide as the terminal, or as the tables need where there is none."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_NO_TERMINAL, highlight=False)


def listed(numbers: Iterable[int]) -> str:
    """Write numbers as an option takes them."""
    return ",".join(map(str, numbers))


def split(names: str) -> list[str]:
    """Return the names of an option that has commas between them."""
    return [name.strip() for name in names.split(",")]


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Return the numbers of *option*, each once.

    Raises: BenchmarkError.
    """
    try:
        return tuple(dict.fromkeys(int(number) for number in split(text)))
    except ValueError:
        raise BenchmarkError(
            f"{option} takes numbers with commas between them, such as 1,2; got {text!r}"
        ) from None


def check_made_up(options: Mapping[str, object]) -> None:
    """Refuse, beside a file of keys, the *options* that are for made-up ones.

    Raises: BenchmarkError, with the first that is not None.
    """
    for option, given in options.items():
        if given is not None:
            raise BenchmarkError(
                f"{option} is for made-up keys; leave it out with --keys, where the file decides"
            )
