"""The log ``file``: what it has ends with no process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from intermodal.plugins import LogBackend, OpenedLog, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping


def _open(address: str, options: Mapping[str, Any]) -> OpenedLog:
    from intermodal.errors import OptionError
    from intermodal_nr.file_log import open_folder

    if not address:
        raise OptionError("a log in files wants a folder: log='file:///var/lib/books'")
    return open_folder(
        Path(address),
        codec=options.get("codec"),
        capacity=options.get("log_entries", 4096),
        fsync=options.get("fsync", True),
    )


@hookimpl
def intermodal_log() -> LogBackend:
    return LogBackend(
        name="file",
        summary="a folder of checksummed records, flushed once for each batch before it is executed",
        open=_open,
        options={
            "log_entries": "changes that are kept in memory for the slowest replica",
            "codec": "makes bytes of operations and structures; None: pickles",
            "fsync": "whether a batch is flushed to the disk before it is executed",
        },
    )
