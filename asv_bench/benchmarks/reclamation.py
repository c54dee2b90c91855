"""What reclaimers cost: a section of compiled code, a guard, retiring, and the backends that use them."""

from __future__ import annotations

from intermodal import open_reclaimer
from intermodal.bench._sections import sections
from intermodal.bench.workloads import READ, REMOVE, WRITE

from ._common import OPERATIONS, RECLAIMED, RECLAIMERS, do, filled, new_keys, prepare, queries, sizes, visit

(SIZE,) = sizes(10_000)


class Reclaimers:
    """1,000 operations: a microsecond is a nanosecond each."""

    params = RECLAIMERS
    param_names = ("reclaimer",)

    def setup(self, name: str) -> None:
        prepare()
        self.reclaimer = open_reclaimer(name)
        visit(self.reclaimer.record)
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


class Maps:
    """1,000 operations of a map under each reclaimer that it leaves the choice of."""

    params = list(RECLAIMED) or ["none"]
    param_names = ("map",)

    def setup(self, name: str) -> None:
        prepare(name)
        self.map = filled(name, SIZE)
        self.keys = queries(SIZE)
        self.coming = new_keys()

    def time_getitem(self, name: str) -> None:
        do(name, self.map, (READ, self.keys))

    def time_overwrite(self, name: str) -> None:
        do(name, self.map, (WRITE, self.keys))

    def time_insert_and_delete(self, name: str) -> None:
        do(name, self.map, (WRITE, self.coming), (REMOVE, self.coming))
