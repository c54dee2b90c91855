"""What each operation on one key means, once its outcome is known: a condition and an effect on the value.

Whatever came of an operation says in which states of its key it can have taken effect: ``insert`` that
returned True found no value and left its own, ``get`` that returned 1 found 1. So every operation of the
contract is a :class:`Transition`, and the search over orders need not know operations at all. Operations on
the whole map are taken apart into what they say about each key. May import only histories.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal._absent import ABSENT
from intermodal.testing.histories import HistoryError, Operation, Raised

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from intermodal.testing.histories import History


class _Unchanged:
    def __repr__(self) -> str:
        return "UNCHANGED"


#: The effect of an operation that leaves the value as it is.
UNCHANGED: Final = _Unchanged()


@attrs.frozen
class Transition:
    """A step that an operation can have been.

    Attributes:
        values: values of the key before it, ABSENT for none.
        among: whether the value must have been one of *values*, or must not.
        effect: the value after it, ABSENT for none, or UNCHANGED.
    """

    values: frozenset[Any]
    among: bool
    effect: Any = UNCHANGED

    def possible(self, value: Hashable) -> bool:
        """Return whether it can take place while the key has *value*."""
        return (value in self.values) is self.among

    @property
    def blind(self) -> bool:
        """Whether it can take place whatever the value."""
        return not self.values and not self.among

    @property
    def writes(self) -> bool:
        """Whether it has an effect."""
        return self.effect is not UNCHANGED


def _if(*values: Any, then: Any = UNCHANGED) -> Transition:
    return Transition(frozenset(values), among=True, effect=then)


def _unless(*values: Any, then: Any = UNCHANGED) -> Transition:
    return Transition(frozenset(values), among=False, effect=then)


_NEVER: Final = _if()
_MISSED: Final = _if(ABSENT)
_FOUND: Final = _unless(ABSENT)


def _same(left: Any, right: Any) -> bool:
    return left is right or bool(left == right)


def _key_error(operation: Operation) -> bool:
    return _same(operation.result, Raised("KeyError", (operation.key,)))


def _no_value(result: Any) -> bool:
    return result is ABSENT or isinstance(result, Raised)


# ---- one function for each operation that returned: its only possible step --------------------------------


def _getitem(operation: Operation) -> Transition:
    if _key_error(operation):
        return _MISSED
    return _NEVER if _no_value(operation.result) else _if(operation.result)


def _get(operation: Operation) -> Transition:
    default = operation.arguments[0] if operation.arguments else None
    if _same(operation.result, default):
        return _if(ABSENT, operation.result)
    return _NEVER if _no_value(operation.result) else _if(operation.result)


def _contains(operation: Operation) -> Transition:
    if operation.result is True:
        return _FOUND
    return _MISSED if operation.result is False else _NEVER


def _setitem(operation: Operation) -> Transition:
    return _unless(then=operation.arguments[0]) if operation.result is None else _NEVER


def _delitem(operation: Operation) -> Transition:
    if _key_error(operation):
        return _MISSED
    return _unless(ABSENT, then=ABSENT) if operation.result is None else _NEVER


def _pop(operation: Operation) -> Transition:
    result = operation.result
    if operation.arguments and _same(result, operation.arguments[0]):
        return _if(ABSENT, result, then=ABSENT)
    if _key_error(operation):
        return _NEVER if operation.arguments else _MISSED
    return _NEVER if _no_value(result) else _if(result, then=ABSENT)


def _setdefault(operation: Operation) -> Transition:
    default = operation.arguments[0] if operation.arguments else None
    result = operation.result
    if _same(result, default):
        return _if(ABSENT, default, then=default)
    return _NEVER if _no_value(result) else _if(result)


def _insert(operation: Operation) -> Transition:
    if operation.result is True:
        return _if(ABSENT, then=operation.arguments[0])
    return _FOUND if operation.result is False else _NEVER


def _replace(operation: Operation) -> Transition:
    if _key_error(operation):
        return _MISSED
    if _no_value(operation.result):
        return _NEVER
    return _if(operation.result, then=operation.arguments[0])


def _compare_and_set(operation: Operation) -> Transition:
    expected, desired = operation.arguments
    if operation.result is True:
        return _if(expected, then=desired)
    return _unless(expected) if operation.result is False else _NEVER


def _compute(operation: Operation) -> Transition:
    if not operation.callbacks:
        return _NEVER
    saw, gave = operation.callbacks[-1]
    if not _same(operation.result, gave):
        return _NEVER
    return _if(saw) if isinstance(gave, Raised) else _if(saw, then=gave)


def _get_or_insert_with(operation: Operation) -> Transition:
    result = operation.result
    if operation.callbacks and _same(result, operation.callbacks[-1][1]):
        return _MISSED if isinstance(result, Raised) else _if(ABSENT, result, then=result)
    return _NEVER if _no_value(result) else _if(result)


def _remove_if(operation: Operation) -> Transition:
    result = operation.result
    if not operation.callbacks:
        return _MISSED if result is False else _NEVER
    saw, gave = operation.callbacks[-1]
    if isinstance(result, Raised) or isinstance(gave, Raised):
        return _if(saw) if _same(result, gave) else _NEVER
    if result is True:
        return _if(saw, then=ABSENT) if gave else _NEVER
    if result is False:  # what the predicate was true of can have gone meanwhile
        return _MISSED if gave else _if(ABSENT, saw)
    return _NEVER


def _clear(operation: Operation) -> Transition:
    return _unless(then=ABSENT) if operation.result is None else _NEVER


def _found(operation: Operation) -> Transition:
    return _if(operation.result)


def _refused(operation: Operation) -> Transition:
    """The meaning of every attempt to store ABSENT."""
    refused = isinstance(operation.result, Raised) and operation.result.type == "ValueError"
    return _unless() if refused else _NEVER


_STORING: Final = frozenset(("setitem", "setdefault", "insert", "replace"))

_RETURNED: Final[Mapping[str, Callable[[Operation], Transition]]] = {
    "getitem": _getitem,
    "get": _get,
    "contains": _contains,
    "setitem": _setitem,
    "delitem": _delitem,
    "pop": _pop,
    "setdefault": _setdefault,
    "insert": _insert,
    "replace": _replace,
    "compare_and_set": _compare_and_set,
    "compute": _compute,
    "get_or_insert_with": _get_or_insert_with,
    "remove_if": _remove_if,
    "clear": _clear,
    "found": _found,
}


_NAMES: Final = _RETURNED.keys() - {"clear", "found"}


def _pending(operation: Operation) -> Transition:
    """Return the step that an operation which never returned may have been, if it had an effect."""
    name, arguments = operation.name, operation.arguments
    if name == "setitem":
        return _unless(then=arguments[0])
    if name in ("delitem", "pop", "clear"):
        return _unless(ABSENT, then=ABSENT)
    if name in ("insert", "setdefault"):
        return _if(ABSENT, then=arguments[0] if arguments else None)
    if name == "replace":
        return _unless(ABSENT, then=arguments[0])
    if name == "compare_and_set":
        return _if(arguments[0], then=arguments[1])
    if operation.callbacks and not isinstance(operation.callbacks[-1][1], Raised):
        saw, gave = operation.callbacks[-1]
        if name == "remove_if":
            return _if(saw, then=ABSENT) if gave else _NEVER
        return _if(saw, then=gave)
    return _NEVER


def transition(operation: Operation) -> Transition:
    """Return the step that *operation*, on one key, was if its outcome is right.

    Raises: HistoryError if the contract has no such operation on one key, or not with such arguments.

    >>> transition(Operation(thread=0, name="pop", key="a", called=0, returned=1, result=7))
    Transition(values=frozenset({7}), among=True, effect=intermodal.ABSENT)
    """
    meaning = _RETURNED.get(operation.name)
    if meaning is None:
        raise HistoryError(
            f"{operation.name!r} is not an operation on one key; those are {', '.join(sorted(_NAMES))}"
        )
    try:
        if operation.pending:
            return _pending(operation)
        if operation.name in _STORING and operation.arguments[-1:] == (ABSENT,):
            return _refused(operation)
        return meaning(operation)
    except (IndexError, ValueError) as error:
        raise HistoryError(f"wrong number of arguments: {operation}") from error
    except TypeError as error:
        raise HistoryError(
            "values of a history must be hashable, such as numbers that tell who wrote them: "
            f"{error} in {operation}"
        ) from error


# ---- by key -----------------------------------------------------------------------------------------------


def found(operation: Operation, key: Hashable, saw: Any, **ticks: int) -> Operation:
    """Return what says that *operation*, while it ran or between *ticks*, found that *key* had *saw*."""
    return attrs.evolve(
        operation, name="found", key=key, arguments=(operation.name,), result=saw, callbacks=(), **ticks
    )


def _on_one_key(operation: Operation) -> Iterable[Operation]:
    """Yield *operation*, and for each value that its function saw, if it does not say so, that it did."""
    yield operation
    if not operation.pending:
        # That there was no value when a factory was called does not follow from what came of its result.
        last = None if operation.name == "get_or_insert_with" else -1
        for saw, _ in operation.callbacks[:last]:
            yield found(operation, operation.key, saw)


def _of_retain(operation: Operation) -> Iterable[Operation]:
    """Yield what ``retain`` says about keys: values that were there, and removals that may not have been."""
    for (key, value), keep in operation.callbacks:
        if not operation.pending:
            yield found(operation, key, value)
        if not keep:
            maybe = attrs.evolve(
                operation, key=key, name="compare_and_set", arguments=(value, ABSENT), callbacks=()
            )
            yield attrs.evolve(maybe, returned=None, result=Operation.__attrs_attrs__.result.default)


def by_key(history: History) -> dict[Hashable, list[Operation]]:
    """Return the operations on each key, in the order of their calls.

    What operations on the whole map say about a key is there as operations on it with the same ticks:
    ``clear`` for each key, ``popitem`` for the key that it removed, and what ``retain`` saw and did.
    ``len``, ``snapshot``, ``publish`` and iteration are left out; guarantees.py has their checks.
    """
    keys: defaultdict[Hashable, list[Operation]] = defaultdict(list)
    for key in history.initial:
        keys[key] = []
    everywhere = []
    for operation in history.operations:
        if operation.key is not ABSENT:
            for each in _on_one_key(operation):
                keys[each.key].append(each)
        elif operation.name == "clear":
            everywhere.append(operation)
        elif operation.name == "popitem" and operation.pending:
            everywhere.append(attrs.evolve(operation, name="pop"))
        elif operation.name == "popitem" and isinstance(operation.result, tuple):
            key, value = operation.result
            keys[key].append(attrs.evolve(operation, key=key, name="pop", result=value))
        elif operation.name == "retain":
            for each in _of_retain(operation):
                keys[each.key].append(each)
        elif operation.name not in WHOLE:
            raise HistoryError(f"{operation.name!r} is not an operation on the whole map; {operation}")
    for key, operations in keys.items():
        if everywhere:
            operations += [attrs.evolve(each, key=key) for each in everywhere]
            operations.sort(key=lambda each: each.called)
    return dict(keys)


#: The operations on the whole map, by the names in histories.
WHOLE: Final = frozenset(
    ("clear", "iterate", "iterate_part", "len", "popitem", "publish", "retain", "snapshot")
)


def steps_of(operations: Sequence[Operation]) -> list[Transition]:
    """Return the transition of each of *operations*."""
    return [transition(each) for each in operations]
