"""The contract of maps, kept by a dict that only one thread uses: what every backend is compared with.

May import only core's public names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal import ABSENT, ConcurrentMap

if TYPE_CHECKING:
    from collections.abc import Iterator


class SequentialMap(ConcurrentMap):
    """A dict with the operations of :class:`intermodal.ConcurrentMap`, for one thread at a time.

    Args:
        data: a mapping or an iterable of pairs to start with.

    Complexity: dict's. Thread-safety: none.

    >>> m = SequentialMap({"a": 1})
    >>> m.insert("a", 2), m.compute("b", lambda old: [old])
    (False, [intermodal.ABSENT])
    """

    def __init__(self, data: Any = (), /) -> None:
        self._data = dict(data)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of *key* or *default*."""
        return self._data.get(key, default)

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if self._data.get(key, ABSENT) is not current:
            return False
        if new is ABSENT:
            self._data.pop(key, None)
        else:
            self._data[key] = new
        return True

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return iter(list(self._data.items()))

    def __len__(self) -> int:
        return len(self._data)

    def clear(self) -> None:
        """Remove every entry."""
        self._data.clear()
