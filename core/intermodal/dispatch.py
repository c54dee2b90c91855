"""Sequential structures, and what makes them replicable.

A replicated structure is kept in several copies that all execute the same changes in the same order. So each
operation must be known as one that reads or one that changes; must be *deterministic*, the same on each copy,
exceptions included; and must be data that can be executed later and elsewhere. Three ways to say so:

- a subclass of :class:`Dispatch`, with operations of one's own making (attrs classes work with ``match``);
- ``@read`` and ``@write`` on the methods of an ordinary class;
- a type of the standard library that is known here: dict, list, set, deque, Counter, OrderedDict,
  defaultdict, and :class:`Heap`.

The methods of the last two become operations ``(name, arguments, keywords)``, a :data:`Call`. Engines see a
:class:`Plan`. May import only errors.
"""

from __future__ import annotations

import copy
import heapq
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from intermodal.errors import OptionError

Function = TypeVar("Function", bound=Callable[..., Any])

#: An operation made of a method's call: its name, its positional and its keyword arguments.
Call: TypeAlias = tuple[str, tuple[Any, ...], Mapping[str, Any]]

_MARK: Final = "_intermodal_access"


def read(function: Function) -> Function:
    """Mark a method as one that changes nothing; it may run in several threads at once."""
    setattr(function, _MARK, "read")
    return function


def write(function: Function) -> Function:
    """Mark a method as one that changes its object, the same way on every copy that it is executed on."""
    setattr(function, _MARK, "write")
    return function


class Dispatch:
    """A sequential structure: subclass it, say what each operation does, and :func:`replicate` it.

    Only one thread at a time is in :meth:`dispatch_mut`, and none in :meth:`dispatch` meanwhile. An exception
    is a result: whoever asked for the operation gets it. It leaves the structure as it is, on every copy.

    >>> class Register(Dispatch):
    ...     value = 0
    ...     def dispatch(self, operation):
    ...         return self.value
    ...     def dispatch_mut(self, operation):
    ...         self.value += operation
    >>> register = Register()
    >>> register.dispatch_mut(2), register.dispatch(None)
    (None, 2)
    """

    def dispatch(self, operation: Any) -> Any:
        """Return the result of *operation*, which changes nothing; other threads may be in here too."""
        raise NotImplementedError

    def dispatch_mut(self, operation: Any) -> Any:
        """Execute *operation* and return its result. No time, chance, ids, or order of sets may matter."""
        raise NotImplementedError

    def copy(self) -> Any:
        """Return an independent copy, for another replica or a snapshot; unless overridden a deep one."""
        return copy.deepcopy(self)


class ConcurrentDispatch(Dispatch):
    """A structure that several threads may change at once, if their operations belong to different logs.

    A :class:`LogMapper` says which log that is. Operations of one log are executed one at a time and in its
    order; a *scan*, which belongs to all logs, with none of any log beside it.
    """


#: The log of an operation that belongs to all of them.
ALL_LOGS: Final = -1


class LogMapper:
    """Says to which log each operation of a :class:`ConcurrentDispatch` belongs.

    Two operations that do not commute must share a log, also a read and a write; the answer is the same on
    every copy and each time.
    """

    def log_of(self, operation: Any, logs: int) -> int:
        """Return the number of the log, 0 up to *logs* - 1, or ALL_LOGS if *operation* is a scan."""
        raise NotImplementedError


class Heap:
    """A priority queue: the smallest item first, of equal ones the first that came.

    >>> heap = Heap([3, 1, 2])
    >>> heap.push(0), heap.pop(), heap.peek(), len(heap)
    (None, 0, 1, 3)
    """

    def __init__(self, items: Any = ()) -> None:
        # The number makes the order of equal items the same on every copy, and spares comparing the payload.
        self._items: list[tuple[Any, int]] = [(item, number) for number, item in enumerate(items)]
        self._next = len(self._items)
        heapq.heapify(self._items)

    @write
    def push(self, item: Any) -> None:
        """Add *item*."""
        heapq.heappush(self._items, (item, self._next))
        self._next += 1

    @write
    def pop(self) -> Any:
        """Remove the smallest item and return it. Raises IndexError if there is none."""
        return heapq.heappop(self._items)[0]

    @write
    def replace(self, item: Any) -> Any:
        """Remove the smallest item, then add *item*; return what was removed. IndexError if there is none."""
        smallest = heapq.heapreplace(self._items, (item, self._next))[0]
        self._next += 1
        return smallest

    @read
    def peek(self) -> Any:
        """Return the smallest item. Raises IndexError if there is none."""
        return self._items[0][0]

    @read
    def __len__(self) -> int:
        return len(self._items)

    @read
    def __iter__(self) -> Iterator[Any]:
        """Iterate over the items in order, as they are now."""
        return iter([item for item, _ in sorted(self._items)])


