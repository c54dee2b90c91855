"""The log ``memory``: for the replicas of one process.

What plugins of logs are: a hook that imports the log itself, ``memory_log``, when one is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal.plugins import LogBackend, OpenedLog, hookimpl
from intermodal_nr import LOG_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Mapping


def _open(address: str, options: Mapping[str, Any]) -> OpenedLog:
    from intermodal.errors import OptionError
    from intermodal_nr.memory_log import MemoryLog

    if address:
        raise OptionError(f"a log in memory has no address; got {address!r}")
    return OpenedLog(log=MemoryLog(options["log_entries"]))


@hookimpl
def intermodal_log() -> LogBackend:
    return LogBackend(
        name="memory",
        summary="a ring of objects in the memory of the process",
        open=_open,
        options=(LOG_ENTRIES,),
    )
