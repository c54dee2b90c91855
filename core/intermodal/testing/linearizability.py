"""Linearizability: does each operation take effect at one instant between its call and its return?

A history is linearizable if and only if that part of it is which concerns each single key (Herlihy and Wing,
"Linearizability", 1990: locality), so :func:`check_linearizable` searches for an order key by key. What
concerns several keys at once, where a backend declares it atomic, is for :func:`check_model`, which takes any
sequential specification and is for small histories.

May import everything in intermodal.testing that it needs but guarantees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from intermodal._absent import ABSENT
from intermodal.testing.histories import value_text
from intermodal.testing.search import OTHER, ModelSearch, Search
from intermodal.testing.shrinking import Core, smallest
from intermodal.testing.transitions import by_key
from intermodal.testing.verdicts import Verdict, Violation

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from intermodal.testing.histories import History, Operation
    from intermodal.testing.models import Model

#: As many operations are shown before one that a model refuses.
_CONTEXT: Final = 11


def check_linearizable(history: History) -> Verdict:
    """Return whether the operations on each key have an order, within their ticks, that explains them.

    Of operations on the whole map, what they say about keys is held to it too: ``clear`` empties each key at
    some moment, ``popitem`` removes the key that it returns, ``retain`` saw values that were there.
    Iteration, ``snapshot`` and ``len`` are left to the checkers of guarantees.py.

    Args:
        history: of any length.

    Raises: HistoryError if the history has operations that the contract has not, or values that are not
        hashable.

    Complexity: see ``intermodal.testing.search``; 100,000 operations take seconds.

    >>> from intermodal.testing.histories import History, Operation
    >>> def insert(thread, value, called, returned):
    ...     return Operation(
    ...         thread=thread,
    ...         name="insert",
    ...         key="a",
    ...         arguments=(value,),
    ...         called=called,
    ...         returned=returned,
    ...         result=True,
    ...     )
    >>> print(check_linearizable(History([insert(0, 1, 0, 5), insert(1, 2, 1, 6)])))
    linearizable: does not hold for 2 operations on 1 key
    key 'a' is not linearizable: no order explains insert('a', 2) by thread 1 at ticks 1 to 6: True
    Of the 2 operations on the key, 1 had returned by then; those can be explained.
    These 2 cannot be explained by themselves. At the beginning there was no value.
    <BLANKLINE>
    ticks     0               5 6
    thread 0  [insert(1): True]
    thread 1   [insert(2): True#]
    """
    keys = by_key(history)
    broken: dict[Hashable, int] = {}
    for key, operations in keys.items():
        search = Search(operations, [history.initial.get(key, ABSENT)])
        failure = search.run()
        if failure is not None:
            broken[key] = search.events[failure][0]
    violation = None
    if broken:
        first = min(broken, key=broken.__getitem__)
        violation = violation_of_key(first, keys[first], history.initial)
    return Verdict(
        promise="linearizable",
        operations=len(history),
        keys=len(keys),
        violation=violation,
        broken_keys=tuple(broken),
    )


def violation_of_key(key: Hashable, operations: Sequence[Operation], initial: Mapping[Any, Any]) -> Violation:
    """Describe why *operations*, all those on *key*, are not linearizable."""
    core = smallest(operations, frozenset([initial.get(key, ABSENT)]))
    return Violation(
        summary=f"key {key!r} is not linearizable: no order explains {core.first}",
        key=key,
        refused=core.refused,
        explained=core.explained,
        operations=core.operations,
        notes=(
            (
                f"Of the {len(operations)} operations on the key, {core.explained} had returned by then; "
                "those can be explained."
            ),
            _condition(core),
            *_provenance(core, operations),
        ),
    )


def _condition(core: Core) -> str:
    """Return what to know about the operations of *core* that the timeline does not show."""
    number = len(core.operations)
    text = "This one cannot be explained by itself. " if number == 1 else ""
    text = text or f"These {number} cannot be explained by themselves. "
    values = [
        "no value"
        if value is ABSENT
        else "a value that none of these depends on"
        if value is OTHER
        else value_text(value)
        for value in core.before
    ]
    if core.cut:
        text += f"The {core.cut} operations that had returned before leave {' or '.join(sorted(values))}"
        return text + (
            f"; {len(core.loose)} of these were under way and may have been done already."
            if core.loose
            else "."
        )
    return text + f"At the beginning there was {' or '.join(sorted(values))}."


def _provenance(core: Core, operations: Sequence[Operation]) -> list[str]:
    """Return where the value that the refused operation found came from, if that was cut off."""
    from intermodal.testing.transitions import transition

    step = transition(core.refused)
    if not core.cut or not step.among or ABSENT in step.values:
        return []
    shown = set(map(id, core.operations))
    for each in reversed(operations):
        if each.called <= (core.refused.returned or 0) and transition(each).effect in step.values:
            return [] if id(each) in shown else [f"The last to write what it found was {each}."]
    return ["Nobody ever wrote what it found."]


def check_model(history: History, model: Model, promise: str = "linearizable as a whole") -> Verdict:
    """Return whether all operations together have an order, within their ticks, that *model* allows.

    Args:
        history: a small one: a few dozen operations, or more if few are under way at once.
        model: what the operations mean one after the other; intermodal.testing.models has some.
        promise: the words for it in the verdict.

    Complexity: O(n c) steps of the model, c being the number of configurations: exponential in the number of
    operations that are under way at once.
    """
    operations = history.operations
    search = ModelSearch(operations, model)
    failure = search.run()
    violation = None
    if failure is not None:
        _, _, index = search.events[failure]
        refused = operations[index]
        before = [each for _, returned, each in search.events[:failure] if not returned and each != index]
        explained = sum(returned for _, returned, _ in search.events[:failure])
        violation = Violation(
            summary=f"no order of the operations explains {refused}",
            refused=refused,
            explained=explained,
            operations=(*(operations[each] for each in before[-_CONTEXT:]), refused),
            notes=(
                f"Of {len(operations)} operations, {explained} had returned by then; those can be explained.",
                f"These are the last {min(len(before), _CONTEXT) + 1}.",
            ),
        )
    keys = {each.key for each in operations if each.key is not ABSENT}
    return Verdict(promise=promise, operations=len(operations), keys=len(keys), violation=violation)
