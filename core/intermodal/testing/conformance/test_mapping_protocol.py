"""CPython's own tests of dict, run on the class of the maps."""

from __future__ import annotations

import pytest

import intermodal

try:
    from test import mapping_tests
except ImportError:  # this interpreter was built without its test package
    mapping_tests = None

#: Thousands of entries, which the uncompiled engines are too slow for; test_operations has a smaller one.
LARGE = set() if intermodal.__compiled__ else {"test_popitem"}
#: Those with keys of several types in one map, or without an order.
MIXED = {"test_eq", "test_getitem", "test_pop", "test_popitem", "test_setdefault"}
NAMES = [
    name
    for name in dir(mapping_tests and mapping_tests.TestHashMappingProtocol)
    if name.startswith("test") and name not in LARGE
]


@pytest.mark.skipif(mapping_tests is None, reason="this interpreter was built without its test package")
@pytest.mark.parametrize("name", NAMES)
def test_what_cpython_tests_of_dict_is_true_of_the_map(backend, name):
    """Lookups, updates, copies, views, exceptions, recursive reprs: test.mapping_tests."""
    if name in MIXED and backend.capabilities.ordered:
        pytest.skip("it mixes keys that cannot be compared")

    class Protocol(mapping_tests.TestHashMappingProtocol):
        type2test = backend.type

    Protocol(name).debug()  # runs it, and lets exceptions through
