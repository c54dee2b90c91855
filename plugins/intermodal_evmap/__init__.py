"""The ``evmap`` backend: left-right, two copies, readers that never wait; several values for a key.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal.plugins import Capabilities, MapBackend, MapRequest, Option, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_evmap._public import EvMap, ReadGuard

__all__ = ["EvMap", "ReadGuard"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal_evmap._public import EvMap

    return EvMap.opened(request)


def _check_stalled(value: Any) -> None:
    if isinstance(value, str):
        if value not in {"clone", "wait"}:
            raise ValueError("it is 'clone', 'wait', or a number of seconds")
    elif not value >= 0:
        raise ValueError("a number of seconds is 0 or more")


def _check_every(value: int) -> None:
    if value < 0:
        raise ValueError("it is a number of writes, or 0: publish only when asked")


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="evmap",
        summary="left-right: readers never wait, writes are published together, several values for a key",
        capabilities=Capabilities(
            points="published",
            iteration="snapshot",
            length="exact",
            length_cost="O(1)",
            clear="atomic",
            lock_free_reads=True,
            multi_value=True,
            snapshot=True,
            handles=True,
        ),
        open=_open,
        options=(
            Option(
                name="publish_every",
                types=(int,),
                default=1,
                summary="publish after that many writes; 0: only when asked",
                check=_check_every,
            ),
            Option(
                name="on_stalled_reader",
                types=(str, int, float),
                default="clone",
                summary="what a writer does whose copy is still read: 'clone', 'wait', or seconds to wait",
                check=_check_stalled,
            ),
            Option(
                name="meta",
                types=(object,),
                default=None,
                summary="the datum published with the data",
            ),
        ),
        rank=200,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_evmap import _public

    return getattr(_public, name)
