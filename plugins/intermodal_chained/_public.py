"""The classes that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.words import FLOATS, INTEGERS, KEYS_ONLY, WordView
from intermodal_chained._map import ChainedView
from intermodal_chained._state import FIXED_BUCKETS, ChainedState, buckets_for
from intermodal_chained._words import MINIMUM_HOMES, ChainedWordState, homes_with_room

if TYPE_CHECKING:
    from typing import Any, ClassVar

    from intermodal.tables import SharedState


class ChainedMap(ChainedView):
    __doc__ = ChainedView.__doc__

    @classmethod
    def with_capacity(cls, capacity: int) -> ChainedMap:
        """Return an empty map with room for *capacity* entries, below which it never shrinks."""
        return cls(ChainedState(buckets_for(capacity)))

    @classmethod
    def with_buckets(cls, buckets: int | None = None) -> ChainedMap:
        """Return an empty map with that many buckets, 524,288 if none are given, for ever."""
        return cls(ChainedState(max(buckets if buckets is not None else FIXED_BUCKETS, 1), fixed=True))


class _ChainedWords(WordView):
    __doc__ = WordView.__doc__

    kind: ClassVar[int]

    def _new_state(self) -> SharedState:
        return ChainedWordState(MINIMUM_HOMES, self.kind)

    @classmethod
    def with_capacity(cls, capacity: int) -> Any:
        """Return an empty map with room for *capacity* entries, below which it never shrinks."""
        return cls(ChainedWordState(homes_with_room(capacity), cls.kind))


class ChainedIntegers(_ChainedWords):
    __doc__ = _ChainedWords.__doc__
    kind = INTEGERS


class ChainedFloats(_ChainedWords):
    __doc__ = _ChainedWords.__doc__
    kind = FLOATS


class ChainedKeys(_ChainedWords):
    __doc__ = _ChainedWords.__doc__
    kind = KEYS_ONLY


#: The class for each type of values that a map with keys of 64-bit integers can have.
TYPED = {"int64": ChainedIntegers, "float64": ChainedFloats, "none": ChainedKeys}

# Pickles and messages name them as users do.
for _public in (ChainedMap, *TYPED.values()):
    _public.__module__ = "intermodal_chained"
