"""The log ``file``: what it has ends with no process.

What plugins of logs are: a hook that imports the log itself, ``file_log``, when one is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from intermodal.plugins import LogBackend, OpenedLog, Option, hookimpl
from intermodal_nr import LOG_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Mapping


def _open(address: str, options: Mapping[str, Any]) -> OpenedLog:
    from intermodal.errors import OptionError
    from intermodal_nr.file_log import open_folder

    if not address:
        raise OptionError("a log in files wants a folder: log='file:///var/lib/books'")
    return open_folder(
        Path(address),
        codec=options["codec"],
        capacity=options["log_entries"],
        fsync=options["fsync"],
    )


@hookimpl
def intermodal_log() -> LogBackend:
    return LogBackend(
        name="file",
        summary="a folder of checksummed records, flushed once for each batch before it is executed",
        open=_open,
        options=(
            attrs.evolve(LOG_ENTRIES, summary="changes that are kept in memory for the slowest replica"),
            Option(
                name="codec",
                types=(object,),
                default=None,
                summary="makes bytes of operations and structures; None: pickles",
            ),
            Option(
                name="fsync",
                types=(bool,),
                default=True,
                summary="whether a batch is flushed to the disk before it is executed",
            ),
        ),
    )
