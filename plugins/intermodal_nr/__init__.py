"""The ``nr`` backend: a dict replicated by node replication, and the way to replicate any other structure.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

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


def check_positive(value: float | None) -> None:
    """Refuse what is not more than 0."""
    if value is not None and value <= 0:
        raise ValueError("it must be more than 0")


REPLICAS = Option(
    name="replicas",
    types=(int, type(None)),
    default=None,
    summary="number of copies; None: as many as pay here",
    check=check_positive,
)
LOG_ENTRIES = Option(
    name="log_entries",
    types=(int,),
    default=4096,
    summary="changes that the log keeps for the slowest replica",
    check=check_positive,
)
BATCH = Option(
    name="batch",
    types=(int,),
    default=256,
    summary="changes that one thread makes for others at once, at most",
    check=check_positive,
)
EVICT_AFTER = Option(
    name="evict_after",
    types=(int, float, type(None)),
    default=None,
    summary="seconds that a stuck replica may hold the log up; None: as long as it is stuck",
    check=check_positive,
)
CHECKED = Option(
    name="checked",
    types=(bool,),
    default=False,
    summary="whether to assert the invariants of logs after every step",
)

#: What replicated dicts promise, whatever the number of their logs.
CAPABILITIES = Capabilities(
    points="linearizable",
    iteration="snapshot",
    length="exact",
    length_cost="O(1)",
    clear="atomic",
    snapshot=True,
    handles=True,
)


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="nr",
        summary="node replication: a dict for each replica, changes combined and ordered by one log",
        capabilities=CAPABILITIES,
        open=_open,
        options=(REPLICAS, LOG_ENTRIES, BATCH, EVICT_AFTER),
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
        options=(
            BATCH,
            EVICT_AFTER,
            Option(
                name="place",
                types=(str,),
                default="numa",
                summary="where replicas live: 'numa', each on a node of the machine, or 'anywhere'",
            ),
            CHECKED,
        ),
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_nr import _public

    return getattr(_public, name)
