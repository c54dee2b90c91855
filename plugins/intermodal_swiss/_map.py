"""The Swiss map's operations, for the map itself and its handles: the facade over ``_table`` and ``_state``.

Both are *views* of a shared state. A view belongs to the thread that made it, keeps the addresses of the
current table for it, and holds one reference to that table; so in its own thread an operation touches no
shared reference count. In any other thread, or when a resize gets in the way, it goes through the shared
state, which takes a reference to the table for the duration.

Under a reclaimer a view keeps no addresses and has no owner. In any thread an operation is a section: it
finds the current table by its address in a shared word, and counts no reference to anything but what it
returns.

During an operation on the kept addresses the view has no owner. Without the GIL, looking at a slot may drop
the last reference to an object that another thread has just removed, and its destructor may use this very
view: it then takes the other way, and leaves the kept table alone.

May import only core's public names and this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    fast_range,
    hash_object,
    load,
    mix,
    reachability_fence,
    store,
    thread_token,
)
from intermodal.maps import ConcurrentMap, check_value, sole_argument
from intermodal.reclamation import WITNESS, Reclaimer, enter, has_room, leave, record_of
from intermodal.statistics import MapStatistics
from intermodal_swiss._iterate import END, EntryIterator, collect
from intermodal_swiss._state import SharedState, grow_above, shrink_below
from intermodal_swiss._table import (
    ALWAYS,
    COUNTS,
    DONE_INSERTED,
    DONE_REMOVED,
    GROUPS,
    GROW_AT,
    HEADERS,
    IDLE,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    LINE,
    MISSING,
    PHASE_MASK,
    POP_FROM,
    REFUSED,
    REMOVE,
    RETRY,
    RETRY_READ,
    SHRINK_AT,
    SLOTS,
    STRIPE_MASK,
    STRIPES,
    TABLE,
    Table,
    read,
    write,
)

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_ABSENT: Final[object] = ABSENT


@mypyc_attr(allow_interpreted_subclasses=True)
class SwissView(ConcurrentMap):
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

    >>> m = SwissView({"a": 1}, b=2)
    >>> m.compute("a", lambda old: old + 1), m.pop("b"), m
    (2, 2, {'a': 2})
    """

    # Before __init__ has run no thread owns the view, so no address is used. Other threads than its own read
    # this plainly while it changes: whatever they see of it, it is never their own token.
    _owner: i64 = 0
    _headers: i64 = 0
    _slots: i64 = 0
    _groups: i64 = 0
    _shared: i64 = 0
    _grow_at: i64 = 0
    _shrink_at: i64 = 0
    #: The key of the map's reclaimer; 0: it has none.
    _reclaimed_by: i64 = 0
    _closed: bool = False
    _state: SharedState | None = None
    _table: Table | None = None

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if data and isinstance(data[0], SharedState):  # a view of an existing map: with_capacity(), handle()
            self._adopt(data[0])
            return
        if self._state is None:  # a second call, like dict's, only updates
            self._adopt(SharedState(1))
        self.update(sole_argument(type(self).__name__, data), **entries)

    def _adopt(self, state: SharedState) -> None:
        if self._state is None:
            self._state = state
            if state.reclaimer is None:
                self._use(thread_token())
            else:
                self._shared = state.shared
                self._reclaimed_by = state.reclaimer.key

    def _shared_state(self) -> SharedState:
        state = self._state
        if self._closed:
            raise ValueError("this handle is closed; make another with handle()")
        if state is None:
            raise ValueError(f"{type(self).__name__}.__init__() has not been called")
        return state

    # ---- the table that this view keeps -----------------------------------------------------------------

    def _use(self, owner: i64) -> None:
        state = self._shared_state()
        table = state.table
        # The one that was kept may die of this, and code run that uses this view. So the view has no owner
        # meanwhile, and the old table dies last.
        self._owner = 0
        old = self._table
        self._table = table
        self._headers = table.headers
        self._slots = table.slots
        self._groups = table.groups
        self._shared = state.shared
        self._grow_at = grow_above(table) // STRIPES
        self._shrink_at = shrink_below(table, state.minimum) // STRIPES
        self._owner = owner
        reachability_fence(old)

    # ---- one key ----------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        key_hash = hash_object(key)
        h = mix(key_hash)
        owner = thread_token()
        if self._owner == owner:
            self._owner = 0
            value: object = read(self._headers, self._slots, self._groups, h, key, MISSING, 0, 0)
            self._owner = owner
            if value is MISSING:
                raise KeyError(key)
            if value is not RETRY_READ:
                return value
        value = read_otherwise(self, key, key_hash, h, MISSING)
        if value is MISSING:
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
            if value is not RETRY_READ:
                return value
        return read_otherwise(self, key, key_hash, h, default)

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

    def popitem(self) -> tuple[Any, Any]:
        """Remove one entry, the first one found from where the last popitem() stopped; O(1) amortised."""
        state = self._shared_state()
        cursor = state.shared + POP_FROM
        position = load(cursor, RELAXED)
        empty = False
        while not empty:
            empty = position == 0  # only a whole round without an entry shows that there was none
            while position != END:
                entries: list[object] = []
                following = collect(state, position, entries)
                for at in range(0, len(entries), 2):
                    if self._compare_exchange(entries[at], entries[at + 1], _ABSENT):
                        store(cursor, position, RELAXED)
                        reachability_fence(state)
                        return entries[at], entries[at + 1]
                    empty = False  # somebody else was quicker, or gave it another value
                position = following
            position = 0
        raise KeyError("popitem(): map is empty")

    # ---- the whole map ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return max(int(self._shared_state().entries()), 0)

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return cast("Iterator[tuple[Any, Any]]", EntryIterator(self._shared_state()))

    def clear(self) -> None:
        """Remove the entries, home by home: one inserted meanwhile may stay or go."""
        state = self._shared_state()
        state.clear()
        refresh(self, state)

    def statistics(self) -> MapStatistics:
        return self._shared_state().statistics()

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self._shared_state().memory_bytes()

    # ---- handles ----------------------------------------------------------------------------------------

    def handle(self) -> SwissView:
        """Return a view of this map that keeps the table's addresses for the calling thread."""
        return SwissHandle(self._shared_state())

    def _check(self) -> None:
        self._shared_state().check()


