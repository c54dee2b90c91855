"""Typed maps with arrays: 1,000 keys at a time, so a microsecond is a nanosecond a key; threads do more."""

from __future__ import annotations

import functools
import random
from array import array
from typing import Any

from intermodal import open_map
from intermodal.bench.contenders import with_options
from intermodal.bench.memory import grown_by
from intermodal.bench.workloads import make_integers

from ._common import LARGE, MANY, OPERATIONS, PATIENCE, SIZES, backends_that, prepare

TYPED = backends_that(lambda has: "int64" in has.key_types)
INTEGERS: dict[str, Any] = {"key_type": "int64", "value_type": "int64"}


@functools.lru_cache(maxsize=1)
def keys_of(size: int) -> array[int]:
    """Return so many different keys in random order."""
    generator = random.Random(size)
    keys = list({generator.getrandbits(63) for _ in range(size)})
    generator.shuffle(keys)
    return array("q", keys)


@functools.lru_cache(maxsize=2)
def chosen(size: int, count: int) -> array[int]:
    """Return *count* of those keys, again in random order."""
    return array("q", random.Random(1).choices(keys_of(size), k=count))


@functools.lru_cache(maxsize=1)
def filled(backend: str, size: int) -> Any:
    """Return a map of integers with these keys; the same map at every call."""
    keys = keys_of(size)
    m = open_map(backend, **INTEGERS)
    m.set_many(keys, array("q", range(len(keys))))
    return m


class Arrays:
    """On a map that has been filled."""

    params = (TYPED, SIZES)
    param_names = ("backend", "size")
    timeout = PATIENCE

    def setup(self, backend: str, size: int) -> None:
        prepare(backend)
        self.map = filled(backend, size)
        self.some = chosen(size, OPERATIONS)
        self.many = chosen(size, MANY)
        self.out = array("q", [0]) * OPERATIONS

    def time_get_many(self, backend: str, size: int) -> None:
        self.map.get_many(self.some, out=self.out)

    def time_set_many(self, backend: str, size: int) -> None:
        self.map.set_many(self.some, self.some)

    def time_add_many(self, backend: str, size: int) -> None:
        self.map.add_many(self.some)

    def time_contains_many(self, backend: str, size: int) -> None:
        self.map.contains_many(self.some)

    def time_getitem(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.some:
            m[key]

    def time_get_100000_by_two_threads(self, backend: str, size: int) -> None:
        self.map.get_many(self.many, threads=2)


class Scans:
    """All entries: as arrays, and one by one."""

    params = (TYPED, SIZES)
    param_names = ("backend", "size")
    timeout = PATIENCE

    def setup(self, backend: str, size: int) -> None:
        prepare(backend)
        self.map = filled(backend, size)

    def time_items_arrays(self, backend: str, size: int) -> None:
        self.map.items_arrays()

    def time_items(self, backend: str, size: int) -> None:
        for _ in self.map.items():
            pass


class Growing:
    """From empty."""

    params = (TYPED, LARGE)
    param_names = ("backend", "size")
    timeout = PATIENCE

    def setup(self, backend: str, size: int) -> None:
        prepare(backend)
        self.keys = keys_of(size)

    def time_from_array(self, backend: str, size: int) -> None:
        open_map(backend, **INTEGERS).set_many(self.keys, self.keys)

    def track_bytes_per_entry(self, backend: str, size: int) -> float:
        return grown_by(with_options(backend, INTEGERS), make_integers(size))

    track_bytes_per_entry.unit = "bytes"  # type: ignore[attr-defined]  # asv's own convention
