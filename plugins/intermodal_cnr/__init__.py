"""The ``cnr`` backend: replicated dicts side by side, each with a log, and scans over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.dispatch import LogMapper
from intermodal.plugins import (
    Capabilities,
    EngineBackend,
    MapBackend,
    MapRequest,
    Option,
    ReplicationRequest,
    hookimpl,
)

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_cnr._public import CnrMap

__all__ = ["CnrMap"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal_cnr._public import CnrMap

    return CnrMap.with_options(request.options)


def _positive(value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError("it must be more than 0")


OPTIONS = (
    Option(
        name="replicas",
        types=(int, type(None)),
        default=None,
        summary="number of copies; None: as many as pay here",
        check=_positive,
    ),
    Option(name="logs", types=(int,), default=4, summary="number of logs", check=_positive),
    Option(
        name="mapper",
        types=(LogMapper, type(None)),
        default=None,
        summary="says which log a key belongs to; None: by its hash",
    ),
    Option(
        name="log_entries",
        types=(int,),
        default=4096,
        summary="changes that each log keeps for the slowest replica",
        check=_positive,
    ),
    Option(
        name="batch",
        types=(int,),
        default=256,
        summary="changes that one thread makes for others at once, at most",
        check=_positive,
    ),
)


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="cnr",
        summary="concurrent node replication: as nr, with several logs, so changes of different keys scale",
        capabilities=Capabilities(
            points="linearizable",
            iteration="snapshot",
            length="exact",
            length_cost="O(1)",
            clear="atomic",
            snapshot=True,
            handles=True,
        ),
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
        several_logs=True,
        options={
            "batch": "changes that one thread makes for others at once, at most",
            "checked": "whether to assert the logs' invariants after every step",
        },
    )


def __getattr__(name: str) -> object:
    if name != "CnrMap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_cnr import _public

    return _public.CnrMap
