"""What publishing costs: writes published one by one, by the thousand, and beside an open guard."""

from __future__ import annotations

from typing import Any

from intermodal import open_map
from intermodal.bench.workloads import make_keys

from ._common import OPERATIONS, backends_taking, prepare, queries, sizes, visit

PUBLISHING = backends_taking("publish_every")


class Publication:
    params = (PUBLISHING, sizes(1_000, 100_000), [1, 10, 100, 1_000])
    param_names = ("backend", "size", "every")

    def setup(self, backend: str, size: int, every: int) -> None:
        prepare(backend)
        self.map: Any = open_map(backend, publish_every=every)
        self.map.update((key, key) for key in make_keys(size))
        self.map.publish()
        self.keys = queries(size)
        visit(lambda: self.map.get(""))

    def time_writes(self, backend: str, size: int, every: int) -> None:
        m = self.map
        for key in self.keys:
            m[key] = key

    def time_writes_after_a_guard(self, backend: str, size: int, every: int) -> None:
        with self.map.guard():
            self.time_writes(backend, size, every)

    def time_guard(self, backend: str, size: int, every: int) -> None:
        m = self.map
        for _ in range(OPERATIONS):
            m.guard().close()
