"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from intermodal_hopscotch._map import HopscotchView
from intermodal_hopscotch._state import HopscotchState, homes_for


class HopscotchMap(HopscotchView):
    __doc__ = HopscotchView.__doc__

    @classmethod
    def with_capacity(cls, capacity: int) -> HopscotchMap:
        """Return an empty map with room for *capacity* entries, below which it never shrinks."""
        return cls(HopscotchState(homes_for(capacity)))


# Pickles and messages name it as users do.
HopscotchMap.__module__ = "intermodal_hopscotch"
