"""The compiled engine: buckets are object slots, a bucket's chain is a tuple of (hash, key, value) entries.

A reader loads the chain, one atomic step, and searches what it then holds; nothing can change it any more. A
writer builds the chain that should follow and puts it in place of the one it searched, if that is still
there: ``object_compare_exchange`` is the only step that changes anything. The chain searched is referenced
meanwhile, so its address cannot come back as another chain.

Keys' ``__hash__`` and ``__eq__`` run here, on private tuples, ``__eq__`` only between keys of equal hash, as in
dict; destructors run after the step.
"""

from __future__ import annotations

from typing import Any, Final, cast, final

from mypy_extensions import i64

from intermodal.atomics import (
    hash_object,
    mix,
    object_compare_exchange,
    object_exchange,
    object_load,
    object_store,
)
from intermodal.memory import Block
from intermodal.plugins import ABSENT

BUCKETS: Final = 64

# A compiled module finds its own constants without a look-up in its dictionary.
_ABSENT: Final[object] = ABSENT
_EMPTY: Final[object] = ()

_Chain = tuple[tuple[int, Any, Any], ...]


@final
class Engine:
    """What the map is made of: a slot for each bucket.

    Nothing else is shared. A number of entries beside them would be a second step after the one that changes a
    bucket, and an exception that a signal handler raises between the two would leave it wrong for good.
    """

    def __init__(self) -> None:
        self._block: Final = Block(words=0, objects=BUCKETS)
        self._buckets: Final[i64] = self._block.objects_address
        bucket = self._buckets
        while bucket < self._buckets + BUCKETS * 8:
            object_store(bucket, _EMPTY)
            bucket += 8

    def _bucket(self, key_hash: i64) -> i64:
        return self._buckets + (mix(key_hash) & (BUCKETS - 1)) * 8

    def get(self, key: object, default: object) -> object:
        """Return the value of *key*, or *default*."""
        key_hash = hash_object(key)
        for stored_hash, stored, value in cast("_Chain", object_load(self._bucket(key_hash), _EMPTY)):
            if stored is key or (stored_hash == key_hash and stored == key):
                return cast("object", value)
        return default

    def compare_exchange(self, key: object, current: object, new: object) -> bool:
        """Let *key* have the value *new* if it has the value *current* (``is``), ABSENT for none."""
        key_hash = hash_object(key)
        bucket = self._bucket(key_hash)
        while True:
            chain = cast("_Chain", object_load(bucket, _EMPTY))
            old: object = _ABSENT
            rest: list[tuple[int, Any, Any]] = []
            for entry in chain:
                stored_hash, stored, value = entry
                if old is _ABSENT and (stored is key or (stored_hash == key_hash and stored == key)):
                    key, old = stored, value
                else:
                    rest.append(entry)
            if old is not current:
                return False
            if new is not _ABSENT:
                rest.append((key_hash, key, new))
            if object_compare_exchange(bucket, chain, tuple(rest)):
                return True

    def entries(self) -> list[tuple[Any, Any]]:
        """Return all entries, those of each bucket at one moment."""
        found: list[tuple[Any, Any]] = []
        bucket = self._buckets
        while bucket < self._buckets + BUCKETS * 8:
            found += [(key, value) for _, key, value in cast("_Chain", object_load(bucket, _EMPTY))]
            bucket += 8
        return found

    def clear(self) -> None:
        """Empty one bucket after the other, also of keys whose hash is another by now."""
        bucket = self._buckets
        while bucket < self._buckets + BUCKETS * 8:
            object_exchange(bucket, _EMPTY, _EMPTY)
            bucket += 8

    def length(self) -> int:
        """Return the number of entries; exact when no change is under way."""
        found = 0
        bucket = self._buckets
        while bucket < self._buckets + BUCKETS * 8:
            found += len(cast("_Chain", object_load(bucket, _EMPTY)))
            bucket += 8
        return found