# ---- plans ------------------------------------------------------------------------------------------------


@attrs.frozen
class Plan:
    """How a structure is made, copied and operated; what an engine needs to know of it.

    Attributes:
        name: of the structure's type, for messages and representations.
        make: returns the structure of the first replica, which nobody else has.
        copy: returns an independent copy of a structure.
        reads: method -> ``function(structure, *arguments)`` that executes it; None for the method itself.
            Empty if the structure is a :class:`Dispatch`.
        writes: the same for methods that change the structure.
        properties: names in *reads* that are attributes rather than methods.
        normal: method -> ``function(*arguments)`` that returns its arguments as they can be executed again.
        concurrent: whether it is a :class:`ConcurrentDispatch`.
    """

    name: str
    make: Callable[[], Any]
    copy: Callable[[Any], Any]
    reads: Mapping[str, Callable[..., Any] | None] = MappingProxyType({})
    writes: Mapping[str, Callable[..., Any] | None] = MappingProxyType({})
    properties: frozenset[str] = frozenset()
    normal: Mapping[str, Callable[..., tuple[Any, ...]]] = MappingProxyType({})
    concurrent: bool = False

    @property
    def is_dispatch(self) -> bool:
        """Whether the structure is a Dispatch, with operations of its own."""
        return not self.reads and not self.writes


#: What an engine returns to users in the place of the structure itself, which stays inside: their own object.
ITSELF: Final = object()


# Results that are views of the structure, or iterators over it, are made of what is there now.


def _iterate(structure: Any) -> Any:
    return iter(list(structure))


def _iterate_back(structure: Any) -> Any:
    return iter(list(reversed(structure)))


def _keys(structure: Any) -> Any:
    return structure.copy().keys()


def _values(structure: Any) -> Any:
    return structure.copy().values()


def _items(structure: Any) -> Any:
    return structure.copy().items()


def _elements(structure: Any) -> Any:
    return iter(list(structure.elements()))


def _maxlen(structure: Any) -> Any:
    return structure.maxlen


# What is given to a method that consumes it may be an iterator, which is gone after the first copy, or change
# before the last copy has executed the operation.


def _as_mapping(*others: Any, **keywords: Any) -> tuple[Any, ...]:
    return (dict(*others, **keywords),) if others or keywords else ()


def _as_counts(other: Any = (), **keywords: Any) -> tuple[Any, ...]:
    counts = dict(other) if isinstance(other, Mapping) else Counter(other)
    for key, count in keywords.items():
        counts[key] = counts.get(key, 0) + count
    return (counts,)


def _as_tuples(*others: Any) -> tuple[Any, ...]:
    return tuple(tuple(other) for other in others)


def _as_sets(other: Any) -> tuple[Any, ...]:
    return (other.copy(),) if isinstance(other, set) else (other,)


def _as_item(index: Any, value: Any) -> tuple[Any, ...]:
    return (index, tuple(value)) if isinstance(index, slice) else (index, value)


#: What ``_pop_from_set`` returns if the copies have not agreed on an element yet.
TRY_AGAIN: Final = object()


def _pop_from_set(structure: set[Any], choice: Any) -> Any:
    """Remove *choice*, which one copy has proposed: the order of a set is not the same on every copy."""
    if not structure:
        raise KeyError("pop from an empty set")
    if choice not in structure:
        return TRY_AGAIN
    structure.remove(choice)
    return choice


def _any_of_set(structure: set[Any]) -> Any:
    return next(iter(structure), None)


def _named(names: str, **special: Callable[..., Any]) -> dict[str, Callable[..., Any] | None]:
    return {**dict.fromkeys(names.split()), **special}


_COMPARED = "__eq__ __ne__ __len__ __contains__"
_ORDERED = "__lt__ __le__ __gt__ __ge__"
_DICT_READS = _named(
    f"{_COMPARED} __getitem__ get copy __or__ __ror__ __repr__",
    __iter__=_iterate,
    __reversed__=_iterate_back,
    keys=_keys,
    values=_values,
    items=_items,
)
_DICT_WRITES = _named("__setitem__ __delitem__ pop popitem setdefault update clear __ior__")
_DICT_NORMAL = {"update": _as_mapping, "__ior__": _as_mapping}
_LIST_READS = _named(
    f"{_COMPARED} {_ORDERED} __getitem__ index count copy __add__ __mul__ __rmul__ __repr__",
    __iter__=_iterate,
    __reversed__=_iterate_back,
)
_LIST_WRITES = _named(
    "__setitem__ __delitem__ append extend insert pop remove clear reverse __iadd__ __imul__"
)
_LIST_NORMAL = {"extend": _as_tuples, "__iadd__": _as_tuples, "__setitem__": _as_item}
_COUNTER_BINARY = "__add__ __sub__ __and__ __or__"

