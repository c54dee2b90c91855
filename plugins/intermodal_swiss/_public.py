"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from intermodal_swiss._map import SwissView
from intermodal_swiss._state import SharedState, groups_for


class SwissMap(SwissView):
    __doc__ = SwissView.__doc__

    @classmethod
    def with_capacity(cls, capacity: int) -> SwissMap:
        """Return an empty map with room for *capacity* entries, below which it never shrinks."""
        return cls(SharedState(groups_for(capacity)))


# Pickles and messages name it as users do.
SwissMap.__module__ = "intermodal_swiss"
