"""What reclaimers cost: a section of compiled code, a guard, retiring, and swiss under each of them."""

from __future__ import annotations

from typing import Any

from intermodal import open_map, open_reclaimer, reclaimers
from intermodal.bench._sections import sections
from intermodal.bench.workloads import make_keys

from ._common import OPERATIONS, prepare, queries

RECLAIMERS = [spec.name for spec in reclaimers() if spec.error is None]
SIZE = 10_000


class Reclaimers:
    """1,000 operations: a microsecond is a nanosecond each."""

    params = RECLAIMERS
    param_names = ("reclaimer",)

    def setup(self, name: str) -> None:
        prepare()
        self.reclaimer = open_reclaimer(name)
        self.record = self.reclaimer.record()

    def time_section(self, name: str) -> None:
        sections(self.record, OPERATIONS)

    def time_guard(self, name: str) -> None:
        for _ in range(OPERATIONS):
            with self.reclaimer.pin():
                pass

    def time_retire(self, name: str) -> None:
        retire = self.reclaimer.retire
        for _ in range(OPERATIONS):
            retire(object())


class Swiss:
    """1,000 operations of a map with 10,000 keys."""

    params = RECLAIMERS
    param_names = ("reclaimer",)

    def setup(self, name: str) -> None:
        prepare(SIZE)
        self.map: Any = open_map("swiss", reclaimer=name)
        for key in make_keys(SIZE):
            self.map[key] = key
        self.queries = queries(SIZE, OPERATIONS)

    def time_getitem(self, name: str) -> None:
        m = self.map
        for key in self.queries:
            m[key]

    def time_overwrite(self, name: str) -> None:
        m = self.map
        for key in self.queries:
            m[key] = key
