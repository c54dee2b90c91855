"""The B+ tree's operations, for the map itself and its handles: the facade over ``_state`` and ``_scan``.

Both are *views* of a shared state, and keep the address of its words. Nothing inside is counted by an
operation but the keys and values that it looks at, so what threads without handles contend for is the count
of the view itself.

The memory of nodes lives as long as the state, and a view, unless it is closed, keeps the state.

May import only core's public names and this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import OTHER_KEY, hash_object, key_kind, key_word, reachability_fence
from intermodal.maps import ConcurrentMap, check_value, sole_argument, unusable
from intermodal.statistics import MapStatistics
from intermodal_btree._node import EMPTY
from intermodal_btree._scan import (
    KEYS,
    OPEN,
    PAIRS,
    VALUES,
    Bound,
    LeafLists,
    Scan,
    entry_at,
    index_of,
    nearest,
    remove_scan,
    take_nearest,
)
from intermodal_btree._state import BTreeState
from intermodal_btree._tree import (
    ALWAYS,
    DONE_INSERTED,
    DONE_REMOVED,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    MISSING,
    REFUSED,
    REMOVE,
    RETRY_READ,
    descend,
    is_thin,
    read,
    write,
)
from intermodal_btree._views import SortedEntriesView, SortedKeysView, SortedValuesView

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_ABSENT: Final[object] = ABSENT


@mypyc_attr(allow_interpreted_subclasses=True)
class BTreeView(ConcurrentMap):
    """A map in the order of its keys: a B+ tree, reads take no lock, writes lock one leaf.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Keys must be hashable and have a total order by ``<`` that agrees with ``==``; what cannot be compared
    raises TypeError and changes nothing. Keys that are exactly int or str are compared without calls.

    Operations on one key, the first, last and nearest entries included, are linearizable. Keys' methods,
    callbacks and destructors run under no lock, so they may use this map; a callback may be called again if
    the entry changes meanwhile. Iteration, ascending or descending, yields every entry that is there
    throughout exactly once and no key twice; the entries of a leaf, up to 62 neighbours, are those of one
    moment. ``len`` is exact when no insertion or removal is under way. ``snapshot()`` is of one moment.

    One-key operations take O(log n) time, positions (``peekitem``, ``bisect_left``, indexing a view)
    O(n / 50); iteration O(1) an entry.

    What users of sortedcontainers.SortedDict know is here under the same names, but for key functions.

    >>> from intermodal_btree import BTreeMap
    >>> m = BTreeMap({"b": 2, "a": 1}, c=3)
    >>> m, m.first(), m.floor("bb"), list(m.range("b"))
    ({'a': 1, 'b': 2, 'c': 3}, ('a', 1), ('b', 2), [('b', 2), ('c', 3)])
    """

    _shared: i64 = 0
    _closed: bool = False
    _state: BTreeState | None = None

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if data and isinstance(data[0], BTreeState):  # a view of an existing map: handle()
            self._adopt(data[0])
            return
        if self._state is None:  # a second call, like dict's, only updates
            self._adopt(BTreeState())
        self.update(sole_argument(type(self).__name__, data), **entries)

    def _adopt(self, state: BTreeState) -> None:
        if self._state is None:
            self._state = state
            self._shared = state.shared

    def _shared_state(self) -> BTreeState:
        state = self._state
        if self._closed or state is None:
            raise unusable(self, self._closed)
        return state

    # ---- one key ----------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        kind = key_kind(key)
        if kind != OTHER_KEY and self._shared != 0:
            value: object = read(self._shared, key, kind, key_word(key, 0), MISSING)
            if value is MISSING:
                raise KeyError(key)
            if value is not RETRY_READ:
                return value
        value = read_otherwise(self, key, kind, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        kind = key_kind(key)
        if kind != OTHER_KEY and self._shared != 0:
            value: object = read(self._shared, key, kind, key_word(key, 0), default)
            if value is not RETRY_READ:
                return value
        return read_otherwise(self, key, kind, default)

    def __contains__(self, key: object) -> bool:
        return self.get(key, MISSING) is not MISSING

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        write_entry(self, key, ALWAYS, None, value)

    def __delitem__(self, key: Any) -> None:
        if write_entry(self, key, IF_PRESENT, None, REMOVE)[0] == REFUSED:
            raise KeyError(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        result, value = write_entry(self, key, IF_PRESENT, None, REMOVE)
        if result != REFUSED:
            return value
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def setdefault(self, key: Any, default: Any = None) -> Any:
        check_value(default)
        result, present = write_entry(self, key, IF_ABSENT, None, default)
        return present if result == REFUSED else default

    def insert(self, key: Any, value: Any) -> bool:
        check_value(value)
        return write_entry(self, key, IF_ABSENT, None, value)[0] == DONE_INSERTED

    def upsert(self, key: Any, value: Any, default: Any = None) -> Any:
        """Set the entry of *key* whether there is one or not; return the old value, *default* if none."""
        check_value(value)
        result, old = write_entry(self, key, ALWAYS, None, value)
        return default if result == DONE_INSERTED else old

    def replace(self, key: Any, value: Any) -> Any:
        check_value(value)
        result, old = write_entry(self, key, IF_PRESENT, None, value)
        if result == REFUSED:
            raise KeyError(key)
        return old

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if current is not _ABSENT:
            new = REMOVE if new is _ABSENT else new
            return write_entry(self, key, IF_IDENTICAL, current, new)[0] != REFUSED
        if new is _ABSENT:
            return self.get(key, MISSING) is MISSING
        return write_entry(self, key, IF_ABSENT, None, new)[0] == DONE_INSERTED

    # ---- ends and neighbours ----------------------------------------------------------------------------

    def first(self) -> Any:
        """Return the entry with the least key as (key, value), None if the map is empty."""
        return neighbour(self, OPEN, OPEN, False)

    def last(self) -> Any:
        """Return the entry with the greatest key as (key, value), None if the map is empty."""
        return neighbour(self, OPEN, OPEN, True)

    def floor(self, key: Any) -> Any:
        """Return the entry with the greatest key that is not greater than *key*, None if there is none."""
        return neighbour(self, OPEN, Bound(key, True), True)

    def ceiling(self, key: Any) -> Any:
        """Return the entry with the least key that is not less than *key*, None if there is none."""
        return neighbour(self, Bound(key, True), OPEN, False)

    def lower(self, key: Any) -> Any:
        """Return the entry with the greatest key that is less than *key*, None if there is none."""
        return neighbour(self, OPEN, Bound(key, False), True)

    def higher(self, key: Any) -> Any:
        """Return the entry with the least key that is greater than *key*, None if there is none."""
        return neighbour(self, Bound(key, False), OPEN, False)

    def pop_first(self) -> Any:
        """Remove the entry with the least key and return it as (key, value). One step.

        Raises: KeyError if the map is empty.
        """
        return take(self, False, "pop_first")

    def pop_last(self) -> Any:
        """Remove the entry with the greatest key and return it as (key, value). One step.

        Raises: KeyError if the map is empty.
        """
        return take(self, True, "pop_last")

    def popitem(self, index: int = -1) -> Any:
        """Remove the entry at *index*, by default the last one, and return it as (key, value). One step.

        Raises: KeyError if the map is empty; IndexError if it has no such entry.
        """
        if index == -1:
            return take(self, True, "popitem")
        if index == 0:
            return take(self, False, "popitem")
        while True:
            if len(self) == 0:
                raise KeyError("popitem(): map is empty")
            key, value = self.peekitem(index)
            if self._compare_exchange(key, value, _ABSENT):
                return key, value

    # ---- ranges -----------------------------------------------------------------------------------------

    def range(self, start: Any = None, stop: Any = None, reverse: bool = False) -> Iterator[tuple[Any, Any]]:
        """Iterate over the entries with *start* <= key < *stop* as (key, value), in order, or in *reverse*.

        None stands for no limit. What it yields beside changes is what iteration yields.

        >>> list(BTreeView({1: "a", 2: "b", 3: "c"}).range(1, 3, reverse=True))
        [(2, 'b'), (1, 'a')]
        """
        return entries_of(self, bound_at(start, True), bound_at(stop, False), reverse, PAIRS)

    def irange(
        self,
        minimum: Any = None,
        maximum: Any = None,
        inclusive: tuple[bool, bool] = (True, True),
        reverse: bool = False,
    ) -> Iterator[Any]:
        """Iterate over the keys from *minimum* to *maximum*, themselves as *inclusive* says."""
        return entries_of(
            self, bound_at(minimum, inclusive[0]), bound_at(maximum, inclusive[1]), reverse, KEYS
        )

    def remove_range(self, start: Any = None, stop: Any = None) -> int:
        """Remove the entries with *start* <= key < *stop*; return how many there were.

        Those of one leaf go in one step; an entry inserted meanwhile may stay or go.
        """
        state = self._shared_state()
        return int(remove_scan(Scan(state, bound_at(start, True), bound_at(stop, False), False)))

    # ---- positions --------------------------------------------------------------------------------------

    def peekitem(self, index: int = -1) -> Any:
        """Return the entry at *index* in the order of keys, by default the last one, as (key, value).

        Raises: IndexError if there is no such entry. Complexity: O(log n) at the ends, else O(n / 50).
        """
        found: object = EMPTY
        state = self._shared_state()
        if index == -1 or index == 0:
            found = nearest(state, OPEN, OPEN, index == -1)
        elif index > 0 or index + len(self) >= 0:
            found = entry_at(state, index if index > 0 else index + len(self))
        reachability_fence(state)
        if found is EMPTY:
            raise IndexError(f"no entry at index {index} of {len(self)}")
        return found

    def bisect_left(self, key: Any) -> int:
        """Return the number of keys less than *key*. Complexity: O(n / 50)."""
        return int(index_of(self._shared_state(), Bound(key, False)))

    def bisect_right(self, key: Any) -> int:
        """Return the number of keys less than or equal to *key*. Complexity: O(n / 50)."""
        return int(index_of(self._shared_state(), Bound(key, True)))

    def bisect(self, key: Any) -> int:
        """Return the number of keys less than or equal to *key*, as bisect_right."""
        return self.bisect_right(key)

    def index(self, key: Any, start: int | None = None, stop: int | None = None) -> int:
        """Return the position of *key*, which has to be at *start* or later, and before *stop*.

        Raises: ValueError if it is not there.
        """
        first, last, _ = slice(start, stop).indices(len(self))
        if key in self:
            index = self.bisect_left(key)
            if first <= index < last:
                return index
        raise ValueError(f"{key!r} is not in the map between {first} and {last}")

    def islice(
        self, start: int | None = None, stop: int | None = None, reverse: bool = False
    ) -> Iterator[Any]:
        """Iterate over the keys at positions *start* to *stop*, as a slice would choose them."""
        first, last, _ = slice(start, stop).indices(len(self))
        return part(self, first, last, reverse, KEYS)

    # ---- the whole map ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return max(int(self._shared_state().entries()), 0)

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return entries_of(self, OPEN, OPEN, False, PAIRS)

    def __iter__(self) -> Iterator[Any]:
        return entries_of(self, OPEN, OPEN, False, KEYS)

    def __reversed__(self) -> Iterator[Any]:
        return entries_of(self, OPEN, OPEN, True, KEYS)

    def _entries(self, wanted: str, reverse: bool) -> Iterator[Any]:
        """Iterate over what a view shows; for ``_views``."""
        kind = KEYS if wanted == "keys" else VALUES if wanted == "values" else PAIRS
        return entries_of(self, OPEN, OPEN, reverse, kind)

    def _part(self, wanted: str, start: int, stop: int) -> list[Any]:
        """Return what a view shows at positions *start* to *stop*."""
        kind = KEYS if wanted == "keys" else VALUES if wanted == "values" else PAIRS
        return list(part(self, start, stop, False, kind))

    def keys(self) -> Any:
        """Return a live, set-like, indexable view of the keys."""
        return SortedKeysView(self)

    def values(self) -> Any:
        """Return a live, indexable view of the values."""
        return SortedValuesView(self)

    def items(self) -> Any:
        """Return a live, set-like, indexable view of the (key, value) pairs."""
        return SortedEntriesView(self)

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the entries of one moment, in the order of keys.

        Writers wait meanwhile, readers do not. Complexity: O(n).
        """
        state = self._shared_state()
        flat: list[object] = []
        state.freeze(flat)
        reachability_fence(state)
        return MappingProxyType(dict(zip(flat[::2], flat[1::2], strict=True)))

    def clear(self) -> None:
        """Remove all entries at one instant; then they are dropped, one by one."""
        self._shared_state().clear()

    def statistics(self) -> MapStatistics:
        return self._shared_state().statistics()

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self._shared_state().memory_bytes()

    # ---- handles ----------------------------------------------------------------------------------------

    def handle(self) -> BTreeView:
        """Return a view of this map for the calling thread, whose reference count no other thread touches."""
        return BTreeHandle(self._shared_state())

    def _check(self) -> None:
        self._shared_state().check()


