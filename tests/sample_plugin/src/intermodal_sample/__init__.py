"""The ``sample`` backend: a fixed number of buckets, each an immutable tuple behind one atomic reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap


def _open(request: MapRequest) -> AnyMap:
    from intermodal_sample._map import SampleMap  # only now: listing backends imports this module

    return SampleMap()


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="sample",
        summary="64 buckets, each an immutable tuple that is replaced by compare-and-exchange",
        capabilities=Capabilities(
            points="linearizable",
            iteration="weak",
            length="settled",
            length_cost="O(1)",
            clear="stepwise",
            lock_free_reads=True,
        ),
        open=_open,
        rank=900,
    )
