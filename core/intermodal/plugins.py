"""What the author of a backend imports.

A plugin is a distribution with an entry point in the group ``intermodal.maps`` whose name is the backend's::

    [project.entry-points."intermodal.maps"]
    mine = "intermodal_mine"

and the module it names implements the hook::

    from intermodal.plugins import Capabilities, ConcurrentMap, MapBackend, MapRequest, hookimpl


    def _open(request: MapRequest) -> ConcurrentMap:
        from intermodal_mine._map import MyMap  # only now: listing backends loads this module

        return MyMap()


    @hookimpl
    def intermodal_map_backend() -> MapBackend:
        return MapBackend(name="mine", summary="...", capabilities=Capabilities(...), open=_open)

A reclaimer is the same under ``intermodal.reclaimers``, with the hook ``intermodal_reclaimer`` that returns a
:class:`ReclaimerBackend`.

What replicates structures, and kinds of logs, are under ``intermodal.engines`` and ``intermodal.logs``, with
the hooks ``intermodal_engine`` and ``intermodal_log``.

The names of the contract itself are loaded on first use, so that importing this module stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.capabilities import (
    Capabilities,
    MapBackend,
    MapRequest,
    Option,
    ReclaimerBackend,
    check_word_types,
)
from intermodal.hookspecs import hookimpl
from intermodal.replication import EngineBackend, LogBackend, OpenedLog, ReplicationRequest

if TYPE_CHECKING:
    from intermodal._absent import ABSENT
    from intermodal.maps import ConcurrentMap
    from intermodal.reclamation import Reclaimer
    from intermodal.statistics import MapStatistics

__all__ = [
    "ABSENT",
    "Capabilities",
    "ConcurrentMap",
    "EngineBackend",
    "LogBackend",
    "MapBackend",
    "MapRequest",
    "MapStatistics",
    "OpenedLog",
    "Option",
    "Reclaimer",
    "ReclaimerBackend",
    "ReplicationRequest",
    "check_word_types",
    "hookimpl",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import intermodal

    return getattr(intermodal, name)
