"""The evmap's operations, for the map itself and its handles: the facade over ``_state``.

Reading operations look at the current copy and nothing else; all others at what is written, published or not.
So ``m.pop("a")`` returns a value once, whenever it is published, and ``m["a"]`` may show it until then.

No view belongs to a thread: a reader's record is that of the thread that reads. A handle is worth having on
free-threaded builds all the same, since the map's own reference count is one that all threads write.

May import only core's public names and this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import ACQUIRE, RELAXED, hash_object, load, mix, object_load_guarded
from intermodal.maps import ConcurrentMap, check_value, pairs_of, sole_argument, unusable
from intermodal.reclamation import ERA, enter, leave, record_of
from intermodal_evmap._bags import (
    Bag,
    bag_of,
    first_of,
    index_of,
    values_of,
    with_value,
    without_value,
)
from intermodal_evmap._pin import Pin, content_in, entries_of, meta_in, table_of
from intermodal_evmap._state import (
    ALWAYS,
    CURRENT,
    DONE,
    IF_ABSENT,
    IF_CONTENT,
    IF_IDENTICAL,
    IF_PRESENT,
    LOOK,
    REFUSED,
    REMOVE,
    EvMapState,
)
from intermodal_evmap._statistics import EvMapStatistics
from intermodal_evmap._table import (
    ASK_KEYS,
    ENTRIES,
    GROUPS,
    HEADERS,
    NOTHING,
    SLOTS,
    VALUE,
    find,
    gather,
)

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_ABSENT: Final[object] = ABSENT
_NOTHING: Final[object] = NOTHING


@mypyc_attr(allow_interpreted_subclasses=True)
class EvView(ConcurrentMap):
    """A map of two copies: readers look at one without ever waiting, a writer changes the other.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Writes become visible when they are published, all at once: each by itself, as long as nothing else is
    said; after every so many within :meth:`publishing_every`; only by :meth:`publish` within
    ``publishing_every(0)``. Reading (``m[k]``, ``get``, ``in``, ``len``, iteration, copies) shows the
    published state. Everything that changes something, and what it returns, goes by what is written.

    A key may have several values: :meth:`add`, :meth:`get_all`, :meth:`remove_value` and :attr:`bags`. As a
    mapping it shows one of them; setting a key sets all of its values to the one.

    Keys' ``__hash__`` and ``__eq__``, callbacks and destructors run under no lock, so they may use this map;
    a callback may be called again if the entry changes meanwhile. For the second copy no user code runs.

    An operation on one key takes O(1) expected time; an insertion that enlarges a copy, iteration and
    ``retain()`` O(capacity). A publication takes as long as what was written since the last one.

    >>> from intermodal_evmap import EvMap
    >>> m = EvMap({"a": 1}, b=2)
    >>> m.compute("a", lambda old: old + 1), m.pop("b"), m
    (2, 2, {'a': 2})
    >>> with m.publishing_every(0):
    ...     m["c"] = 3
    ...     print(m, m.pending)
    ...     m.publish()
    ...     print("c" in m)
    {'a': 2} 1
    True
    """

    _shared: i64 = 0
    #: What ``record_of`` takes.
    _readers: i64 = 0
    _state: EvMapState | None = None
    _closed: bool = False

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if data and isinstance(data[0], EvMapState):  # a view of an existing map: opened(), handle()
            self._adopt(data[0])
            return
        if self._state is None:  # a second call, like dict's, only updates
            self._adopt(EvMapState())
        self.update(sole_argument(type(self).__name__, data), **entries)

    def _adopt(self, state: EvMapState) -> None:
        if self._state is None:
            self._state = state
            self._shared = state.shared
            self._readers = state.readers.key

    def _shared_state(self) -> EvMapState:
        state = self._state
        if self._closed or state is None:
            raise unusable(self, self._closed)
        return state

    # ---- reading: the published state ---------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        content = read(self, key, _NOTHING)
        if content is _NOTHING:
            raise KeyError(key)
        if isinstance(content, Bag):
            content = content.first
            if content is _ABSENT:
                raise KeyError(key)
        return content

    def get(self, key: Any, default: Any = None) -> Any:
        content = read(self, key, default)
        return first_of(content, default) if isinstance(content, Bag) else content

    def __contains__(self, key: object) -> bool:
        return first_of(read(self, key, _NOTHING), _NOTHING) is not _NOTHING

    def get_all(self, key: Any) -> tuple[Any, ...]:
        """Return the published values of *key*, in no order that means anything; () if it has none."""
        content = read(self, key, _ABSENT)
        return values_of(content)

    def __len__(self) -> int:
        """Return the number of keys that have a value; O(1)."""
        return int(read_word(self, ENTRIES))

    @property
    def meta(self) -> Any:
        """The user's datum of the published state; see :meth:`set_meta`."""
        hold = self._shared_state().hold()
        table = table_of(hold)
        try:
            return meta_in(table)
        finally:
            self._shared_state().let_go(hold)

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        entries = entries_of(self._shared_state())
        for at in range(0, len(entries), 2):
            first = first_of(entries[at + 1], _NOTHING)
            if first is not _NOTHING:
                yield entries[at], first

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the published state; O(1), and so is looking keys up in it.

        It keeps a copy from the writer until it is closed or dropped, as :meth:`guard` does.
        """
        return cast("Mapping[Any, Any]", self.guard())

    def guard(self) -> Any:
        """Return a read guard: the published state of this moment, as a read-only mapping.

        It stays as it is while others publish. Close it, or leave its ``with`` block, when done: a writer
        that needs the copy which it keeps does what ``on_stalled_reader=`` says.

        >>> from intermodal_evmap import EvMap
        >>> m = EvMap(a=1)
        >>> with m.guard() as seen:
        ...     m["a"] = 2
        ...     print(seen["a"], m["a"])
        1 2
        """
        from intermodal_evmap._guard import ReadGuard

        return ReadGuard(Pin(self._shared_state()))

    # ---- writing: what is written -------------------------------------------------------------------------

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        write(self, key, ALWAYS, None, value)

    def __delitem__(self, key: Any) -> None:
        if write(self, key, IF_PRESENT, None, REMOVE)[0] == REFUSED:
            raise KeyError(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        """Remove *key* with all its values and return one of them, or *default* if it has none.

        Raises: KeyError(key) if it has none and no *default* was given.
        """
        result, value = write(self, key, IF_PRESENT, None, REMOVE)
        if result != REFUSED:
            return value
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def setdefault(self, key: Any, default: Any = None) -> Any:
        check_value(default)
        result, present = write(self, key, IF_ABSENT, None, default)
        return present if result == REFUSED else default

    def insert(self, key: Any, value: Any) -> bool:
        check_value(value)
        return write(self, key, IF_ABSENT, None, value)[0] == DONE

    def replace(self, key: Any, value: Any) -> Any:
        check_value(value)
        result, old = write(self, key, IF_PRESENT, None, value)
        if result == REFUSED:
            raise KeyError(key)
        return old

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if current is not _ABSENT:
            new = REMOVE if new is _ABSENT else new
            return write(self, key, IF_IDENTICAL, current, new)[0] == DONE
        if new is _ABSENT:
            return self._current(key) is _ABSENT
        return write(self, key, IF_ABSENT, None, new)[0] == DONE

    def _current(self, key: Any) -> Any:
        """Return the value of *key* that is written, published or not; ABSENT if there is none."""
        _, content = write(self, key, LOOK, None, None)
        return first_of(content, _ABSENT) if content is not _NOTHING else _ABSENT

    def popitem(self) -> tuple[Any, Any]:
        """Remove one entry, the first one from where the last popitem() found one; O(1) amortised."""
        state = self._shared_state()
        while True:
            key, content, key_hash = state.any_entry(-1)
            if key is _NOTHING:
                raise KeyError("popitem(): map is empty")
            if state.remove_identical(mix(key_hash), key_hash, key, content, True):
                return key, first_of(content, None)

    # ---- many keys: published together --------------------------------------------------------------------

    def retain(self, predicate: Callable[[Any, Any], object]) -> int:
        """Keep only the entries of which ``predicate(key, value)`` is true; return how many were removed.

        Each removal is a step of its own, and all are published together; an entry changed after *predicate*
        saw it stays.
        """
        state = self._shared_state()
        entries = state.written()
        state.drop_trash()
        removed = 0
        try:
            for at in range(0, len(entries), 2):
                key, content = entries[at], entries[at + 1]
                value = first_of(content, _NOTHING)
                if value is not _NOTHING and not predicate(key, value):
                    key_hash = hash_object(key)
                    if state.remove_identical(mix(key_hash), key_hash, key, content, False):
                        removed += 1
        finally:
            state.publish_if_due()
        return removed

    def pop_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Remove *keys* and return their values in order, *default* for each that had none.

        Each removal is a step of its own; all are published together.
        """
        state = self._shared_state()
        wanted = list(keys)
        found: list[Any] = []
        try:
            for key in wanted:
                result, value = write_due(self, key, IF_PRESENT, None, REMOVE, False)
                found.append(default if result == REFUSED else value)
        finally:
            state.publish_if_due()
        return found

    def update(self, /, *arguments: Any, **entries: Any) -> None:
        """Set the entries of a mapping or of an iterable of pairs, then the keyword arguments.

        Each entry is set in a step of its own; all are published together.
        """
        self._shared_state()
        # Now, all of them: their maker's code runs.
        incoming = [(key, value) for key, value in pairs_of(sole_argument("update()", arguments))]
        write_all(self, incoming)
        if entries:
            write_all(self, list(entries.items()))

    def clear(self) -> None:
        """Remove every entry, in one step; the datum stays."""
        self._shared_state().clear()

    # ---- several values for a key -------------------------------------------------------------------------

    def add(self, key: Any, value: Any) -> None:
        """Give *key* one value more, whatever it has.

        >>> from intermodal_evmap import EvMap
        >>> m = EvMap()
        >>> m.add("a", 1), m.add("a", 2), m.get_all("a"), m.remove_value("a", 1), m.get_all("a")
        (None, None, (1, 2), True, (2,))
        """
        check_value(value)
        key_hash = hash_object(key)
        while True:
            content = look(self, key, key_hash)
            new = value if content is _NOTHING else with_value(content, value)
            if exchange_content(self, key, key_hash, content, new):
                return

    def remove_value(self, key: Any, value: Any) -> bool:
        """Take one value of *key* away that is, or equals, *value*; return whether there was one.

        The key stays, without a value, if it was the last one: it is in :attr:`bags`, and not in the map.
        """
        key_hash = hash_object(key)
        while True:
            content = look(self, key, key_hash)
            index = -1 if content is _NOTHING else index_of(content, value)  # under no lock
            if index < 0:
                return False
            if exchange_content(self, key, key_hash, content, without_value(content, index)):
                return True

    @property
    def bags(self) -> Any:
        """The map as one of keys and bags of values, with the original's operations."""
        from intermodal_evmap._value_bags import ValueBags

        return ValueBags(self)

    # ---- publishing ---------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Make all that is written visible, at one moment, whoever wrote it.

        It waits for another thread's write under way, not for readers. It lets go of what was overwritten, if
        the readers that may look at that have gone; else a later write or publication does.
        """
        self._shared_state().publish()

    def refresh(self) -> None:
        """Do what :meth:`publish` does, under its first name."""
        self._shared_state().publish()

    def flush(self) -> bool:
        """Do what :meth:`publish` does; return whether something was pending."""
        return self._shared_state().publish()

    def try_publish(self) -> bool:
        """Publish without waiting for anybody; False, and nothing is done, if another thread is writing."""
        return self._shared_state().try_publish()

    @property
    def pending(self) -> int:
        """The number of writes that have not been published."""
        return int(self._shared_state().pending)

    def set_meta(self, meta: Any) -> None:
        """Let *meta* be the datum that is published with what is written: a time, a version, a source.

        >>> from intermodal_evmap import EvMap
        >>> m = EvMap()
        >>> with m.writing():
        ...     m["a"] = 1
        ...     m.set_meta("of Monday")
        >>> m.meta
        'of Monday'
        """
        self._shared_state().set_meta(meta)

    def publishing_every(self, writes: int = 0, *, interval: float | None = None) -> Any:
        """Return a context manager in which the map publishes after every so many *writes*.

        Args:
            writes: of whatever threads; 0: not by number. A batch counts as it is long, and is not divided.
            interval: seconds after which a thread publishes, again and again, what is pending.

        It is the map that does so, for all of its users. At the end all is published, and the map does what
        it did before.
        """
        from intermodal_evmap._publishing import Publishing

        return Publishing(self._shared_state(), writes, interval)

    def writing(self) -> Any:
        """Return a context manager in which this thread alone writes; at its end all is published at once.

        Other writers wait meanwhile, readers do not. Nests. What an exception interrupts is published too.
        """
        from intermodal_evmap._publishing import Writing

        return Writing(self._shared_state())

    # ---- the whole map ------------------------------------------------------------------------------------

    def copy(self) -> ConcurrentMap:
        """Return a new map of the same class with the published values of all keys, and the datum."""
        state = self._shared_state()
        new = type(self)()
        hold = state.hold()
        try:
            table = table_of(hold)
            entries = gather(table)
            meta = meta_in(table)
        finally:
            state.let_go(hold)
        contents = [(entries[at], entries[at + 1]) for at in range(0, len(entries), 2)]
        write_all(new, contents)
        if meta is not None:
            new.set_meta(meta)
        return new

    def statistics(self) -> EvMapStatistics:
        return self._shared_state().statistics()

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self._shared_state().memory_bytes()

    def __reduce__(self) -> tuple[Any, ...]:
        entries = entries_of(self._shared_state())
        attributes = getattr(self, "__dict__", {})  # those of a subclass; an engine's own begin with _
        kept = {name: value for name, value in attributes.items() if not name.startswith("_")}
        several = [
            (entries[at], values_of(entries[at + 1]))
            for at in range(0, len(entries), 2)
            if isinstance(entries[at + 1], Bag)
        ]
        meta = self.meta
        state = (kept, several, meta) if kept or several or meta is not None else None
        single = (
            (entries[at], entries[at + 1])
            for at in range(0, len(entries), 2)
            if not isinstance(entries[at + 1], Bag)
        )
        return type(self), (), state, None, single

    def __setstate__(self, state: Any) -> None:
        kept, several, meta = state
        for name, value in kept.items():
            setattr(self, name, value)
        write_all(self, [(key, bag_of(values)) for key, values in several])
        if meta is not None:
            self.set_meta(meta)

    # ---- handles ------------------------------------------------------------------------------------------

    def handle(self) -> EvView:
        """Return a view of this map for the calling thread. It waits for nobody, whoever publishes."""
        return EvHandle(self._shared_state())

    def _check(self) -> None:
        self._shared_state().check()


@final
class EvHandle(EvView):
    """A view of an evmap."""

    def close(self) -> None:
        """Let go of the map when it is dropped. Any later use raises ValueError."""
        self._closed = True
        # The state stays: another thread may be in the middle of a look-up in it.
        self._shared = 0


# ---- functions, since calls of methods on an interpreted subclass, as the public map is, are looked up -----


def read(view: EvView, key: object, fallback: object) -> object:
    """Return the published content of the slot of *key*, or *fallback*. Waits for nothing, tries once."""
    key_hash = hash_object(key)
    shared = view._shared
    if shared == 0:
        view._shared_state()  # raises
    record = record_of(view._readers)
    if record == 0:
        record = view._shared_state().readers.record()
    # Not *fallback*: counting a reference to an object that all threads share costs more than the read.
    content: object = None
    slot: i64 = 0
    era = enter(record)
    try:
        # Racing line 1 of _state. Nothing is taken out of this copy before the section is over: what a slot
        # holds is good, and a key is compared without counting a reference to it.
        table = load(shared + CURRENT, ACQUIRE)
        slot = find(
            load(table + HEADERS, RELAXED),
            load(table + SLOTS, RELAXED),
            load(table + GROUPS, RELAXED),
            mix(key_hash),
            key,
            record + ERA,
            era,
        )
        if slot > 0:
            content = object_load_guarded(slot + VALUE, record + ERA, era, None)
    finally:
        leave(record)
    if slot > 0:
        return content
    if slot == ASK_KEYS:
        return read_asking(view, key, key_hash, fallback)
    return fallback


def read_asking(view: EvView, key: object, key_hash: i64, fallback: object) -> object:
    """Do the same where only the keys can tell: user code runs, so not in a section but under a guard."""
    state = view._shared_state()
    hold = state.hold()
    try:
        content = content_in(table_of(hold), mix(key_hash), key_hash, key)
    finally:
        state.let_go(hold)
    return fallback if content is _NOTHING else content


def read_word(view: EvView, offset: i64) -> i64:
    """Return a control word of the published copy."""
    shared = view._shared
    if shared == 0:
        view._shared_state()
    record = record_of(view._readers)
    if record == 0:
        record = view._shared_state().readers.record()
    word: i64 = 0
    enter(record)
    try:
        word = load(load(shared + CURRENT, ACQUIRE) + offset, RELAXED)
    finally:
        leave(record)
    return word


def write(view: EvView, key: object, condition: i64, expected: object, new: object) -> tuple[i64, object]:
    """Change the entry of *key* if the condition holds, and publish if it is time: (result, value before)."""
    return write_due(view, key, condition, expected, new, True)


def write_due(
    view: EvView, key: object, condition: i64, expected: object, new: object, due: bool
) -> tuple[i64, object]:
    key_hash = hash_object(key)
    return view._shared_state().write(mix(key_hash), key_hash, key, condition, expected, new, due)


def look(view: EvView, key: object, key_hash: i64) -> object:
    """Return the written content of the slot of *key*, or NOTHING."""
    return view._shared_state().write(mix(key_hash), key_hash, key, LOOK, None, None, True)[1]


def exchange_content(view: EvView, key: object, key_hash: i64, content: object, new: object) -> bool:
    """Let the slot of *key* hold *new* if it holds *content*; return whether it did."""
    state = view._shared_state()
    return state.write(mix(key_hash), key_hash, key, IF_CONTENT, content, new, True)[0] == DONE


def write_all(view: EvView, pairs: list[tuple[Any, Any]]) -> None:
    """Set the entries of *pairs* in order, and publish them together."""
    state = view._shared_state()
    for _, value in pairs:
        check_value(value)
    try:
        for key, value in pairs:
            write_due(view, key, ALWAYS, None, value, False)
    finally:
        state.publish_if_due()
