"""Verdicts: what a checker says of a history, in a form to test and in one to read.

May import histories and timelines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from intermodal._absent import ABSENT
from intermodal.testing.histories import Operation
from intermodal.testing.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Hashable


@attrs.frozen(kw_only=True)
class Violation:
    """Where a history breaks a promise.

    Attributes:
        summary: what is wrong, in a sentence.
        key: of which key; ABSENT if it is not about one.
        refused: the operation that cannot be explained; everything that had returned before it can.
        explained: how many operations on the key, or the map, had returned before it.
        operations: a small part of the history that breaks the promise by itself, or shows how it is broken.
        notes: what to know about them, a sentence each.
    """

    summary: str
    key: Hashable = ABSENT
    refused: Operation
    explained: int
    operations: tuple[Operation, ...]
    notes: tuple[str, ...] = ()

    def text(self, width: int = 110) -> str:
        """Return the whole report, with a timeline; no line of that is longer than *width* columns."""
        drawn = timeline(self.operations, width=width, marked=[self.refused], with_keys=self.key is ABSENT)
        return "\n".join([self.summary, *self.notes, "", drawn])

    def __str__(self) -> str:
        return self.text()


@attrs.frozen(kw_only=True)
class Verdict:
    """What a checker found; true if the promise held.

    Attributes:
        promise: what was checked, in a word or two.
        operations: how many operations were looked at.
        keys: how many keys they were on.
        violation: the first that was found, None if there is none.
        broken_keys: all keys whose part of the history breaks the promise.
    """

    promise: str
    operations: int
    keys: int
    violation: Violation | None = None
    broken_keys: tuple[Hashable, ...] = ()

    def __bool__(self) -> bool:
        return self.violation is None

    def require(self) -> None:
        """Raise AssertionError, with the whole report, unless the promise held."""
        if self.violation is not None:
            raise AssertionError(f"{self}")

    def __str__(self) -> str:
        size = f"{self.operations} operations on {self.keys} key{'s' * (self.keys != 1)}"
        if self.violation is None:
            return f"{self.promise}: holds for {size}"
        broken = f", broken for {len(self.broken_keys)} of them" if self.keys > 1 and self.broken_keys else ""
        return f"{self.promise}: does not hold for {size}{broken}\n{self.violation}"