_Table: TypeAlias = tuple[dict[str, Any], dict[str, Any], dict[str, Any], frozenset[str]]

_STANDARD: Final[Mapping[type, _Table]] = {
    dict: (_DICT_READS, _DICT_WRITES, _DICT_NORMAL, frozenset()),
    OrderedDict: (_DICT_READS, {**_DICT_WRITES, "move_to_end": None}, _DICT_NORMAL, frozenset()),
    defaultdict: (
        {name: how for name, how in _DICT_READS.items() if name != "__getitem__"},
        {**_DICT_WRITES, "__getitem__": None},
        _DICT_NORMAL,
        frozenset(),
    ),
    Counter: (
        {
            **_DICT_READS,
            **_named(f"{_ORDERED} {_COUNTER_BINARY} __pos__ __neg__ most_common total", elements=_elements),
        },
        {**_DICT_WRITES, **_named("subtract __iadd__ __isub__ __iand__")},
        {
            "update": _as_counts,
            "subtract": _as_counts,
            **dict.fromkeys(("__iadd__", "__isub__", "__iand__", "__ior__"), _as_counts),
        },
        frozenset(),
    ),
    list: (_LIST_READS, {**_LIST_WRITES, "sort": None}, _LIST_NORMAL, frozenset()),
    deque: (
        {**_LIST_READS, "maxlen": _maxlen},
        {**_LIST_WRITES, **_named("appendleft extendleft popleft rotate")},
        {**_LIST_NORMAL, "extendleft": _as_tuples},
        frozenset({"maxlen"}),
    ),
    set: (
        {
            **_named(
                f"{_COMPARED} {_ORDERED} copy union intersection difference symmetric_difference isdisjoint "
                "issubset issuperset "
                "__or__ __and__ __sub__ __xor__ __ror__ __rand__ __rsub__ __rxor__ __repr__"
            ),
            "__iter__": _iterate,
            "_any": _any_of_set,
        },
        {
            **_named(
                "add discard remove clear update intersection_update difference_update "
                "symmetric_difference_update __ior__ __iand__ __isub__ __ixor__"
            ),
            "_pop": _pop_from_set,
        },
        {
            **dict.fromkeys(
                ("update", "intersection_update", "difference_update", "symmetric_difference_update"),
                _as_tuples,
            ),
            **dict.fromkeys(("__ior__", "__iand__", "__isub__", "__ixor__"), _as_sets),
        },
        frozenset(),
    ),
}

#: Names that stand for types in ``replicate``.
_BY_NAME: Final = {"heap": Heap}


def _marked(kind: type, access: str) -> dict[str, None]:
    found: dict[str, None] = {}
    for name in dir(kind):
        member = getattr(kind, name, None)
        function = member.fget if isinstance(member, property) else member
        if getattr(function, _MARK, None) == access:
            found[name] = None
    return found


def _property(name: str) -> Callable[[Any], Any]:
    return lambda structure: getattr(structure, name)


def plan_of(structure: Any) -> Plan:
    """Return how *structure*, a type or an instance to begin with, is replicated.

    Raises: OptionError if nothing says which of its operations read and which write.

    >>> sorted(plan_of(Heap).writes)
    ['pop', 'push', 'replace']
    """
    structure = _BY_NAME.get(structure, structure) if isinstance(structure, str) else structure
    kind: Any = structure if isinstance(structure, type) else type(structure)
    if issubclass(kind, Dispatch):
        make = kind if structure is kind else structure.copy
        return Plan(kind.__name__, make, kind.copy, concurrent=issubclass(kind, ConcurrentDispatch))
    make = kind if structure is kind else lambda: copy.deepcopy(structure)
    if kind in _STANDARD:
        reads, writes, normal, properties = _STANDARD[kind]
        if structure is not kind:
            make = structure.copy
        return Plan(kind.__name__, make, kind.copy, reads, writes, properties, normal)
    marked_reads: dict[str, Any] = dict(_marked(kind, "read"))
    marked_writes = _marked(kind, "write")
    if not marked_writes and not marked_reads:
        raise OptionError(
            f"{kind.__name__} cannot be replicated: mark its methods with @intermodal.read and "
            f"@intermodal.write, or derive it from Dispatch. Known without marks: "
            f"{', '.join(sorted(known.__name__ for known in _STANDARD))}, heap"
        )
    properties = frozenset(name for name in marked_reads if isinstance(getattr(kind, name), property))
    marked_reads.update({name: _property(name) for name in properties})
    return Plan(kind.__name__, make, copy.deepcopy, marked_reads, marked_writes, properties)
