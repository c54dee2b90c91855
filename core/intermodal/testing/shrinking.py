"""Small violations: a few operations of a long history that no order explains.

Leaving operations out must not make up a violation: without the writer of a value, whoever read it looks
wrong. So every reduction here is one of which it can be shown that, if the history had an order, the
operations left would have one; their having none is then a fact about the history.

- *Leaving out.* Take an order of the whole history and strike out some operations. What is left is in order
  as long as no operation that is kept depends on the value that one struck out had left for it. So a kept
  operation that depends on the value before it keeps every write that can have come last before it: one that
  leaves a value with which it is possible, was called before it returned, and was not certainly overwritten
  before it was called. If there is none it keeps the last writer of what it found, so that one sees where
  that came from.
- *Cutting.* The operations that had returned at some moment give way to the set of values that they can have
  left, which the search knows. Writes under way at the moment are kept, and may already have been done.

May import histories, transitions and the search.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal.testing.search import Search, events_of
from intermodal.testing.transitions import steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from intermodal.testing.histories import Operation

#: As many operations are readable at once: a cut does not have to make them fewer.
_READABLE: Final = 12
#: More are not tried without a cut.
_MOST: Final = 600
_NEVER: Final = float("inf")


@attrs.frozen
class Core:
    """Operations on one key that no order explains.

    Attributes:
        operations: in the order of their calls.
        refused: the one of them whose return shows it.
        before: the values that the key may have before; intermodal.testing.search.OTHER for any.
        loose: those that were called before the moment at which *before* holds.
        cut: how many operations had returned before that moment; 0 if it is the beginning.
        first: the operation at whose return the whole was refused.
        explained: how many operations had returned before that.
    """

    operations: tuple[Operation, ...]
    refused: Operation
    before: frozenset[Any]
    loose: tuple[Operation, ...] = ()
    cut: int = 0
    first: Operation | None = None
    explained: int = 0


def smallest(operations: Sequence[Operation], starts: frozenset[Any]) -> Core:
    """Return a small part of *operations*, on one key and not linearizable, that is not so by itself.

    Args:
        operations: in the order of their calls.
        starts: the values that the key may have before them.

    Complexity: mostly that of two searches; what is then reduced further is a few hundred operations.
    """
    search = Search(operations, starts)
    values: list[frozenset[Any]] = []
    failure = search.run(values)
    if failure is None:
        raise ValueError("these operations are linearizable: there is nothing to make smaller")
    count = sum(not returned for _, returned, _ in search.events[:failure])
    prefix = list(operations[:count])
    last = search.events[failure][2]
    core = _without_cut(_Part(prefix, starts), last)
    if core is None or len(core.operations) > _READABLE:
        cut = _with_cut(prefix, values, events_of(prefix), last)
        if core is None or len(cut.operations) < len(core.operations):
            core = cut
    explained = sum(returned for _, returned, _ in search.events[:failure])
    return attrs.evolve(core, first=operations[last], explained=explained)


class _Part:
    """Operations from which to leave some out.

    Args:
        operations: in the order of their calls.
        starts: the values that the key may have before them.
        loose: the indices of those that may have been done before, or not at all.
    """

    def __init__(
        self, operations: Sequence[Operation], starts: frozenset[Any], loose: frozenset[int] = frozenset()
    ) -> None:
        self.operations = operations
        self.starts = starts
        self.loose = loose
        self.steps = steps_of(operations)
        self._ends = [
            _NEVER if index in loose or each.returned is None else each.returned
            for index, each in enumerate(operations)
        ]
        self._writers = [index for index, step in enumerate(self.steps) if step.writes]
        # When completed writes had returned, and of those up to there the latest call: whatever had returned
        # before that was overwritten.
        done = sorted((self._ends[index], operations[index].called) for index in self._writers)
        self._returns = [end for end, _ in done]
        self._calls: list[int] = []
        for _, called in done:
            self._calls.append(max(called, self._calls[-1] if self._calls else called))
        self._needed: dict[int, list[int]] = {}

    def search(self, kept: Iterable[int]) -> tuple[int, ...] | None:
        """Return *kept* up to the operation that cannot be explained, that one last, or None."""
        indices = sorted(kept)
        loose = frozenset(place for place, index in enumerate(indices) if index in self.loose)
        search = Search([self.operations[index] for index in indices], self.starts, loose)
        failure = search.run()
        if failure is None:
            return None
        refused = indices[search.events[failure][2]]
        called = [indices[place] for _, returned, place in search.events[:failure] if not returned]
        return (*(index for index in called if index != refused), refused)

    def needs(self, index: int) -> list[int]:
        """Return the writes that must be kept because the operation may have come right behind them."""
        if index not in self._needed:
            self._needed[index] = self._find_needs(index)
        return self._needed[index]

    def _find_needs(self, index: int) -> list[int]:
        step = self.steps[index]
        if step.blind:
            return []
        called, end = self.operations[index].called, self._ends[index]
        place = bisect.bisect_left(self._returns, called)
        overwritten = self._calls[place - 1] if place else -_NEVER
        fitting = [
            writer
            for writer in self._writers
            if writer != index
            and step.possible(self.steps[writer].effect)
            and self.operations[writer].called <= end
        ]
        visible = [writer for writer in fitting if self._ends[writer] >= overwritten]
        if visible or not step.among or any(step.possible(value) for value in self.starts):
            return visible
        return fitting[-1:]

    def closed(self, kept: Iterable[int]) -> frozenset[int]:
        """Return *kept* and all that these operations need, and those in turn."""
        return _reachable(kept, self.needs)

    def reduced(self, kept: frozenset[int]) -> tuple[int, ...]:
        """Leave out of *kept*, closed and refused, what can be, in smaller and smaller chunks.

        The refused operation is the last.
        """
        refused = self.search(kept)
        assert refused is not None
        size = len(kept) // 2 or 1
        while True:
            smaller = self._leave_out(refused, size)
            if smaller is not None:
                refused = smaller
                size = min(size, len(refused) // 2 or 1)
            elif size == 1:
                return refused
            else:
                size //= 2

    def _leave_out(self, kept: tuple[int, ...], size: int) -> tuple[int, ...] | None:
        """Return what is left of *kept* without some chunk of *size*, if that is still refused."""
        indices = sorted(self.closed(kept))
        needed_by: dict[int, list[int]] = {index: [] for index in indices}
        for index in indices:
            for each in self.needs(index):
                needed_by[each].append(index)
        for start in range(0, len(indices), size):
            chunk = indices[start : start + size]
            # With all that needs the chunk, too; or of the chunk only what nothing else needs.
            dependent = _reachable(chunk, needed_by.__getitem__)
            for rest in (
                frozenset(indices) - dependent,
                self.closed(indices[:start] + indices[start + size :]),
            ):
                refused = self.search(rest) if len(rest) < len(indices) else None
                if refused is not None:
                    return refused
        return None

    def core(self, kept: tuple[int, ...], cut: int = 0) -> Core:
        """Return the operations of *kept*, the refused one being the last, with what they need."""
        indices = sorted(self.closed(kept))
        return Core(
            operations=tuple(self.operations[index] for index in indices),
            refused=self.operations[kept[-1]],
            before=self.starts,
            loose=tuple(self.operations[index] for index in indices if index in self.loose),
            cut=cut,
        )


def _reachable(starts: Iterable[int], following: Callable[[int], Iterable[int]]) -> frozenset[int]:
    found = set(starts)
    todo = list(found)
    while todo:
        new = [each for each in following(todo.pop()) if each not in found]
        found.update(new)
        todo += new
    return frozenset(found)


def _without_cut(part: _Part, last: int) -> Core | None:
    """Return a violation from the beginning of the history, or None if that takes too many operations."""
    number = len(part.operations)
    size = 1
    while True:
        kept = part.closed({*range(max(number - size, 0), number), last})
        if len(kept) > _MOST:
            return None
        if part.search(kept) is not None:
            return part.core(part.reduced(kept))
        if size >= number:
            return None
        size *= 2


def _with_cut(
    prefix: Sequence[Operation],
    values: list[frozenset[Any]],
    events: list[tuple[int, bool, int]],
    last: int,
) -> Core:
    """Return a violation that begins at the latest moment at which one can."""
    failure = events.index((prefix[last].returned or 0, True, last))
    size = 2
    while True:
        start = max(failure - size, 0)
        gone = {index for _, returned, index in events[:start] if returned}
        begun = {index for _, returned, index in events[:start] if not returned} - gone
        left = [index for index in range(len(prefix)) if index not in gone]
        steps = steps_of([prefix[index] for index in left])
        kept = [index for index, step in zip(left, steps, strict=True) if index not in begun or step.writes]
        loose = frozenset(place for place, index in enumerate(kept) if index in begun)
        part = _Part([prefix[index] for index in kept], values[start], loose)
        if part.search(range(len(kept))) is not None:
            return part.core(part.reduced(frozenset(range(len(kept)))), cut=len(gone))
        assert start, "the whole is refused, and so must be what begins with it"
        size *= 2
