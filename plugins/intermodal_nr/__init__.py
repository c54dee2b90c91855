"""The ``nr`` backend: a dict replicated by node replication, and the way to replicate any other structure."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from intermodal_nr._public import NrMap

__all__ = ["NrMap"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal_nr._public import NrMap

    return NrMap.with_options(request.options)


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
    Option(
        name="log_entries",
        types=(int,),
        default=4096,
        summary="changes that the log keeps for the slowest replica",
        check=_positive,
    ),
    Option(
        name="batch",
        types=(int,),
        default=256,
        summary="changes that one thread makes for others at once, at most",
        check=_positive,
    ),
    Option(
        name="evict_after",
        types=(int, float, type(None)),
        default=None,
        summary="seconds that a stuck replica may hold the log up; None: as long as it is stuck",
        check=_positive,
    ),
)


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="nr",
        summary="node replication: a dict for each replica, changes combined and ordered by one log",
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
        rank=60,
    )


def _replicate(request: ReplicationRequest) -> object:
    from intermodal_nr.objects import open_replicated

    return open_replicated(request)


@hookimpl
def intermodal_engine() -> EngineBackend:
    return EngineBackend(
        name="nr",
        summary="node replication: copies that combining threads keep up to date from one log",
        open=_replicate,
        options={
            "batch": "changes that one thread makes for others at once, at most",
            "evict_after": "seconds that a stuck replica may hold the log up; None: as long as it is stuck",
            "place": "where replicas live: 'numa', each on a node of the machine, or 'anywhere'",
            "checked": "whether to assert the log's invariants after every step",
        },
    )


def __getattr__(name: str) -> object:
    if name != "NrMap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_nr import _public

    return _public.NrMap
