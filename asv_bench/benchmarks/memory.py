"""What an entry takes beside its key and value. asv runs each case in a process of its own."""

from __future__ import annotations

import gc

from intermodal import open_map
from intermodal.bench.costs import resident_bytes
from intermodal.bench.workloads import make_keys

from ._common import BACKENDS, LARGEST_PURE, prepare


class Memory:
    params = (BACKENDS, [LARGEST_PURE, 1_000_000])
    param_names = ("backend", "size")

    def setup(self, backend: str, size: int) -> None:
        prepare(size)
        self.keys = make_keys(size)
        open_map(backend)[self.keys[0]] = self.keys[0]  # so that what is allocated once is not counted
        gc.collect()

    def track_bytes_per_entry(self, backend: str, size: int) -> float:
        m = open_map(backend)
        before = resident_bytes()
        for key in self.keys:
            m[key] = key
        return (resident_bytes() - before) / size

    track_bytes_per_entry.unit = "bytes"  # type: ignore[attr-defined]  # asv's own convention
