"""The Swiss map's operations on one key, for the map itself and its handles: the facade over ``_table``.

A view keeps the addresses of the current table, beside that of its control words, for the thread that made
it. What views do besides is core's, see :mod:`intermodal.tables`.

May import only core's public names and this package.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import ACQUIRE, RELAXED, hash_object, load, mix, reachability_fence, thread_token
from intermodal.maps import check_value
from intermodal.reclamation import WITNESS, Reclaimer, enter, has_room, leave, record_of
from intermodal.tables import (
    ALWAYS,
    DONE_INSERTED,
    HOMES,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    MISSING,
    REFUSED,
    REMOVE,
    RETRY,
    RETRY_READ,
    TABLE,
    SharedState,
    TableView,
    look_at_size,
    suggests_resize,
    write_otherwise,
)
from intermodal.tables import read_otherwise as read_slowly
from intermodal_swiss._state import SwissState, SwissTable
from intermodal_swiss._table import HEADERS, SLOTS, read, write

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_ABSENT: Final[object] = ABSENT
_MISSING: Final[object] = MISSING
_REMOVE: Final[object] = REMOVE
_RETRY_READ: Final[object] = RETRY_READ


@mypyc_attr(allow_interpreted_subclasses=True)
class SwissView(TableView):
    """A hash map with 16-slot groups: reads take no lock, writes lock one group, resizing stops nobody.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Operations on one key are linearizable. Keys' ``__hash__`` and ``__eq__``, callbacks and destructors run
    under no lock, so they may use this map; a callback may be called again if the entry changes meanwhile.
    Iteration yields every entry that is there throughout exactly once, in no useful order, and no key twice.
    ``len`` is exact when no insertion or removal is under way.

    A thread that uses the map a lot should make a handle: the map itself keeps the table's addresses for the
    thread that made it; other threads take a reference to the table each time, and contend for its count.

    One-key operations take O(1) expected time, the longest one included; iteration and clear() O(capacity).

    >>> from intermodal_swiss import SwissMap
    >>> m = SwissMap({"a": 1}, b=2)
    >>> m.compute("a", lambda old: old + 1), m.pop("b"), m
    (2, 2, {'a': 2})
    """

    _headers: i64 = 0
    _slots: i64 = 0
    _groups: i64 = 0

    def _new_state(self) -> SharedState:
        return SwissState(1)

    def _use(self, owner: i64) -> None:
        old = self._table
        super()._use(0)  # nobody's until all of it is kept
        table = self._table
        assert isinstance(table, SwissTable)
        self._headers = table.headers
        self._slots = table.slots
        self._groups = table.groups
        self._owner = owner
        reachability_fence(old)

    # ---- one key ----------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        key_hash = hash_object(key)
        h = mix(key_hash)
        owner = thread_token()
        if self._owner == owner:
            self._owner = 0
            value: object = read(self._headers, self._slots, self._groups, h, key, _MISSING, 0, 0)
            self._owner = owner
            if value is _MISSING:
                raise KeyError(key)
            if value is not _RETRY_READ:
                return value
        value = read_otherwise(self, key, key_hash, h, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        key_hash = hash_object(key)
        h = mix(key_hash)
        owner = thread_token()
        if self._owner == owner:
            self._owner = 0
            value: object = read(self._headers, self._slots, self._groups, h, key, default, 0, 0)
            self._owner = owner
            if value is not _RETRY_READ:
                return value
        return read_otherwise(self, key, key_hash, h, default)

    def __contains__(self, key: object) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        write_entry(self, key, ALWAYS, None, value)

    def __delitem__(self, key: Any) -> None:
        if write_entry(self, key, IF_PRESENT, None, _REMOVE)[0] == REFUSED:
            raise KeyError(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        result, value = write_entry(self, key, IF_PRESENT, None, _REMOVE)
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

    def replace(self, key: Any, value: Any) -> Any:
        check_value(value)
        result, old = write_entry(self, key, IF_PRESENT, None, value)
        if result == REFUSED:
            raise KeyError(key)
        return old

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if current is not _ABSENT:
            new = _REMOVE if new is _ABSENT else new
            return write_entry(self, key, IF_IDENTICAL, current, new)[0] != REFUSED
        if new is _ABSENT:
            return self.get(key, _MISSING) is _MISSING
        return write_entry(self, key, IF_ABSENT, None, new)[0] == DONE_INSERTED

    def handle(self) -> SwissView:
        """Return a view of this map that keeps the table's addresses for the calling thread."""
        return SwissHandle(self._shared_state())


