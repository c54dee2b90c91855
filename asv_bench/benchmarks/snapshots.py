"""Snapshots: taking one after a write, the writes after it, and counting what has changed since the last."""

from __future__ import annotations

from ._common import LARGE, Filled, backends_that

SNAPSHOTS = backends_that(lambda has: has.snapshot)


class Snapshots(Filled):
    params = (SNAPSHOTS, LARGE)
    param_names = ("backend", "size")

    def time_snapshot_after_a_write(self, backend: str, size: int) -> None:
        key = self.keys[0]
        self.map[key] = key
        self.map.snapshot()

    def time_writes_after_a_snapshot(self, backend: str, size: int) -> None:
        kept = self.map.snapshot()
        m = self.map
        for key in self.keys:
            m[key] = key
        del kept

    def time_len_after_writes(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.keys:
            m[key] = key
        len(m)
