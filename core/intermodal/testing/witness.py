"""The log-witness check: a replicated structure's own log says in which order its operations took effect.

So no search is needed: the changes are executed once more in that order, each result is compared with the one
that was returned, and each operation's place in the order with the time at which it was called. O(n log n).

May import only the contracts.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import attrs

from intermodal.dispatch import Dispatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@attrs.frozen
class Witnessed:
    """One operation that has ended.

    Attributes:
        begin: a number lower than those of all events after its call.
        end: a number higher than those of all events before its return.
        position: how many changes it has seen before it.
        operation: what was asked.
        result: what was returned; an exception that was raised.
        changes: whether it is a change.
    """

    begin: int
    end: int
    position: int
    operation: Any
    result: Any
    changes: bool


class Numbered(Dispatch):
    """A structure whose results come with the number of changes before them, exceptions as values."""

    def __init__(self, structure: Dispatch) -> None:
        self.structure, self.changes = structure, 0

    def dispatch(self, operation: Any) -> Any:
        return self.changes, _outcome(self.structure.dispatch, operation)

    def dispatch_mut(self, operation: Any) -> Any:
        outcome = _outcome(self.structure.dispatch_mut, operation)
        self.changes += 1
        return self.changes - 1, outcome


def _outcome(function: Callable[[Any], Any], operation: Any) -> Any:
    try:
        return function(operation)
    except Exception as error:  # noqa: BLE001  (a result)
        return error


class Witness:
    """Records what threads do with a replicated :class:`Numbered`; any number of threads may use it."""

    def __init__(self) -> None:
        self._clock = count()
        self.operations: list[Witnessed] = []

    def read(self, view: Any, operation: Any) -> Any:
        """Execute and record an operation that changes nothing; return its result."""
        begin = next(self._clock)
        position, result = view.execute(operation)
        self.operations.append(Witnessed(begin, next(self._clock), position, operation, result, False))
        return result

    def write(self, view: Any, operation: Any) -> Any:
        """Execute and record a change; return its result."""
        begin = next(self._clock)
        position, result = view.execute_mut(operation)
        self.operations.append(Witnessed(begin, next(self._clock), position, operation, result, True))
        return result


def check_witness(operations: Iterable[Witnessed], structure: Dispatch) -> None:
    """Raise AssertionError unless the log's order explains *operations*, all that were made.

    Args:
        operations: what was recorded.
        structure: one in the state that the replicated one began in; it is changed.
    """
    operations = list(operations)
    changes = sorted((each for each in operations if each.changes), key=lambda each: each.position)
    positions = [each.position for each in changes]
    assert positions == list(range(len(changes))), "two changes at one position of the log, or none at one"
    reads = sorted((each for each in operations if not each.changes), key=lambda each: each.position)
    done = 0
    for read in reads:
        while done < read.position:
            _agree(changes[done], _outcome(structure.dispatch_mut, changes[done].operation))
            done += 1
        _agree(read, _outcome(structure.dispatch, read.operation))
    for change in changes[done:]:
        _agree(change, _outcome(structure.dispatch_mut, change.operation))
    _check_time(operations)


def _agree(recorded: Witnessed, result: Any) -> None:
    same = recorded.result == result or (
        isinstance(result, Exception)
        and type(recorded.result) is type(result)
        and recorded.result.args == result.args
    )
    assert same, (
        f"{recorded.operation!r} at position {recorded.position} returned {recorded.result!r}; "
        f"in the order of the log it returns {result!r}"
    )


def _check_time(operations: list[Witnessed]) -> None:
    """Assert that what had ended when an operation began comes before it in the log."""
    ended = sorted(operations, key=lambda each: each.end)
    seen, last, at = 0, None, 0
    for each in sorted(operations, key=lambda each: each.begin):
        while ended[at].end < each.begin:
            reaches = ended[at].position + ended[at].changes
            if reaches > seen:
                seen, last = reaches, ended[at]
            at += 1
        assert each.position >= seen, f"{each} began after the end of {last}, and does not see it"
