"""The ``swiss`` backend: 16-slot groups, lock-free reads, incremental resize.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, check_word_types, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_swiss._public import SwissFloats, SwissIntegers, SwissKeys, SwissMap

__all__ = ["SwissFloats", "SwissIntegers", "SwissKeys", "SwissMap"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal import open_reclaimer
    from intermodal_swiss._public import TYPED, SwissMap

    reclaimer = None
    if request.reclaimer is not None:
        reclaimer = open_reclaimer(request.reclaimer)
        if not reclaimer.scheme.protects:
            reclaimer = None  # the map counts references itself
    capacity = request.capacity or 0
    if check_word_types("swiss", request):
        typed: AnyMap = TYPED[request.value_type].with_capacity(capacity, reclaimer)
        return typed
    return SwissMap.with_capacity(capacity, reclaimer)


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="swiss",
        summary="Swiss table: reads without locks, one short lock per written group, resizes in small steps",
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
            reclaimers=("refcount", "epoch", "hyaline"),
        ),
        open=_open,
        rank=10,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_swiss import _public

    return getattr(_public, name)
