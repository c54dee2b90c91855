"""The entry of the command ``intermodal``; what the commands do is in ``_commands``.

Apart from it because it must work without the packages that it needs: a missing one, as any mistake in the
options, is one line on stderr and an exit status. May import nothing but the standard library at the top.
"""

from __future__ import annotations

import sys
from typing import Final, NoReturn

# What the extra `cli` installs.
_EXTRA: Final = ("typer", "rich")


def main() -> NoReturn:
    """Run the command with the arguments of the process and exit.

    Exit status: 0; 1 if something failed; 2 if the options are wrong; 130 if interrupted.
    """
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with *arguments* and return the exit status."""
    try:
        from intermodal import _commands
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        print(  # noqa: T201
            f"intermodal: the command line needs {error.name}; install: pip install 'intermodal[cli]'",
            file=sys.stderr,
        )
        return 1
    return _commands.run(arguments)
