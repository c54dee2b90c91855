"""The ``trie`` backend: a hash trie without locks, and snapshots in constant time.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_trie._public import TrieMap, TrieSnapshot

__all__ = ["TrieMap", "TrieSnapshot"]


def _open(request: MapRequest) -> AnyMap:  # noqa: ARG001  (nothing is ever resized)
    from intermodal_trie._public import TrieMap

    return TrieMap()


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="trie",
        summary="hash trie: no locks at all, snapshots in a microsecond, everything of one moment",
        capabilities=Capabilities(
            points="linearizable",
            iteration="snapshot",
            length="exact",
            length_cost="O(n)",
            clear="atomic",
            lock_free_reads=True,
            snapshot=True,
            handles=True,
        ),
        open=_open,
        rank=30,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_trie import _public

    return getattr(_public, name)
