"""``EvView.bags``: the map as the original, the Rust crate evmap, has it: of keys and bags of values.

May import only core's public names and this package.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, final

from intermodal.atomics import hash_object, mix
from intermodal_evmap._bags import EMPTY_BAG, Bag, bag_of, index_of, values_of
from intermodal_evmap._map import exchange_content, look, read, read_word, write
from intermodal_evmap._pin import entries_of
from intermodal_evmap._state import ALWAYS, DONE, REMOVE
from intermodal_evmap._table import GROUP_SLOTS, KEYS, NOTHING, VALUES, groups_for

if TYPE_CHECKING:
    from intermodal_evmap._map import EvView

_NOTHING: Final[object] = NOTHING


@final
class ValueBags:
    """An evmap as one of keys and bags of values: equal values are counted, and their order means nothing.

    The operations are those of the original, under its names. Reading shows the published state. A key may be
    there without a value.
    """

    def __init__(self, view: EvView) -> None:
        self._view: Final = view

    # ---- reading ------------------------------------------------------------------------------------------

    def get(self, key: Any) -> tuple[Any, ...] | None:
        """Return the values of *key*; None if it is not there."""
        content = read(self._view, key, _NOTHING)
        return None if content is _NOTHING else values_of(content)

    def get_one(self, key: Any, default: Any = None) -> Any:
        """Return one of the values of *key*, or *default* if it has none."""
        return self._view.get(key, default)

    def contains_key(self, key: Any) -> bool:
        """Return whether *key* is there, with or without a value."""
        return read(self._view, key, _NOTHING) is not _NOTHING

    def contains_value(self, key: Any, value: Any) -> bool:
        """Return whether *key* has a value that is, or equals, *value*."""
        content = read(self._view, key, _NOTHING)
        return content is not _NOTHING and index_of(content, value) >= 0

    def __contains__(self, key: object) -> bool:
        return self.contains_key(key)

    def __len__(self) -> int:
        """Return the number of keys, those without a value included."""
        return int(read_word(self._view, KEYS))

    def value_count(self) -> int:
        """Return the number of values of all keys."""
        return int(read_word(self._view, VALUES))

    def items(self) -> list[tuple[Any, tuple[Any, ...]]]:
        """Return all keys with their values, of one moment."""
        entries = entries_of(self._view._shared_state())
        return [(entries[at], values_of(entries[at + 1])) for at in range(0, len(entries), 2)]

    def __iter__(self) -> Iterator[Any]:
        entries = entries_of(self._view._shared_state())
        return iter([entries[at] for at in range(0, len(entries), 2)])

    # ---- writing ------------------------------------------------------------------------------------------

    def insert(self, key: Any, value: Any) -> None:
        """Add *value* to the values of *key*."""
        self._view.add(key, value)

    def extend(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Insert each of *pairs*; published together."""
        with self._view.writing():
            for key, value in list(pairs):
                self._view.add(key, value)

    def update(self, key: Any, value: Any) -> None:
        """Let *value* be the only value of *key*."""
        self._view[key] = value

    def clear(self, key: Any) -> None:
        """Take all values of *key* away; it stays, and is put in if it was not there."""
        write(self._view, key, ALWAYS, None, EMPTY_BAG)

    def remove_value(self, key: Any, value: Any) -> bool:
        """Take away one value of *key* that is, or equals, *value*; return whether there was one."""
        return self._view.remove_value(key, value)

    def remove_entry(self, key: Any) -> bool:
        """Take *key* away with all its values; return whether it was there."""
        return write(self._view, key, ALWAYS, None, REMOVE)[0] == DONE

    def purge(self) -> None:
        """Take everything away, in one step."""
        self._view.clear()

    def retain(self, key: Any, predicate: Callable[[Any], object]) -> int:
        """Keep only the values of *key* of which ``predicate(value)`` is true; return how many went.

        One step. *predicate* is called once for each value, or again if the values change meanwhile.
        """
        view = self._view
        key_hash = hash_object(key)
        while True:
            content = look(view, key, key_hash)
            if content is _NOTHING:
                return 0
            values = values_of(content)
            kept = tuple([value for value in values if predicate(value)])
            if len(kept) == len(values):
                return 0
            if exchange_content(view, key, key_hash, content, bag_of(kept)):
                return len(values) - len(kept)

    def empty_random(self, count: int, generator: Any = None) -> list[tuple[Any, tuple[Any, ...]]]:
        """Publish; then take *count* keys away, chosen at random, and return them with their values.

        To be used where a cache must shed load. Fewer, if there are not so many. The readers go on seeing
        them until the next publication.
        """
        choose = generator or random
        state = self._view._shared_state()
        state.publish()
        victims: list[tuple[Any, tuple[Any, ...]]] = []
        while len(victims) < count:
            slots = int(state.spare.groups * GROUP_SLOTS)
            key, content, key_hash = state.any_entry(choose.randrange(slots))
            if key is _NOTHING:
                break
            if state.remove_identical(mix(key_hash), key_hash, key, content, False):
                victims.append((key, values_of(content)))
        state.publish_if_due()
        return victims

    # ---- memory -------------------------------------------------------------------------------------------

    def fit(self, key: Any) -> None:
        """Let the values of *key* take no more memory than they need; they never do by more than a chunk."""
        key_hash = hash_object(key)
        content = look(self._view, key, key_hash)
        if isinstance(content, Bag):
            exchange_content(self._view, key, key_hash, content, bag_of(content.values()))

    def fit_all(self) -> None:
        """Let the copies be as small as their entries allow."""
        state = self._view._shared_state()
        state.resize_to(1)

    def reserve(self, key: Any, additional: int) -> None:
        """Be told that *key* is about to get that many values more; bags grow by chunks, so it is no use."""
        self.contains_key(key)
        if additional < 0:
            raise ValueError(f"there is no room for {additional} values")

    def reserve_keys(self, additional: int) -> None:
        """Make room for that many keys more, so that adding them enlarges nothing."""
        state = self._view._shared_state()
        state.resize_to(groups_for(len(self) + additional))
