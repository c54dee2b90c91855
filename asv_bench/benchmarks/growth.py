"""How long a single insert can take while a map grows from empty: what rehashing in one go costs."""

from __future__ import annotations

import gc

from intermodal import open_map
from intermodal.bench.costs import slowest_insert
from intermodal.bench.workloads import make_keys

from ._common import BACKENDS, prepare


class Growth:
    params = (BACKENDS, [10_000, 1_000_000])
    param_names = ("backend", "size")

    def setup(self, backend: str, size: int) -> None:
        prepare(size)
        self.keys = make_keys(size)
        gc.disable()

    def teardown(self, *_: object) -> None:
        gc.enable()

    def track_slowest_insert(self, backend: str, size: int) -> float:
        return slowest_insert(open_map(backend), self.keys) * 1e6

    track_slowest_insert.unit = "us"  # type: ignore[attr-defined]  # asv's own convention
