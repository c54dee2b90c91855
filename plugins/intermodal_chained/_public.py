"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from intermodal_chained._map import ChainedView
from intermodal_chained._state import FIXED_BUCKETS, ChainedState, buckets_for


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


# Pickles and messages name it as users do.
ChainedMap.__module__ = "intermodal_chained"
