"""Runs the kit where it lies: ``pytest --pyargs intermodal.testing --backend NAME``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from intermodal import registry
from intermodal.testing.conformance.surroundings import around_concept, around_test
from intermodal.testing.promises import applies
from intermodal.testing.subjects import Subject, subjects_of
from intermodal.testing.suite import parametrize

if TYPE_CHECKING:
    from collections.abc import Iterator


@functools.cache
def _subjects(names: tuple[str, ...]) -> list[Subject]:
    return [subject for name in names for subject in subjects_of(name)]


def _chosen(config: pytest.Config) -> list[Subject]:
    """Return the maps of the backends asked for or, if none is, of all that can be used."""
    names = getattr(config.option, "intermodal_backends", None)
    usable = (spec.name for spec in registry.map_specs() if spec.error is None)
    return _subjects(tuple(names or usable))


def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """Leave out the tests of what no backend declares."""
    marked = hasattr(obj, "promised") or hasattr(obj, "unpromised")
    if marked and not any(applies(obj, each.capabilities) for each in _chosen(collector.config)):
        return []
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the maps that it is for."""
    parametrize(metafunc, _chosen(metafunc.config))


@pytest.fixture(scope="module", autouse=True)
def fewer_objects(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let collections be quick."""
    with around_concept(request.module.__name__.rpartition(".test_")[2]):
        yield


@pytest.fixture(autouse=True)
def checked_maps(request: pytest.FixtureRequest) -> Iterator[None]:
    """Verify the maps that the test made."""
    with around_test(request.node):
        yield
