"""The ``hopscotch`` backend: every entry within 32 slots of its home, which knows where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_hopscotch._public import HopscotchMap

__all__ = ["HopscotchMap"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal_hopscotch._public import HopscotchMap

    return HopscotchMap.with_capacity(request.capacity or 0)


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="hopscotch",
        summary="hopscotch hashing: each entry within 32 slots of its home, one word per home tells which",
        capabilities=Capabilities(
            points="linearizable",
            iteration="each_once",
            length="settled",
            length_cost="O(1)",
            clear="stepwise",
            lock_free_reads=True,
            handles=True,
        ),
        open=_open,
        rank=40,
    )


def __getattr__(name: str) -> object:
    if name != "HopscotchMap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_hopscotch import _public

    return _public.HopscotchMap
