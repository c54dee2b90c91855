"""The contract of every map: :class:`ConcurrentMap`, its operations and what each promises.

Type checkers read ``maps.pyi`` instead, where the class is generic: mypyc gives native classes with a Generic
base a layout that breaks weak references (2.4.1).

A backend subclasses it. Five methods are enough (``get``, ``_compare_exchange``, ``_iterate``, ``__len__``,
``clear``); everything else here is written in terms of them and linearizable wherever they are. A backend
overrides what its technique does better.

User code (``__hash__``, ``__eq__``, callbacks, destructors) runs under no lock in anything defined here. May
import only errors, the sentinel, statistics and the views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import nullcontext
from types import GenericAlias, TracebackType
from typing import Any, TypeAlias, cast

from mypy_extensions import mypyc_attr

from intermodal._absent import ABSENT
from intermodal._views import EntriesView, EntryValuesView, KeysView, map_repr
from intermodal.errors import NotSupported
from intermodal.statistics import MapStatistics


def check_value(value: object) -> None:
    """Raise ValueError if *value* is ABSENT, which cannot be stored."""
    if value is ABSENT:
        raise ValueError(
            "ABSENT stands for 'no entry' and cannot be stored; use del, pop() or compute() to remove one"
        )


def sole_argument(function: str, arguments: tuple[Any, ...]) -> Any:
    """Return the one positional argument that *function* takes, or () if it was not given.

    Functions that take any keyword take it as ``*arguments``: mypyc 2.4.1 does not enforce ``/``.
    """
    if len(arguments) > 1:
        raise TypeError(f"{function} expected at most 1 argument, got {len(arguments)}")
    return arguments[0] if arguments else ()


def pairs_of(other: Any) -> Iterable[Any]:
    """Return the pairs that ``update(other)`` is to set: those of a mapping, or *other* itself.

    Not all of them need be tuples: a pair is whatever two can be taken from.
    """
    if isinstance(other, ConcurrentMap):
        return other._iterate()  # looking keys up again could miss one
    if type(other) is dict:
        return other.items()
    if isinstance(other, Mapping):
        return ((key, other[key]) for key in other)
    if hasattr(other, "keys"):
        return ((key, other[key]) for key in other.keys())  # noqa: SIM118  (keys() is all it has)
    found: Iterable[Any] = other
    return found


def unusable(view: object, closed: bool) -> ValueError:
    """Return what is raised where a view has no map: it is *closed*, or was never initialized."""
    if closed:
        return ValueError("this handle is closed; make another with handle()")
    return ValueError(f"{type(view).__name__}.__init__() has not been called")


@mypyc_attr(allow_interpreted_subclasses=True)
class ConcurrentMap:
    """A mutable mapping that any number of threads may use at once.

    It has dict's operations, exceptions and exception arguments, and the operations that concurrent code
    needs: conditional updates of one key, batches, per-thread handles. What a particular backend promises
    beyond "no crash, no lost update of a completed operation" is in its :class:`intermodal.Capabilities`.

    Args:
        data: a mapping or an iterable of pairs to start with.

    - Order: the order of iteration is the backend's; only *ordered* backends promise one.
    - Iteration never raises because of concurrent changes; the backend declares what it may miss.
    - ``repr`` is that of a dict with the same entries; ``==`` compares with any Mapping by value.
    - Maps are not hashable. They can be weakly referenced.
    - Pickling and copying take the entries, as iteration finds them, into a map of the same class.
    """

    __slots__ = ()

    # ---- what a backend must define -----------------------------------------------------------------------

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of *key*, or *default* if there is none.

        Raises: TypeError if *key* is not hashable; whatever its ``__hash__`` or ``__eq__`` raises.

        >>> from intermodal import open_map
        >>> open_map("locked").get("missing", 0)
        0
        """
        raise NotImplementedError

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        """Let *key* have the value *new* if its value is *current* (``is``); return whether it was.

        ABSENT on either side stands for no entry. One linearizable step.
        """
        raise NotImplementedError

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        """Return an iterator of (key, value) pairs with the guarantee that the backend declares."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of entries; what it means beside concurrent changes is declared."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove every entry; whether in one step is declared."""
        raise NotImplementedError

    def _current(self, key: Any) -> Any:
        """Return the value of *key* that changes go by, ABSENT if there is none: what ``get`` does.

        A backend whose readers may be shown an older one defines it.
        """
        return self.get(key, ABSENT)

    # ---- one key: dict's operations -----------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        value = self.get(key, ABSENT)
        if value is ABSENT:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        while not self._compare_exchange(key, self._current(key), value):
            pass

    def __delitem__(self, key: Any) -> None:
        self.pop(key)

    def __contains__(self, key: object) -> bool:
        return self.get(key, ABSENT) is not ABSENT

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        """Remove *key* and return its value, or *default* if there is none.

        Raises: KeyError(key) if there is none and no *default* was given.
        """
        while True:
            value = self._current(key)
            if value is ABSENT:
                if default is ABSENT:
                    raise KeyError(key)
                return default
            if self._compare_exchange(key, value, ABSENT):
                return value

    def popitem(self) -> tuple[Any, Any]:
        """Remove one entry, which one is the backend's choice, and return it as (key, value).

        Raises: KeyError if the map is empty.
        """
        while True:
            for key, value in self._iterate():
                if self._compare_exchange(key, value, ABSENT):
                    return key, value
                break
            else:
                raise KeyError("popitem(): map is empty")

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the value of *key*; if there is none, insert *default* and return it. One step."""
        check_value(default)
        while True:
            value = self._current(key)
            if value is not ABSENT:
                return value
            if self._compare_exchange(key, ABSENT, default):
                return default

    # ---- one key: conditional updates ---------------------------------------------------------------------

    def insert(self, key: Any, value: Any) -> bool:
        """Add the entry only if *key* has none; return whether it was added.

        >>> from intermodal import open_map
        >>> m = open_map("locked")
        >>> m.insert("a", 1), m.insert("a", 2), m["a"]
        (True, False, 1)
        """
        check_value(value)
        return self._compare_exchange(key, ABSENT, value)

    def replace(self, key: Any, value: Any) -> Any:
        """Change the value of *key* only if it has one; return the old value.

        Raises: KeyError(key) if there is none.
        """
        check_value(value)
        while True:
            old = self._current(key)
            if old is ABSENT:
                raise KeyError(key)
            if self._compare_exchange(key, old, value):
                return old

    def compare_and_set(self, key: Any, expected: Any, desired: Any) -> bool:
        """Let *key* have the value *desired* if it has the value *expected*; return whether it did.

        Values are compared by identity first, then with ``==``, outside any lock. ABSENT as *expected* means
        "has no value", as *desired* "remove the entry".

        >>> from intermodal import ABSENT, open_map
        >>> m = open_map("locked")
        >>> m.compare_and_set("a", ABSENT, 1), m.compare_and_set("a", 1, 2), m.compare_and_set("a", 1, 3)
        (True, True, False)
        """
        while True:
            current = self._current(key)
            if current is not expected:
                absent = current is ABSENT or expected is ABSENT
                if absent or not current == expected:  # noqa: SIM201  (a value's __ne__ may say otherwise)
                    return False
            if self._compare_exchange(key, current, desired):
                return True

    def compute(self, key: Any, function: Callable[[Any], Any]) -> Any:
        """Replace the value of *key* by ``function(old value or ABSENT)`` and return the new one.

        If *function* returns ABSENT the entry is removed. The change is one step: *function* is called again,
        with the newer value, if another thread changed the entry meanwhile, unless the backend says that it
        calls it once. If it raises, nothing has changed.

        >>> from intermodal import ABSENT, open_map
        >>> m = open_map("locked")
        >>> [m.compute("hits", lambda old: 1 if old is ABSENT else old + 1) for _ in range(3)]
        [1, 2, 3]
        """
        while True:
            old = self._current(key)
            new = function(old)
            if self._compare_exchange(key, old, new):
                return new

    def get_or_insert_with(self, key: Any, factory: Callable[[], Any]) -> Any:
        """Return the value of *key*; if there is none, insert ``factory()`` and return what is then there.

        Of several threads that find nothing each calls its factory, unless the backend says otherwise; one
        result is inserted and returned to all of them.
        """
        value = self._current(key)
        if value is not ABSENT:
            return value
        return self.setdefault(key, factory())

    def remove_if(self, key: Any, predicate: Callable[[Any], object]) -> bool:
        """Remove the entry of *key* if *predicate* is true of its value; return whether it was removed.

        The value removed is one that *predicate* was called with.
        """
        while True:
            value = self._current(key)
            if value is ABSENT or not predicate(value):
                return False
            if self._compare_exchange(key, value, ABSENT):
                return True

    # ---- many keys ----------------------------------------------------------------------------------------

    def retain(self, predicate: Callable[[Any, Any], object]) -> int:
        """Keep only the entries of which ``predicate(key, value)`` is true; return how many were removed.

        Each removal is a step of its own; an entry changed after *predicate* saw it stays.
        """
        removed = 0
        for key, value in self._iterate():
            if not predicate(key, value) and self._compare_exchange(key, value, ABSENT):
                removed += 1
        return removed

    def get_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Return the values of *keys* in their order, *default* for each without one.

        Each look-up is a step of its own.
        """
        return [self.get(key, default) for key in keys]

    def set_many(self, keys: Iterable[Any], values: Iterable[Any] | None = None) -> None:
        """Set the entries of *keys*, a mapping or an iterable of pairs, or the *values* of *keys* in order.

        In steps as those of ``update``.

        Raises: ValueError, before any change, if there are not as many values as keys.
        """
        if values is None:
            self.update(keys)
            return
        keys, values = list(keys), list(values)
        if len(keys) != len(values):
            raise ValueError(f"set_many() got {len(keys)} keys and {len(values)} values; nothing was set")
        for value in values:
            check_value(value)
        self.update(zip(keys, values, strict=True))

    def pop_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Remove *keys* and return their values in order, *default* for each that had none.

        Each removal is a step of its own.
        """
        return [self.pop(key, default) for key in keys]

    def update(self, /, *arguments: Any, **entries: Any) -> None:
        """Set the entries of a mapping or of an iterable of pairs, then the keyword arguments.

        Each entry is set in a step of its own.
        """
        for key, value in pairs_of(sole_argument("update()", arguments)):
            self[key] = value
        for name, value in entries.items():
            self[name] = value

    # ---- several values for a key: where multi_value is declared ------------------------------------------

    def add(self, key: Any, value: Any) -> None:  # noqa: ARG002
        """Give *key* one value more, whatever it has; equal ones are counted.

        The other operations go on to treat the key as one of a mapping: they show one of its values, setting
        it sets the values to that one, removing it removes all.

        Raises: NotSupported if the backend has one value for a key; the message names those with several.
        """
        raise NotSupported("add", type(self).__name__, "multi_value")

    def get_all(self, key: Any) -> tuple[Any, ...]:  # noqa: ARG002
        """Return the values of *key*, in no order that means anything; () if there are none.

        Raises: NotSupported, as :meth:`add`.
        """
        raise NotSupported("get_all", type(self).__name__, "multi_value")

    def remove_value(self, key: Any, value: Any) -> bool:  # noqa: ARG002
        """Take one value of *key* away that is *value*, or else equals it; return whether there was one.

        Raises: NotSupported, as :meth:`add`.
        """
        raise NotSupported("remove_value", type(self).__name__, "multi_value")

    # ---- when writes become visible: where they are published ---------------------------------------------

    def publish(self) -> None:
        """Make all that was written visible to readers, at one moment.

        Where points are linearizable it is visible already, and this does nothing: a program that publishes
        works with every backend.

        >>> from intermodal import open_map
        >>> m = open_map("locked")
        >>> with m.publishing_every(0):
        ...     m["a"] = 1
        ...     m.publish()
        >>> m["a"]
        1
        """

    def publishing_every(self, writes: int = 0) -> Any:  # noqa: ARG002
        """Return a context manager in which the map publishes after every so many *writes*, of all threads.

        0: only when it is asked to. Unless told otherwise a map publishes each write by itself. At the end
        all is published, and the map does what it did before. Where points are linearizable, nothing changes.
        """
        return nullcontext()

    # ---- the whole map ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        for key, _ in self._iterate():
            yield key

    def keys(self) -> KeysView[Any]:
        """Return a live, set-like view of the keys."""
        return KeysView(self)

    def values(self) -> EntryValuesView[Any]:
        """Return a live view of the values."""
        return EntryValuesView(self)

    def items(self) -> EntriesView[Any, Any]:
        """Return a live, set-like view of the (key, value) pairs."""
        return EntriesView(self)

    def copy(self) -> ConcurrentMap:
        """Return a new map of the same class with the same entries, as iteration finds them."""
        new = type(self)()
        new.update(self._iterate())
        return new

    def __copy__(self) -> ConcurrentMap:
        return self.copy()

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None, /) -> Any:
        """Return a new map in which each of *keys* has the same *value*."""
        new = cast("Any", cls)()  # a subclass's __new__ may return something else
        for key in keys:
            new[key] = value
        return new

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the entries of one moment.

        Raises: NotSupported if the backend cannot take one; the message names the backends that can.
        """
        raise NotSupported("snapshot", type(self).__name__, "snapshot")

    def statistics(self) -> MapStatistics:
        """Return a frozen record of what the map is made of just now."""
        return MapStatistics(entries=len(self))

    def __or__(self, other: object) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        new = self.copy()
        new.update(other)
        return new

    def __ror__(self, other: object) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        new = type(self)()
        new.update(other)
        new.update(self._iterate())
        return new

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def __eq__(self, other: object) -> Any:
        if self is other:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self._iterate()) == dict(other.items())

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        raise TypeError(f"unhashable type: '{type(self).__name__}'")

    def __repr__(self) -> str:
        return map_repr(self)

    @classmethod
    def __class_getitem__(cls, parameters: Any) -> GenericAlias:
        return GenericAlias(cls, parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        attributes = getattr(self, "__dict__", {})  # those of a subclass; an engine's own begin with _
        state = {name: value for name, value in attributes.items() if not name.startswith("_")}
        return type(self), (), state or None, None, iter(list(self._iterate()))

    # ---- handles ------------------------------------------------------------------------------------------

    def handle(self) -> ConcurrentMap:
        """Return a view of this map for the calling thread, with the same operations.

        A handle keeps per-thread what other threads' operations would contend for; where a backend has
        nothing to keep, it is the map itself. Use it in the thread that made it, and close it or leave its
        ``with`` block when done; used by another thread it is correct, and slower.

        >>> from intermodal import open_map
        >>> m = open_map("locked")
        >>> with m.handle() as mine:
        ...     mine["a"] = 1
        >>> m["a"]
        1
        """
        return self

    def close(self) -> None:
        """Give up what a handle keeps; closing a map that is not a handle does nothing."""

    def __enter__(self) -> ConcurrentMap:  # noqa: PYI034  (mypyc wants the class)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- for tests ----------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Raise AssertionError if an internal invariant does not hold. For a map that nobody else uses."""


#: A map of anything to anything.
AnyMap: TypeAlias = ConcurrentMap

MutableMapping.register(ConcurrentMap)
