"""The classes that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.words import FLOATS, INTEGERS, KEYS_ONLY, WordView
from intermodal_swiss._map import SwissView
from intermodal_swiss._state import SwissState, groups_for
from intermodal_swiss._words import SwissWordState

if TYPE_CHECKING:
    from typing import Any, ClassVar

    from intermodal.plugins import Reclaimer
    from intermodal.tables import SharedState


class SwissMap(SwissView):
    __doc__ = SwissView.__doc__

    @classmethod
    def with_capacity(cls, capacity: int, reclaimer: Reclaimer | None = None) -> SwissMap:
        """Return an empty map with room for *capacity* entries, below which it never shrinks.

        *reclaimer*, if there is one, protects what is retired; without one references are counted.
        """
        return cls(SwissState(groups_for(capacity), reclaimer))


class _SwissWords(WordView):
    __doc__ = WordView.__doc__

    kind: ClassVar[int]

    def _new_state(self) -> SharedState:
        return SwissWordState(1, self.kind)

    @classmethod
    def with_capacity(cls, capacity: int, reclaimer: Reclaimer | None = None) -> Any:
        """Return an empty map with room for *capacity* entries, below which it never shrinks.

        *reclaimer*, if there is one, gets the tables that are replaced.
        """
        return cls(SwissWordState(groups_for(capacity), cls.kind, reclaimer))


class SwissIntegers(_SwissWords):
    __doc__ = _SwissWords.__doc__
    kind = INTEGERS


class SwissFloats(_SwissWords):
    __doc__ = _SwissWords.__doc__
    kind = FLOATS


class SwissKeys(_SwissWords):
    __doc__ = _SwissWords.__doc__
    kind = KEYS_ONLY


#: The class for each type of values that a map with keys of 64-bit integers can have.
TYPED = {"int64": SwissIntegers, "float64": SwissFloats, "none": SwissKeys}

# Pickles and messages name them as users do.
for _public in (SwissMap, *TYPED.values()):
    _public.__module__ = "intermodal_swiss"
