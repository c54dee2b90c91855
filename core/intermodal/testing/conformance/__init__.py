"""The conformance kit: tests that hold the maps of a backend to the contract and to what it declares.

One module for each concept. A backend joins with one line in a test module of its own::

    from intermodal.testing.conformance import conformance_suite

    TestMine = conformance_suite("mine")

or without one: ``pytest --pyargs intermodal.testing --backend mine``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

try:
    import hypothesis  # noqa: F401
    import pytest
except ImportError as error:
    raise ImportError(
        f"the conformance kit needs pytest and hypothesis, and {error.name} is not installed: "
        "pip install 'intermodal[test]'",
        name=error.name,
    ) from error

if TYPE_CHECKING:
    from intermodal.testing.suite import conformance_suite

__all__ = ["CONCEPTS", "conformance_suite"]

#: The modules of the kit, test_..., in the order in which they are run.
CONCEPTS: Final = (
    "declarations",
    "operations",
    "objects",
    "copying",
    "handles",
    "mapping_protocol",
    "model",
    "hostile_keys",
    "lifetimes",
    "iteration",
    "interrupts",
    "forks",
    "threads",
    "linearizability",
    "publication",
    "multi_values",
)

# Before any of them is imported: a failing assertion shows its values.
pytest.register_assert_rewrite(*(f"{__name__}.test_{concept}" for concept in CONCEPTS))


def __getattr__(name: str) -> Any:
    if name != "conformance_suite":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal.testing.suite import conformance_suite

    return conformance_suite
