"""The classes that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal_evmap._guard import ReadGuard
from intermodal_evmap._map import EvView
from intermodal_evmap._state import CLONE, TIMEOUT, WAIT, EvMapState

if TYPE_CHECKING:
    from intermodal.plugins import MapRequest


__all__ = ["EvMap", "ReadGuard"]


class EvMap(EvView):
    __doc__ = EvView.__doc__

    @classmethod
    def opened(cls, request: MapRequest) -> EvMap:
        """Return an empty map as requested of ``open_map``."""
        policy, patience = policy_of(request.options["on_stalled_reader"])
        return cls(
            EvMapState(
                request.capacity or 0,
                policy,
                patience,
                request.options["publish_every"],
                request.options["meta"],
            )
        )


def policy_of(option: Any) -> tuple[int, float]:
    """Return the policy, and the seconds of patience, that the value of ``on_stalled_reader`` means."""
    if option == "clone":
        return CLONE, 0.0
    if option == "wait":
        return WAIT, 0.0
    return TIMEOUT, float(option)


# Pickles and messages name them as users do.
EvMap.__module__ = "intermodal_evmap"
ReadGuard.__module__ = "intermodal_evmap"