@final
class SwissHandle(SwissView):
    """A view of a Swiss map for the thread that made it."""

    def close(self) -> None:
        """Let go of the map and its table. Any later use raises ValueError."""
        self._close()


# ---- functions, since calls of methods on an interpreted subclass, as the public map is, are looked up -----


def read_otherwise(view: SwissView, key: object, key_hash: i64, h: i64, fallback: object) -> object:
    """Return the value of *key* or *fallback*, where the view's own addresses do not serve."""
    if view._reclaimed_by:
        value = read_in_section(view, key, h, fallback)
        if value is not _RETRY_READ:
            return value
    return read_slowly(view, key, key_hash, h, fallback)


def write_entry(
    view: SwissView, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Change the entry of *key* if the condition holds: (result, previous value); never RETRY."""
    key_hash = hash_object(key)
    h = mix(key_hash)
    owner = thread_token()
    if view._owner == owner:
        view._owner = 0
        control = view._control
        result, previous = write(
            view._headers,
            view._slots,
            view._groups,
            view._shared,
            h,
            key_hash,
            key,
            condition,
            expected,
            new,
            0,
            0,
            0,
        )
        due = suggests_resize(control, view._shared, result, h)
        view._owner = owner
        if due:
            look_at_size(view, result)
        if result != RETRY:
            return result, previous
    if view._reclaimed_by:
        result, previous = write_in_section(view, key, key_hash, h, condition, expected, new)
        if result != RETRY:
            return result, previous
    return write_otherwise(view, key, key_hash, h, condition, expected, new)


# ---- under a reclaimer: no user code runs before leave() --------------------------------------------------


def reclaimer_of(view: SwissView) -> Reclaimer:
    reclaimer = view._shared_state().reclaimer
    assert reclaimer is not None
    return reclaimer


def read_in_section(view: SwissView, key: object, h: i64, fallback: object) -> object:
    """Do what ``_table.read`` does with the current table, whichever thread this is."""
    record = record_of(view._reclaimed_by)
    if record == 0:
        record = reclaimer_of(view).record()
    # Not RETRY_READ: counting a reference to an object that all threads share costs more than the read.
    value: object = None
    answered = False
    released: i64 = 0
    era = enter(record)
    try:
        table = load(view._shared + TABLE, ACQUIRE)
        witness = load(record + WITNESS, RELAXED)
        if load(witness, ACQUIRE) == era:  # so the table is not younger than the section
            headers, slots = load(table + HEADERS, RELAXED), load(table + SLOTS, RELAXED)
            value = read(headers, slots, load(table + HOMES, RELAXED), h, key, fallback, witness, era)
            answered = True
    finally:
        released = leave(record)
    if released:
        reclaimer_of(view).released(released)
    return value if answered else _RETRY_READ


def write_in_section(
    view: SwissView, key: object, key_hash: i64, h: i64, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Do what ``_table.write`` does with the current table, whichever thread this is."""
    record = record_of(view._reclaimed_by)
    if record == 0 or not has_room(record):
        record = reclaimer_of(view).make_room()
    shared = view._shared
    result: i64 = RETRY
    previous: object = None
    due = False
    released: i64 = 0
    era = enter(record)
    try:
        table = load(shared + TABLE, ACQUIRE)
        witness = load(record + WITNESS, RELAXED)
        if load(witness, ACQUIRE) == era:
            headers, slots = load(table + HEADERS, RELAXED), load(table + SLOTS, RELAXED)
            result, previous = write(
                headers,
                slots,
                load(table + HOMES, RELAXED),
                shared,
                h,
                key_hash,
                key,
                condition,
                expected,
                new,
                record,
                witness,
                era,
            )
            due = suggests_resize(table, shared, result, h)
    finally:
        released = leave(record)
    if released:
        reclaimer_of(view).released(released)
    if due:
        look_at_size(view, result)
    return result, previous
