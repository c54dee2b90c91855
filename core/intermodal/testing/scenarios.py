"""Scenarios of a few calls on one map, for the scheduler: every outcome must be a sequential one.

A small scenario needs no search for a linearization: all orders of its two or three calls are run on a
:class:`SequentialMap`, and what the interleaved run has returned and left must be what one of them returns
and leaves.

May import only core's public names, ``sequential`` and ``scheduler``.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import attrs

from intermodal import ABSENT
from intermodal.testing.sequential import SequentialMap

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from intermodal.maps import AnyMap
    from intermodal.testing.scheduler.exploration import Scenario


@attrs.frozen(eq=False)
class Call:
    """One call of a map's method.

    Args:
        name: for people, as in a test's id.
        function: does it on a map and returns the result.
    """

    name: str
    function: Callable[[Any], Any]

    def __str__(self) -> str:
        return self.name

    def outcome(self, m: Any) -> Any:
        """Return what the call returns, or which exception it raises with which arguments."""
        try:
            return self.function(m)
        except LookupError as error:
            return (type(error).__name__, error.args)


def calls_on(key: Any, value: Any) -> dict[str, Call]:
    """Return calls of the contract's methods on one *key*, by name; those that write write *value*."""
    functions: dict[str, Callable[[Any], Any]] = {
        "get": lambda m: m.get(key, ABSENT),
        "[]": lambda m: m[key],
        "in": lambda m: key in m,
        "set": lambda m: m.__setitem__(key, value),
        "del": lambda m: m.__delitem__(key),
        "pop": lambda m: m.pop(key, None),
        "setdefault": lambda m: m.setdefault(key, value),
        "insert": lambda m: m.insert(key, value),
        "replace": lambda m: m.replace(key, value),
        "compare_and_set": lambda m: m.compare_and_set(key, key, value),
        "compare_and_remove": lambda m: m.compare_and_set(key, key, ABSENT),
        "compute": lambda m: m.compute(key, lambda old: (value, old)),
        "get_or_insert_with": lambda m: m.get_or_insert_with(key, lambda: value),
        "remove_if": lambda m: m.remove_if(key, lambda old: old == key),
    }
    return {name: Call(f"{name}({key})", function) for name, function in functions.items()}


def concurrently(
    new_map: Callable[[], AnyMap],
    *threads: Sequence[Call],
    prepare: Callable[[Any], object] | None = None,
) -> Scenario:
    """Return the scenario in which each of *threads* does its calls, by a handle, on a new map.

    Args:
        new_map: makes an empty map.
        threads: of each thread its calls, in their order.
        prepare: gives the map its first entries, and brings it into the state that matters.

    The scenario fails if the results and entries are those of no order of the calls, or ``_check()``
    fails. Keys must have the same hash in every process: ints, for example.

    Complexity: of n calls, all their orders are run once for each interleaving.
    """

    def scenario() -> Generator[Any, list[list[Any]], None]:
        m = new_map()
        if prepare is not None:
            prepare(m)
        before = dict(m.items())
        results = yield tuple(_thread(m, program) for program in threads)
        outcome = (results, dict(m.items()))
        possible = list(_sequential_outcomes(before, threads))
        assert outcome in possible, _complaint(threads, outcome, possible)
        m._check()

    scenario.__name__ = scenario.__qualname__ = " | ".join(
        " ".join(str(call) for call in program) for program in threads
    )
    return scenario


def pairs(
    new_map: Callable[[], AnyMap], entries: int, names: Sequence[str] | None = None
) -> Iterator[Scenario]:
    """Yield scenarios of two calls each, on the same key, which is there or not, of a map with *entries*.

    Args:
        new_map: makes an empty map.
        entries: number of entries that the map has at first, of keys 0, 1, 2...
        names: of the calls, as :func:`calls_on` has them; all without it.

    Raises: ValueError for a name that is none.
    """
    for key in (0, entries) if entries else (0,):
        first, second = calls_on(key, "A"), calls_on(key, "B")
        for name in names or ():
            if name not in first:
                raise ValueError(f"there is no call {name!r}; there are {', '.join(first)}")
        for one, other in combinations_with_replacement(names or first, 2):
            yield concurrently(
                new_map,
                [first[one]],
                [second[other]],
                prepare=lambda m: m.update((number, number) for number in range(entries)),
            )


def _thread(m: AnyMap, program: Sequence[Call]) -> Callable[[], list[Any]]:
    def run() -> list[Any]:
        handle = m.handle()
        return [call.outcome(handle) for call in program]

    return run


def _sequential_outcomes(
    before: dict[Any, Any], threads: Sequence[Sequence[Call]]
) -> Iterator[tuple[list[list[Any]], dict[Any, Any]]]:
    """Yield results and entries of every order of the calls that keeps each thread's own."""
    for order in _orders([len(program) for program in threads]):
        m = SequentialMap(before)
        results: list[list[Any]] = [[] for _ in threads]
        for thread in order:
            results[thread].append(threads[thread][len(results[thread])].outcome(m))
        yield results, dict(m.items())


def _orders(lengths: list[int]) -> Iterator[list[int]]:
    if not any(lengths):
        yield []
    for thread, left in enumerate(lengths):
        if left:
            for rest in _orders([*lengths[:thread], left - 1, *lengths[thread + 1 :]]):
                yield [thread, *rest]


def _complaint(
    threads: Sequence[Sequence[Call]],
    outcome: tuple[list[list[Any]], dict[Any, Any]],
    possible: list[tuple[list[list[Any]], dict[Any, Any]]],
) -> str:
    programs = " | ".join(" ".join(map(str, program)) for program in threads)
    orders = "\n".join(f"    {results} and leave {entries}" for results, entries in possible)
    return (
        f"{programs} returned {outcome[0]} and left {outcome[1]}; one after the other they return, in one "
        f"order or another,\n{orders}"
    )
