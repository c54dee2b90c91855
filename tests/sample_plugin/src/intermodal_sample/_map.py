"""The class that users get; interpreted, for the reason that the README of this distribution gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal.plugins import ConcurrentMap
from intermodal_sample._engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator


class SampleMap(ConcurrentMap[Any, Any]):
    """A map of 64 buckets: reads take no lock, a write replaces its bucket's tuple in one step.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Operations on one key are linearizable. No user code runs under a lock: there is none.
    """

    def __init__(self, data: Any = (), /, **entries: Any) -> None:
        if not hasattr(self, "_engine"):  # a second call, like dict's, only updates
            self._engine = Engine()
        self.update(data, **entries)

    def get(self, key: Any, default: Any = None) -> Any:
        return self._engine.get(key, default)

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        return self._engine.compare_exchange(key, current, new)

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._engine.entries())

    def __len__(self) -> int:
        return self._engine.length()

    def clear(self) -> None:
        self._engine.clear()
