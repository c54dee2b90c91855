"""Exact accounting of objects: how many were made, how many of them are gone; needs nothing but Python."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from intermodal.testing.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable


def collected(condition: Callable[[], bool], settle: Callable[[], object] = lambda: None) -> bool:
    """Return whether *condition* holds, at once, after *settle*, or when garbage has been collected.

    Collecting takes long. *settle* lets go of what reclaimers hold back.
    """
    if condition():
        return True
    settle()
    if condition():
        return True
    gc.collect()
    settle()
    return condition()


class Ledger:
    """Makes keys and values, and knows how many of them are alive.

    Args:
        settle: lets go of what reclaimers hold back.
    """

    def __init__(self, settle: Callable[[], object] = lambda: None) -> None:
        self._settle = settle
        self._made: list[None] = []  # appending is atomic
        self._dropped: list[None] = []

    def key(self, name: object, hash_value: int | None = None) -> Key:
        """Return a new key of that name."""
        return _LedgerKey(self, name, hash_value)

    def value(self, content: object = None) -> Any:
        """Return a new value, which can be compared by its *content* alone."""
        return _LedgerValue(self, content)

    def expect(self, live: int) -> None:
        """Verify that *live* of the objects made are alive; collects garbage only if there are not.

        Raises: AssertionError.
        """
        if not collected(lambda: self.live() == live, self._settle):
            raise AssertionError(f"{self.live()} of {len(self._made)} objects are alive, not {live}")

    def live(self) -> int:
        """Return how many of the objects made have not been dropped, garbage included."""
        return len(self._made) - len(self._dropped)


class _LedgerKey(Key):
    def __init__(self, ledger: Ledger, name: object, hash_value: int | None) -> None:
        super().__init__(name, hash_value)
        self.dropped = ledger._dropped
        ledger._made.append(None)

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> Any:
        return super().__eq__(other)

    def __del__(self) -> None:
        self.dropped.append(None)


class _LedgerValue:
    def __init__(self, ledger: Ledger, content: object) -> None:
        self.content, self.dropped = content, ledger._dropped
        ledger._made.append(None)

    def __del__(self) -> None:
        self.dropped.append(None)
