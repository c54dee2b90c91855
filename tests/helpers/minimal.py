"""The smallest map there can be, for tests of what the contract itself defines."""

from __future__ import annotations

import contextlib
import threading
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from intermodal import ABSENT, ConcurrentMap
from intermodal.capabilities import Capabilities
from intermodal.maps import check_value
from intermodal.testing.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class MinimalMap(ConcurrentMap):
    """The five methods that a backend must define, and nothing else: everything else is the contract's own."""

    def __init__(self, data: Any = (), /, **entries: Any) -> None:
        if not hasattr(self, "_data"):
            self._lock = threading.RLock()
            self._data: dict[Any, Any] = {}
        self.update(data, **entries)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of *key* or *default*."""
        with self._lock:
            return self._data.get(key, default)

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        with self._lock:
            old = self._data.get(key, ABSENT)
            if old is not current:
                return False
            if new is ABSENT:
                self._data.pop(key, None)
            else:
                self._data[key] = new
            return True

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        with self._lock:
            return iter(list(self._data.items()))

    def __len__(self) -> int:
        with self._lock:
            return len(self._data)

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            old, self._data = self._data, {}
        del old


CAPABILITIES = Capabilities(
    points="linearizable",
    iteration="snapshot",
    length="exact",
    length_cost="O(1)",
    clear="atomic",
)

#: What the defaults of ConcurrentMap make of it.
#: It does not look at keys: one kind of them will do where many threads wait for its one lock.
MINIMAL = Subject("contract", CAPABILITIES, lambda **_: MinimalMap(), kinds=("int",))


class ManifoldMap(MinimalMap):
    """The same with what else a backend can declare: order where keys have one, types, snapshots, one call."""

    TYPES: ClassVar = {"object": object, "int64": int, "float64": float}

    def __init__(self, *data: Any, key_type: str = "object", value_type: str = "object") -> None:
        self._types = self.TYPES[key_type], self.TYPES[value_type]
        super().__init__(*data)

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        for each, kind in zip((key, new), self._types, strict=True):
            if each is not ABSENT and (
                not isinstance(each, kind) or (kind is int and not -(2**63) <= each < 2**63)
            ):
                raise TypeError(f"{each!r} is no {kind.__name__} of 64 bits")
        return super()._compare_exchange(key, current, new)

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        entries = list(super()._iterate())
        with contextlib.suppress(TypeError):
            entries.sort(key=itemgetter(0))
        return iter(entries)

    def compute(self, key: Any, function: Callable[[Any], Any]) -> Any:
        """Replace the value of *key* by what *function* makes of it."""
        with self._lock:
            new = function(self.get(key, ABSENT))
            self._compare_exchange(key, self.get(key, ABSENT), new)
            return new

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the entries of one moment."""
        return MappingProxyType(dict(self._iterate()))


class PublishedMap(MinimalMap):
    """What is written, and what was published of it, several values for a key: the smallest of that kind."""

    def __init__(self, *data: Any, **entries: Any) -> None:
        if not hasattr(self, "_data"):
            self._published: dict[Any, tuple[Any, ...]] = {}
            self._every, self._pending = 1, 0
        super().__init__(*data, **entries)

    # ---- reading: what was published

    def get_all(self, key: Any) -> tuple[Any, ...]:
        """Return the values of *key*."""
        return self._published.get(key, ())

    def get(self, key: Any, default: Any = None) -> Any:
        """Return one value of *key* or *default*."""
        values = self._published.get(key)
        return values[0] if values else default

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return iter([(key, values[0]) for key, values in self._published.items()])

    def __len__(self) -> int:
        return len(self._published)

    # ---- writing: going by what is written

    def _write(self, key: Any, values: tuple[Any, ...]) -> None:
        if values:
            self._data[key] = values
        else:
            self._data.pop(key, None)
        self._pending += 1
        if self._every and self._pending >= self._every:
            self.publish()

    def _current(self, key: Any) -> Any:
        return self._data.get(key, (ABSENT,))[0]

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        with self._lock:
            if self._current(key) is not current:
                return False
            self._write(key, () if new is ABSENT else (new,))
            return True

    def add(self, key: Any, value: Any) -> None:
        """Give *key* one value more."""
        check_value(value)
        with self._lock:
            self._write(key, (*self._data.get(key, ()), value))

    def remove_value(self, key: Any, value: Any) -> bool:
        """Take one value of *key* away."""
        while True:
            values = self._data.get(key, ())
            index = next((at for at, each in enumerate(values) if each is value), None)
            if index is None:
                index = next((at for at, each in enumerate(values) if each == value), None)
            if index is None:
                return False
            with self._lock:
                if self._data.get(key, ()) is values:
                    self._write(key, values[:index] + values[index + 1 :])
                    return True

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._data = {}
            self._pending += 1
            if self._every:
                self.publish()

    def publish(self) -> None:
        """Show what is written."""
        with self._lock:
            self._published, self._pending = dict(self._data), 0

    @contextlib.contextmanager
    def publishing_every(self, writes: int = 0) -> Iterator[None]:
        """Publish after so many writes."""
        before, self._every = self._every, writes
        try:
            yield
        finally:
            self._every = before
            self.publish()

    def __reduce__(self) -> tuple[Any, ...]:
        return _refilled, (type(self), [(key, list(values)) for key, values in self._published.items()])

    def copy(self) -> ConcurrentMap:
        """Return another with the same values."""
        return _refilled(type(self), self._published.items())


def _refilled(kind: type[PublishedMap], entries: Any) -> PublishedMap:
    made = kind()
    for key, values in entries:
        for value in values:
            made.add(key, value)
    return made


class _Written(ConcurrentMap):
    """A published map as one sees it who looks for what to change among all that is written."""

    def __init__(self, owner: PublishedMap) -> None:
        self._owner = owner

    def get(self, key: Any, default: Any = None) -> Any:
        value = self._owner._current(key)
        return default if value is ABSENT else value

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        return self._owner._compare_exchange(key, current, new)

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        with self._owner._lock:
            return iter([(key, values[0]) for key, values in self._owner._data.items()])


def _going_by_what_is_written(name: str) -> Any:
    def operation(self: PublishedMap, *arguments: Any, **keywords: Any) -> Any:
        return getattr(_Written(self), name)(*arguments, **keywords)

    return operation


for _name in ("popitem", "retain"):
    setattr(PublishedMap, _name, _going_by_what_is_written(_name))

PUBLISHED = Subject(
    "published",
    attrs.evolve(CAPABILITIES, points="published", multi_value=True),
    lambda **_: PublishedMap(),
    kinds=("int", "own"),
)


def _manifold(key_type: str = "object", value_type: str = "object", **_: Any) -> ManifoldMap:
    return ManifoldMap(key_type=key_type, value_type=value_type)


MANIFOLD = Subject(
    "manifold",
    attrs.evolve(
        CAPABILITIES,
        length_cost="O(n)",
        ordered=True,
        snapshot=True,
        callbacks_once=True,
        key_types=("object", "int64", "float64"),
        value_types=("object", "int64", "float64"),
    ),
    _manifold,
)
