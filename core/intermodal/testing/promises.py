"""Which test holds a backend to which of its declared capabilities.

A test of the kit without a mark is for every map. What no test covers is listed here with the reason, and a
backend that declares it fails the kit: nobody could rely on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from intermodal.capabilities import FIELDS, LEVELS, NAME_SETS, Capabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Test = TypeVar("Test", bound=Callable[..., object])

#: Capabilities that have no test, and why: field, level (True where the field is a flag) -> reason.
UNTESTED: Final[Mapping[tuple[str, object], str]] = {
    ("shared", "processes"): "the contract has no way yet to open a map of another process",
    ("shared", "machines"): "the contract has no way yet to open a map of another machine",
}

_WEAKEST: Final = Capabilities(
    points=LEVELS["points"][-1],  # type: ignore[arg-type]  # a literal of these
    iteration=LEVELS["iteration"][-1],  # type: ignore[arg-type]
    length=LEVELS["length"][-1],  # type: ignore[arg-type]
    length_cost=LEVELS["length_cost"][-1],  # type: ignore[arg-type]
    clear=LEVELS["clear"][-1],  # type: ignore[arg-type]
)


def promised(**capabilities: object) -> Callable[[Test], Test]:
    """Mark a test as one for maps whose backend promises these capabilities, at least.

    Args:
        capabilities: field of Capabilities -> True, a level, or a name in a field of names.

    Raises: OptionError if there is no such field or level.
    """
    _WEAKEST.unmet(capabilities)

    def mark(test: Test) -> Test:
        vars(test)["promised"] = {**getattr(test, "promised", {}), **capabilities}
        return test

    return mark


def exactly(**levels: object) -> Callable[[Test], Test]:
    """Mark a test as one for maps whose backend promises these levels, and no stronger ones.

    For what the weaker level has and the stronger one has not: writes that become visible together, say.

    Args:
        levels: field of Capabilities -> level.

    Raises: OptionError if there is no such field or level.
    """

    def mark(test: Test) -> Test:
        vars(test)["exactly"] = {**getattr(test, "exactly", {}), **levels}
        return promised(**levels)(test)

    return mark


def unpromised(field: str) -> Callable[[Test], Test]:
    """Mark a test as one for maps whose backend does not promise the flag *field*.

    Raises: OptionError if there is no such field.
    """
    _WEAKEST.unmet({field: True})

    def mark(test: Test) -> Test:
        vars(test)["unpromised"] = field
        return test

    return mark


def applies(test: object, capabilities: Capabilities) -> bool:
    """Return whether maps with these capabilities are held to what *test* demands."""
    field = getattr(test, "unpromised", None)
    if field is not None and getattr(capabilities, field):
        return False
    if any(getattr(capabilities, name) != level for name, level in getattr(test, "exactly", {}).items()):
        return False
    return not capabilities.unmet(getattr(test, "promised", {}))


def covered(tests: Iterable[object]) -> set[tuple[str, object]]:
    """Return the capabilities, (field, level), that *tests* are marked with."""
    return {item for test in tests for item in getattr(test, "promised", {}).items()}


def declarations(capabilities: Capabilities) -> Iterator[tuple[str, object]]:
    """Yield each capability that is declared, as (field, level): True for a flag, each name of several."""
    for field, value in attrs.asdict(capabilities, recurse=False).items():
        if field in NAME_SETS:
            yield from ((field, name) for name in value)
        elif value is not False:
            yield field, value


def every_declaration() -> set[tuple[str, object]]:
    """Return every capability that a backend can declare, but for the fields that hold names."""
    found: set[tuple[str, object]] = set()
    for field in FIELDS:
        found |= {(field, level) for level in LEVELS.get(field, ())}
        if field not in LEVELS and field not in NAME_SETS:
            found.add((field, True))
    return found


def without_tests(capabilities: Capabilities, tests: Iterable[object]) -> dict[tuple[str, object], Any]:
    """Return what is declared and held to nothing: (field, level) -> the reason, if there is one.

    Names of types and reclaimers are not looked at: one test goes through all that are declared.
    """
    has = covered(tests)
    return {
        (field, level): UNTESTED.get((field, level), "it has no test, a fault of the kit")
        for field, level in declarations(capabilities)
        if field not in NAME_SETS and (field, level) not in has
    }
