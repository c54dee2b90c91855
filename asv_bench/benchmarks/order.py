"""What the backends that keep keys in order do with it: ranges, both ways, the nearest key, and the ends."""

from __future__ import annotations

import random

from intermodal import backends
from intermodal.bench.workloads import make_keys

from ._common import SIZES, filled, prepare

ORDERED = [
    spec.name for spec in backends() if spec.capabilities is not None and spec.capabilities.ordered
] or ["none"]
SCANNED = 1_000
NEIGHBOURS = 1_000


class Ranges:
    """Of 1,000 entries: a microsecond is a nanosecond each."""

    params = (ORDERED, SIZES)
    param_names = ("backend", "size")

    def setup(self, backend: str, size: int) -> None:
        prepare(size)
        if backend == "none" or size < 2 * SCANNED:
            raise NotImplementedError
        self.map = filled(backend, size)
        keys = make_keys(size)
        start = random.Random(1).randrange(size - SCANNED)
        self.first, self.end = keys[start], keys[start + SCANNED]
        self.some = random.Random(2).choices(keys, k=NEIGHBOURS)

    def time_range(self, backend: str, size: int) -> None:
        for _ in self.map.range(self.first, self.end):
            pass

    def time_range_reverse(self, backend: str, size: int) -> None:
        for _ in self.map.range(self.first, self.end, reverse=True):
            pass

    def time_floor(self, backend: str, size: int) -> None:
        floor = self.map.floor
        for key in self.some:
            floor(key)

    def time_first(self, backend: str, size: int) -> None:
        first = self.map.first
        for _ in range(NEIGHBOURS):
            first()
