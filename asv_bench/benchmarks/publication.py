"""What publishing costs: writes by evmap, published one by one, by the thousand, and beside an open guard."""

from __future__ import annotations

from typing import Any

from intermodal import open_map
from intermodal.bench.workloads import make_keys

from ._common import OPERATIONS, prepare, queries


class Publication:
    params = ([1_000, 100_000], [1, 10, 1_000])
    param_names = ("size", "every")

    def setup(self, size: int, every: int) -> None:
        prepare(size)
        self.map: Any = open_map("evmap", publish_every=every)
        self.map.update((key, key) for key in make_keys(size))
        self.map.publish()
        self.keys = queries(size, OPERATIONS)

    def time_writes(self, *_: object) -> None:
        m = self.map
        for key in self.keys:
            m[key] = key

    def time_writes_after_a_guard(self, *_: object) -> None:
        with self.map.guard():
            self.time_writes()

    def time_guard(self, *_: object) -> None:
        m = self.map
        for _ in range(OPERATIONS):
            m.guard().close()
