"""A map of any objects over a typed one, so that the conformance kit's threads meet in typed maps.

Keys and values get numbers, for good; the numbers are what the typed map has. Equal keys have one number, and so
has each value, by identity: what the kit says of keys and values is then true of the numbers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from intermodal import ABSENT, ConcurrentMap, backends, open_map
from intermodal.testing.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator


class Codes:
    """Numbers of objects, both ways."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: list[Any] = []
        self.numbers: dict[Any, int] = {}

    def number(self, value: Any, name: Any) -> int:
        """Return the number of *value*, which is that of every value of the same *name*."""
        with self.lock:
            number = self.numbers.setdefault(name, len(self.objects))
            if number == len(self.objects):
                self.objects.append(value)
            return number


class CodedMap(ConcurrentMap):
    """The five methods of a map, and those that a typed map does in its own way, by numbers."""

    def __init__(self, inner: Any, keys: Codes, values: Codes) -> None:
        self._inner, self._keys, self._values = inner, keys, values

    def _key(self, key: Any) -> int:
        return self._keys.number(key, key)

    def _value(self, value: Any) -> Any:
        return ABSENT if value is ABSENT else self._values.number(value, id(value))

    def get(self, key: Any, default: Any = None) -> Any:
        number = self._inner.get(self._key(key), ABSENT)
        return default if number is ABSENT else self._values.objects[number]

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        number = self._inner.pop(self._key(key), None)
        if number is not None:
            return self._values.objects[number]
        if default is ABSENT:
            raise KeyError(key)
        return default

    def __setitem__(self, key: Any, value: Any) -> None:
        self._inner[self._key(key)] = self._value(value)

    def popitem(self) -> tuple[Any, Any]:
        key, value = self._inner.popitem()
        return self._keys.objects[key], self._values.objects[value]

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        changed: bool = self._inner._compare_exchange(self._key(key), self._value(current), self._value(new))
        return changed

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        for key, value in self._inner._iterate():
            yield self._keys.objects[key], self._values.objects[value]

    def __len__(self) -> int:
        return len(self._inner)

    def clear(self) -> None:
        """Remove every entry."""
        self._inner.clear()

    def handle(self) -> CodedMap:
        """Return a view by a handle of the typed map."""
        return CodedMap(self._inner.handle(), self._keys, self._values)

    def copy(self) -> CodedMap:
        """Return a map of its own with the same numbers."""
        return CodedMap(self._inner.copy(), self._keys, self._values)

    def close(self) -> None:
        """Close the handle."""
        self._inner.close()

    def _check(self) -> None:
        self._inner._check()


def coded(backend: str) -> Subject:
    """Return what the kit tests of a *backend*'s typed maps."""
    (spec,) = [spec for spec in backends() if spec.name == backend]

    class Coded(CodedMap):
        def __init__(self) -> None:
            super().__init__(open_map(backend, key_type="int64", value_type="int64"), Codes(), Codes())

    return Subject(f"{backend}-words", spec.capabilities, lambda **_: Coded(), kinds=("int",))
