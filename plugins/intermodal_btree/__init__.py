"""The ``btree`` backend: a B+ tree in key order, lock-free reads, one short lock per written leaf.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_btree._public import BTreeMap

__all__ = ["BTreeMap"]


def _open(request: MapRequest) -> AnyMap:  # noqa: ARG001  (a tree needs no capacity)
    from intermodal_btree._public import BTreeMap

    return BTreeMap()


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="btree",
        summary="B+ tree: keys in order, ranges, neighbours; reads without locks, one lock per written leaf",
        capabilities=Capabilities(
            points="linearizable",
            iteration="each_once",
            length="settled",
            length_cost="O(1)",
            clear="atomic",
            lock_free_reads=True,
            ordered=True,
            snapshot=True,
            handles=True,
        ),
        open=_open,
        rank=60,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_btree import _public

    return getattr(_public, name)
