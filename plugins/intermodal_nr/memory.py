"""The log ``memory``: for the replicas of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal.plugins import LogBackend, OpenedLog, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping


def _open(address: str, options: Mapping[str, Any]) -> OpenedLog:
    from intermodal.errors import OptionError
    from intermodal_nr.memory_log import MemoryLog

    if address:
        raise OptionError(f"a log in memory has no address; got {address!r}")
    return OpenedLog(log=MemoryLog(options.get("log_entries", 4096)))


@hookimpl
def intermodal_log() -> LogBackend:
    return LogBackend(
        name="memory",
        summary="a ring of objects in the memory of the process",
        open=_open,
        options={"log_entries": "changes that the log keeps for the slowest replica"},
    )
