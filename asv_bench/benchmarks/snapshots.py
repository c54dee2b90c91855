"""Snapshots: taking one after a write, the writes after it, and counting what has changed since the last."""

from __future__ import annotations

from intermodal import backends

from ._common import OPERATIONS, filled, prepare, queries

SNAPSHOTS = [spec.name for spec in backends() if spec.error is None and spec.capabilities.snapshot]


class Snapshots:
    params = (SNAPSHOTS, [10_000, 1_000_000])
    param_names = ("backend", "size")

    def setup(self, backend: str, size: int) -> None:
        prepare(size)
        self.map = filled(backend, size)
        self.keys = queries(size, OPERATIONS)

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
