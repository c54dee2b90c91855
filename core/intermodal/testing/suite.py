"""The conformance kit as test classes, for a test module of a backend's own; needs pytest and hypothesis."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from intermodal.testing.conformance import CONCEPTS
from intermodal.testing.conformance.surroundings import around_concept, around_test
from intermodal.testing.promises import applies
from intermodal.testing.subjects import Subject, subjects_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

#: The arguments of tests that stand for maps: through handles too, or only directly.
ARGUMENTS: Final = ("subject", "backend")


def conformance_suite(backend: str | Subject, **options: Any) -> type:
    """Return a class of tests that hold a backend to what it declares, for pytest to collect.

    One line in a test module makes a plugin join::

        TestMine = conformance_suite("mine")

    and pytest calls the tests ``TestMine::TestThreads::test_counters_are_exact[...]``. What the backend does
    not declare is not among them. To leave a test out, or to mark it, derive::

        Suite = conformance_suite("mine")

        class TestMine(Suite):
            class TestThreads(Suite.TestThreads):
                test_counters_are_exact = None

    Args:
        backend: the name of an installed backend, or a :class:`Subject` for maps that no plugin provides.
        options: keywords of ``open_map`` with which every map is opened.

    Raises: BackendNotFound, BackendLoadError.
    """
    subjects = subjects_of(backend, **options)
    members: dict[str, Any] = {
        f"Test{_capitals(concept)}": _concept_tests(concept, subjects) for concept in CONCEPTS
    }
    for name, member in members.items():
        member.__name__ = member.__qualname__ = name
    members["__doc__"] = f"The conformance kit, for {subjects[0]}."
    return type(f"TestConformanceOf{_capitals(str(subjects[0]))}", (), members)


def every_test() -> list[Any]:
    """Return all test functions of the kit."""
    return [test for concept in CONCEPTS for test in tests_of(concept).values()]


def tests_of(concept: str) -> dict[str, Any]:
    """Return the test functions of one module of the kit, by name."""
    module = import_module(f"intermodal.testing.conformance.test_{concept}")
    return {name: member for name, member in vars(module).items() if name.startswith("test_")}


def parametrize(metafunc: pytest.Metafunc, subjects: Iterable[Subject]) -> None:
    """Give a test of the kit the *subjects* that it applies to."""
    fitting = [each for each in subjects if applies(metafunc.function, each.capabilities)]
    for argument in ARGUMENTS:
        if argument in metafunc.fixturenames:
            chosen = [each for each in fitting if argument == "subject" or not each.by_handle]
            if "kind" in metafunc.fixturenames:
                pairs = [(each, kind) for each in chosen for kind in each.kinds]
                ids = [f"{each}-{kind}" for each, kind in pairs]
                metafunc.parametrize((argument, "kind"), pairs, ids=ids)
            else:
                metafunc.parametrize(argument, chosen, ids=str)


class _Concept:
    """The tests of one module, as methods that take no self."""

    concept: ClassVar[str]
    subjects: ClassVar[tuple[Subject, ...]]
    surroundings: ClassVar[AbstractContextManager[None]]

    @classmethod
    def setup_class(cls) -> None:
        cls.surroundings = around_concept(cls.concept)
        cls.surroundings.__enter__()

    @classmethod
    def teardown_class(cls) -> None:
        cls.surroundings.__exit__(None, None, None)

    @pytest.fixture(autouse=True)
    def checked_maps(self, request: pytest.FixtureRequest) -> Iterator[None]:
        with around_test(request.node):
            yield

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        parametrize(metafunc, cls.subjects)


def _concept_tests(concept: str, subjects: tuple[Subject, ...]) -> type:
    members: dict[str, Any] = {
        name: staticmethod(test)
        for name, test in tests_of(concept).items()
        if applies(test, subjects[0].capabilities)
    }
    return type(concept, (_Concept,), {**members, "concept": concept, "subjects": subjects})


def _capitals(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", name))
