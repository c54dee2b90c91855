"""The ``hopscotch`` backend: every entry within 32 slots of its home, which knows where.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, check_word_types, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_hopscotch._public import (
        HopscotchFloats,
        HopscotchIntegers,
        HopscotchKeys,
        HopscotchMap,
    )

__all__ = ["HopscotchFloats", "HopscotchIntegers", "HopscotchKeys", "HopscotchMap"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal_hopscotch._public import TYPED, HopscotchMap

    capacity = request.capacity or 0
    if check_word_types("hopscotch", request):
        typed: AnyMap = TYPED[request.value_type].with_capacity(capacity)
        return typed
    return HopscotchMap.with_capacity(capacity)


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
            key_types=("object", "int64"),
            value_types=("object", "int64", "float64", "none"),
        ),
        open=_open,
        rank=40,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_hopscotch import _public

    return getattr(_public, name)
