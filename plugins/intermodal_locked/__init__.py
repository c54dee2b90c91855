"""The ``locked`` backend: dict behind one lock, the honest baseline and the model of the smallest plugin.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_locked._public import LockedMap

__all__ = ["LockedMap"]


def _open(request: MapRequest) -> AnyMap:  # noqa: ARG001  (a dict cannot be told its size)
    from intermodal_locked._public import LockedMap

    return LockedMap()


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="locked",
        summary="dict behind one lock: every operation is one step, threads take turns",
        capabilities=Capabilities(
            points="linearizable",
            iteration="snapshot",
            length="exact",
            length_cost="O(1)",
            clear="atomic",
            snapshot=True,
            callbacks_once=True,
        ),
        open=_open,
        rank=50,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_locked import _public

    return getattr(_public, name)
