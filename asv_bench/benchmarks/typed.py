"""Typed maps with arrays: 1,000 keys at a time, so a microsecond is a nanosecond a key; threads do more."""

from __future__ import annotations

import functools
import random
from array import array
from typing import Any

from intermodal import backends, open_map

from ._common import OPERATIONS, SIZES, prepare

TYPED = [
    spec.name
    for spec in backends()
    if spec.capabilities is not None and "int64" in spec.capabilities.key_types
] or ["none"]
SHARED = 100_000


@functools.lru_cache(maxsize=1)
def keys_of(size: int) -> array[int]:
    """Return so many different keys in random order."""
    generator = random.Random(size)
    keys = list({generator.getrandbits(63) for _ in range(size)})
    generator.shuffle(keys)
    return array("q", keys)


@functools.lru_cache(maxsize=1)
def filled(backend: str, size: int) -> Any:
    """Return a map of integers with these keys; the same map at every call."""
    keys = keys_of(size)
    m = open_map(backend, key_type="int64", value_type="int64")
    m.set_many(keys, array("q", range(len(keys))))
    return m


class Arrays:
    """On a map that has been filled."""

    params = (TYPED, SIZES)
    param_names = ("backend", "size")

    def setup(self, backend: str, size: int) -> None:
        prepare(size)
        if backend == "none":
            raise NotImplementedError
        self.map = filled(backend, size)
        self.some = array("q", random.Random(1).choices(keys_of(size), k=OPERATIONS))
        self.many = array("q", random.Random(2).choices(keys_of(size), k=SHARED))
        self.out = array("q", [0]) * OPERATIONS

    def time_get_many(self, backend: str, size: int) -> None:
        self.map.get_many(self.some, out=self.out)

    def time_set_many(self, backend: str, size: int) -> None:
        self.map.set_many(self.some, self.some)

    def time_add_many(self, backend: str, size: int) -> None:
        self.map.add_many(self.some)

    def time_get_100000_by_two_threads(self, backend: str, size: int) -> None:
        self.map.get_many(self.many, threads=2)


class Growing:
    """From empty."""

    params = (TYPED, SIZES)
    param_names = ("backend", "size")

    def setup(self, backend: str, size: int) -> None:
        prepare(size)
        if backend == "none":
            raise NotImplementedError
        self.keys = keys_of(size)

    def time_from_array(self, backend: str, size: int) -> None:
        open_map(backend, key_type="int64", value_type="int64").set_many(self.keys, self.keys)
