"""Sequential specifications: what operations mean when they are done one after the other.

A :class:`Model` is a parameter of :func:`intermodal.testing.linearizability.check_model`. Here are those of a
whole map and of a map whose keys have several values. May import histories and transitions.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from intermodal._absent import ABSENT
from intermodal.testing.histories import HistoryError, Raised
from intermodal.testing.transitions import transition

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from intermodal.testing.histories import Operation
    from intermodal.testing.transitions import Transition


class Model(Protocol):
    """What the operations of a structure mean, one at a time.

    Attributes:
        initial: the state at the beginning; hashable, equal to every state that behaves alike.
    """

    @property
    def initial(self) -> Hashable: ...

    def apply(self, state: Any, operation: Operation) -> Iterable[Hashable]:
        """Return the states in which *operation* can have left *state* behind, with the outcome that it had.

        None if the outcome is wrong in that state; several if the operation had a choice that its outcome
        does not tell. A pending operation has no outcome: return what it may have done.
        """
        ...


class MapModel:
    """A map, all of whose operations are one step each.

    Args:
        initial: the entries at the beginning.

    >>> from intermodal.testing.histories import Operation
    >>> model = MapModel({"a": 1})
    >>> model.apply(model.initial, Operation(thread=0, name="len", called=0, returned=1, result=1))
    [frozenset({('a', 1)})]
    >>> model.apply(model.initial, Operation(thread=0, name="popitem", called=0, returned=1, result=("a", 2)))
    []
    """

    def __init__(self, initial: Mapping[Any, Any] | None = None) -> None:
        self._initial = frozenset((initial or {}).items())
        self._steps: dict[Operation, Transition] = {}

    @property
    def initial(self) -> frozenset[tuple[Any, Any]]:
        """The entries at the beginning."""
        return self._initial

    def apply(
        self, state: frozenset[tuple[Any, Any]], operation: Operation
    ) -> list[frozenset[tuple[Any, Any]]]:
        """Return the entries afterwards, if that is possible."""
        if operation.key is ABSENT:
            return self._whole(state, operation)
        step = self._steps.get(operation)
        if step is None:
            step = self._steps[operation] = transition(operation)
        value = dict(state).get(operation.key, ABSENT)
        if not step.possible(value):
            return []
        if not step.writes:
            return [state]
        rest = state - {(operation.key, value)}
        return [rest if step.effect is ABSENT else rest | {(operation.key, step.effect)}]

    def _whole(
        self, state: frozenset[tuple[Any, Any]], operation: Operation
    ) -> list[frozenset[tuple[Any, Any]]]:
        name, result = operation.name, operation.result
        if operation.pending:
            if name == "popitem":
                return [state - {entry} for entry in state]
            return [frozenset()] if name == "clear" else []
        if name == "len":
            possible = result == len(state)
        elif name == "clear":
            return [frozenset()] if result is None else []
        elif name == "popitem":
            if isinstance(result, Raised):
                possible = result.type == "KeyError" and not state
            else:
                return [state - {result}] if result in state else []
        elif name == "snapshot":
            possible = not isinstance(result, Raised) and frozenset(result) == state
        elif name in ("iterate", "iterate_part"):
            possible = not isinstance(result, Raised) and _entries_of(result, state, whole=name == "iterate")
        elif name == "retain":
            dropped = frozenset(entry for entry, keep in operation.callbacks if not keep)
            seen = frozenset(entry for entry, _ in operation.callbacks)
            return [state - dropped] if seen == state and result == len(dropped) else []
        else:
            raise HistoryError(
                f"{name!r} is not an operation on the whole map that MapModel knows; {operation}"
            )
        return [state] if possible else []


def _entries_of(
    found: tuple[tuple[Any, Any, int], ...], state: frozenset[tuple[Any, Any]], *, whole: bool
) -> bool:
    entries = [(key, value) for key, value, _ in found]
    kept = frozenset(entries)
    return len(kept) == len(entries) and (kept == state if whole else kept <= state)


class BagModel:
    """One key of a map that holds several values for a key, in no order, equal ones counted.

    ``add(value)`` adds one, ``setitem(value)`` replaces all by one, ``remove(value)`` takes one away and
    returns whether there was one, ``pop()`` takes all away and returns them, ``get_all()`` returns them, as
    tuples in any order; ``get(default)`` returns any one of them, ``contains()`` whether there are any.

    Args:
        initial: the values at the beginning.

    >>> from intermodal.testing.histories import Operation
    >>> model = BagModel([1, 2, 1])
    >>> found = Operation(thread=0, name="get_all", key="a", called=0, returned=1, result=(2, 1, 1))
    >>> len(model.apply(model.initial, found))
    1
    """

    def __init__(self, initial: Iterable[Hashable] = ()) -> None:
        self._initial = _bag(initial)

    @property
    def initial(self) -> frozenset[tuple[Any, int]]:
        """Each value with the number of times that it is there."""
        return self._initial

    def apply(
        self, state: frozenset[tuple[Any, int]], operation: Operation
    ) -> list[frozenset[tuple[Any, int]]]:
        """Return the values afterwards, if that is possible."""
        name, arguments, result = operation.name, operation.arguments, operation.result
        values = Counter(dict(state))
        after = state
        if name == "add":
            right, after = result is None, _bag([*values.elements(), *arguments])
        elif name == "setitem":
            right, after = result is None, _bag(arguments)
        elif name == "remove":
            there = values[arguments[0]] > 0
            right, after = result is there, _bag((values - Counter(arguments)).elements())
        elif name == "pop":
            right, after = _holds(result, state), frozenset()
        elif name == "get_all":
            right = _holds(result, state)
        elif name == "get":
            right = values[result] > 0 or (not values and result == (arguments[0] if arguments else None))
        elif name == "contains":
            right = result is bool(values)
        else:
            raise HistoryError(f"{name!r} is not an operation that BagModel knows; {operation}")
        return [after] if right or operation.pending else []


def _bag(values: Iterable[Hashable]) -> frozenset[tuple[Any, int]]:
    return frozenset(Counter(values).items())


def _holds(result: Any, state: frozenset[tuple[Any, int]]) -> bool:
    return isinstance(result, tuple) and _bag(result) == state
