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
