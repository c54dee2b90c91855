"""The classes that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.words import FLOATS, INTEGERS, KEYS_ONLY, WordView
from intermodal_hopscotch._map import HopscotchView
from intermodal_hopscotch._state import HopscotchState, homes_for
from intermodal_hopscotch._words import MINIMUM_HOMES, HopscotchWordState, homes_for_words

if TYPE_CHECKING:
    from typing import Any, ClassVar

    from intermodal.plugins import Reclaimer
    from intermodal.tables import SharedState


class HopscotchMap(HopscotchView):
    __doc__ = HopscotchView.__doc__

    @classmethod
    def with_capacity(cls, capacity: int) -> HopscotchMap:
        """Return an empty map with room for *capacity* entries, below which it never shrinks."""
        return cls(HopscotchState(homes_for(capacity)))


class _HopscotchWords(WordView):
    __doc__ = WordView.__doc__

    kind: ClassVar[int]

    def _new_state(self) -> SharedState:
        return HopscotchWordState(MINIMUM_HOMES, self.kind)

    @classmethod
    def with_capacity(cls, capacity: int, reclaimer: Reclaimer | None = None) -> Any:
        """Return an empty map with room for *capacity* entries, below which it never shrinks.

        *reclaimer*, if there is one, gets the tables that are replaced.
        """
        return cls(HopscotchWordState(homes_for_words(capacity), cls.kind, reclaimer))


class HopscotchIntegers(_HopscotchWords):
    __doc__ = _HopscotchWords.__doc__
    kind = INTEGERS


class HopscotchFloats(_HopscotchWords):
    __doc__ = _HopscotchWords.__doc__
    kind = FLOATS


class HopscotchKeys(_HopscotchWords):
    __doc__ = _HopscotchWords.__doc__
    kind = KEYS_ONLY


#: The class for each type of values that a map with keys of 64-bit integers can have.
TYPED = {"int64": HopscotchIntegers, "float64": HopscotchFloats, "none": HopscotchKeys}

# Pickles and messages name them as users do.
for _public in (HopscotchMap, *TYPED.values()):
    _public.__module__ = "intermodal_hopscotch"
