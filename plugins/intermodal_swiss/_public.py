"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal_swiss._map import SwissView
from intermodal_swiss._state import SwissState, groups_for

if TYPE_CHECKING:
    from intermodal.plugins import Reclaimer


class SwissMap(SwissView):
    __doc__ = SwissView.__doc__

    @classmethod
    def with_capacity(cls, capacity: int, reclaimer: Reclaimer | None = None) -> SwissMap:
        """Return an empty map with room for *capacity* entries, below which it never shrinks.

        *reclaimer*, if there is one, protects what is retired; without one references are counted.
        """
        return cls(SwissState(groups_for(capacity), reclaimer))


# Pickles and messages name it as users do.
SwissMap.__module__ = "intermodal_swiss"