@final
class BTreeHandle(BTreeView):
    """A view of a B+ tree for the thread that made it."""

    def close(self) -> None:
        """Let any later use raise ValueError. The map is let go when the handle is."""
        self._closed = True
        self._shared = 0


# ---- functions, since calls of methods on an interpreted subclass, as the public map is, are looked up -----


def read_otherwise(view: BTreeView, key: object, kind: i64, fallback: object) -> object:
    """Return the value of *key* or *fallback*, where it takes user code."""
    state = view._shared_state()
    word: i64 = 0
    if kind == OTHER_KEY:
        hash_object(key)
    else:
        word = key_word(key, 0)
    return state.read_slowly(key, kind, word, fallback)


def write_entry(
    view: BTreeView, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Change the entry of *key* if the condition holds: (result, previous value); never RETRY or NO_ROOM."""
    kind = key_kind(key)
    word: i64 = 0
    if kind == OTHER_KEY:
        hash_object(key)
    else:
        word = key_word(key, 0)
        shared = view._shared
        if shared != 0:
            result, previous = write(shared, key, kind, word, condition, expected, new)
            if DONE_INSERTED <= result <= REFUSED:
                if result == DONE_REMOVED:
                    leaf, meta = descend(shared, key, kind, word)
                    if leaf == 0 or is_thin(meta, view._shared_state().most):
                        view._shared_state().thin_out(key, kind, word)
                return result, previous
    return view._shared_state().write_slowly(key, kind, word, condition, expected, new)


def bound_at(key: object, inclusive: bool) -> Bound:
    """Return the bound that an argument of a range stands for."""
    return OPEN if key is None else Bound(key, inclusive)


def entries_of(view: BTreeView, begin: Bound, end: Bound, reverse: bool, wanted: int) -> Iterator[Any]:
    """Iterate over keys, values or pairs: at the speed of lists, but for the step from leaf to leaf."""
    scan = Scan(view._shared_state(), begin, end, reverse)
    return cast("Iterator[Any]", chain.from_iterable(cast("Iterable[Any]", LeafLists(scan, wanted))))


def neighbour(view: BTreeView, begin: Bound, end: Bound, reverse: bool) -> object:
    """Return the entry nearest to one end of a range, or None."""
    found = nearest(view._shared_state(), begin, end, reverse)
    return None if found is EMPTY else found


def take(view: BTreeView, reverse: bool, operation: str) -> object:
    """Remove and return the entry at one end."""
    found = take_nearest(view._shared_state(), reverse)
    if found is EMPTY:
        raise KeyError(f"{operation}(): map is empty")
    return found


def part(view: BTreeView, start: int, stop: int, reverse: bool, wanted: int) -> Iterator[Any]:
    """Iterate over what is at positions *start* to *stop*, neither negative."""
    count = stop - start
    if count <= 0:
        return iter(())
    edge = entry_at(view._shared_state(), stop - 1 if reverse else start)
    if edge is EMPTY:
        if not reverse:
            return iter(())
        return islice(entries_of(view, OPEN, OPEN, True, wanted), count)
    bound = Bound(cast("tuple[object, object]", edge)[0], True)
    begin, end = (OPEN, bound) if reverse else (bound, OPEN)
    return islice(entries_of(view, begin, end, reverse, wanted), count)