@final
class SwissHandle(SwissView):
    """A view of a Swiss map for the thread that made it."""

    def close(self) -> None:
        """Let go of the map and its table. Any later use raises ValueError.

        Closed by another thread than the one that made it, it may work there until the next resize: that
        thread may be in the middle of an operation on the table.
        """
        self._closed = True
        self._reclaimed_by = 0
        if self._owner == thread_token():
            self._owner = 0
            self._state = None
            self._table = None


# ---- functions, since calls of methods on an interpreted subclass, as the public map is, are looked up -----


def refresh(view: SwissView, state: SharedState) -> None:
    """Change over to the current table, if this is the owner's thread and it kept another one."""
    if view._owner == thread_token() and view._table is not state.table:
        view._use(view._owner)


def read_otherwise(view: SwissView, key: object, key_hash: i64, h: i64, fallback: object) -> object:
    """Return the value of *key* or *fallback*, where the view's own addresses do not serve."""
    if view._reclaimed_by:
        value = read_in_section(view, key, h, fallback)
        if value is not RETRY_READ:
            return value
    state = view._shared_state()
    value = state.read_slowly(h, key_hash, key, fallback)
    refresh(view, state)
    return value


def write_entry(
    view: SwissView, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Change the entry of *key* if the condition holds: (result, previous value); never RETRY."""
    key_hash = hash_object(key)
    h = mix(key_hash)
    owner = thread_token()
    if view._owner == owner:
        view._owner = 0
        shared, groups = view._shared, view._groups
        result, previous = write(
            view._headers,
            view._slots,
            groups,
            shared,
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
        view._owner = owner
        if result != RETRY:
            if result == DONE_INSERTED or result == DONE_REMOVED:
                count = count_of(shared, groups, h)
                resize_if_due(view, result, count, view._grow_at, view._shrink_at)
            return result, previous
    if view._reclaimed_by:
        result, previous = write_in_section(view, key, key_hash, h, condition, expected, new)
        if result != RETRY:
            return result, previous
    state = view._shared_state()
    result, previous = state.write_slowly(h, key_hash, key, condition, expected, new)
    if result == DONE_INSERTED:
        state.grow_if_full()
    elif result == DONE_REMOVED:
        state.shrink_if_sparse()
    refresh(view, state)
    return result, previous


def count_of(shared: i64, groups: i64, h: i64) -> i64:
    """Return the address of the count of the stripe of *h*: an eighth of the entries, near enough."""
    return shared + COUNTS + (fast_range(h, groups) & STRIPE_MASK) * LINE


def resize_if_due(view: SwissView, result: i64, count: i64, grow_at: i64, shrink_at: i64) -> None:
    """After an insertion or removal, look at the map's size if the stripe counted at *count* suggests it."""
    if result == DONE_INSERTED:
        if load(count, RELAXED) >= grow_at:
            view._shared_state().grow_if_full()
    elif load(count, RELAXED) <= shrink_at or load(view._shared, RELAXED) & PHASE_MASK != IDLE:
        view._shared_state().shrink_if_sparse()


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
            value = read(headers, slots, load(table + GROUPS, RELAXED), h, key, fallback, witness, era)
            answered = True
    finally:
        released = leave(record)
    if released:
        reclaimer_of(view).released(released)
    return value if answered else RETRY_READ


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
    grow_at: i64 = 0
    shrink_at: i64 = 0
    count: i64 = 0
    released: i64 = 0
    era = enter(record)
    try:
        table = load(shared + TABLE, ACQUIRE)
        witness = load(record + WITNESS, RELAXED)
        if load(witness, ACQUIRE) == era:
            headers, slots = load(table + HEADERS, RELAXED), load(table + SLOTS, RELAXED)
            groups = load(table + GROUPS, RELAXED)
            grow_at, shrink_at = load(table + GROW_AT, RELAXED), load(table + SHRINK_AT, RELAXED)
            count = count_of(shared, groups, h)
            result, previous = write(
                headers,
                slots,
                groups,
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
    finally:
        released = leave(record)
    if released:
        reclaimer_of(view).released(released)
    if result == DONE_INSERTED or result == DONE_REMOVED:
        resize_if_due(view, result, count, grow_at, shrink_at)
    return result, previous
