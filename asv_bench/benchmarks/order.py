"""What the backends that keep keys in order do with it: ranges, both ways, the nearest key, and the ends."""

from __future__ import annotations

import random
from typing import Any

from intermodal.bench.contenders import SORTED
from intermodal.bench.workloads import make_keys

from ._common import CONTENDERS, OPERATIONS, PATIENCE, SIZES, backends_that, filled, prepare

ORDERED = [*backends_that(lambda has: has.ordered), *(name for name in CONTENDERS if name == SORTED)]
SCANNED = 1_000


class Ranges:
    """Of 1,000 entries: a microsecond is a nanosecond each."""

    params = (ORDERED, SIZES)
    param_names = ("contender", "size")
    timeout = PATIENCE

    def setup(self, contender: str, size: int) -> None:
        prepare(contender)
        self.map: Any = filled(contender, size)
        keys = make_keys(size + 1)
        scanned = min(SCANNED, size)
        start = random.Random(1).randrange(size - scanned + 1)
        self.first, self.end = keys[start], keys[start + scanned]
        self.some = random.Random(2).choices(keys, k=OPERATIONS)

    def time_range(self, contender: str, size: int) -> None:
        for _ in self.map.range(self.first, self.end):
            pass

    def time_range_reverse(self, contender: str, size: int) -> None:
        for _ in self.map.range(self.first, self.end, reverse=True):
            pass

    def time_floor(self, contender: str, size: int) -> None:
        floor = self.map.floor
        for key in self.some:
            floor(key)

    def time_first(self, contender: str, size: int) -> None:
        first = self.map.first
        for _ in range(OPERATIONS):
            first()
