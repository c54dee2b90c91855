"""The ``cnr`` backend: replicated dicts side by side, each with a log, and scans over all of them.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from intermodal.dispatch import LogMapper
from intermodal.plugins import (
    EngineBackend,
    MapBackend,
    MapRequest,
    Option,
    ReplicationRequest,
    hookimpl,
)
from intermodal_nr import BATCH, CAPABILITIES, CHECKED, LOG_ENTRIES, REPLICAS, check_positive

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_cnr._public import CnrMap

__all__ = ["CnrMap"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal_cnr._public import CnrMap

    return CnrMap.with_options(request.options)


OPTIONS = (
    REPLICAS,
    Option(name="logs", types=(int,), default=4, summary="number of logs", check=check_positive),
    Option(
        name="mapper",
        types=(LogMapper, type(None)),
        default=None,
        summary="says which log a key belongs to; None: by its hash",
    ),
    attrs.evolve(LOG_ENTRIES, summary="changes that each log keeps for the slowest replica"),
    BATCH,
)


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="cnr",
        summary="concurrent node replication: as nr, with several logs, so changes of different keys scale",
        capabilities=CAPABILITIES,
        open=_open,
        options=OPTIONS,
        rank=61,
    )


def _replicate(request: ReplicationRequest) -> object:
    from intermodal_cnr._objects import open_replicated

    return open_replicated(request)


@hookimpl
def intermodal_engine() -> EngineBackend:
    return EngineBackend(
        name="cnr",
        summary="concurrent node replication: several logs for operations that commute",
        open=_replicate,
        options=(BATCH, CHECKED),
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_cnr import _public

    return getattr(_public, name)
