"""A map that grows from empty: how long that takes, and how long the slowest single insertion does."""

from __future__ import annotations

import gc
from array import array

from intermodal.bench.workloads import WRITE, Key, make_keys

from ._common import CONTENDERS, LARGE, PATIENCE, contender, filled_with, prepare


class Growth:
    params = (list(CONTENDERS), LARGE)
    param_names = ("contender", "size")
    timeout = PATIENCE
    number = 1

    def setup(self, name: str, size: int) -> None:
        prepare()
        self.keys: list[Key] = [*make_keys(size)]
        gc.disable()

    def teardown(self, *_: object) -> None:
        gc.enable()

    def time_fill(self, name: str, size: int) -> None:
        filled_with(name, self.keys)

    def track_slowest_insert(self, name: str, size: int) -> float:
        who = contender(name)
        times = array("q")
        with who.view(who.make()) as view:
            who.run_timed(view, [(WRITE, self.keys)], array("q"), times)
        return max(times) / 1e3

    track_slowest_insert.unit = "us"  # type: ignore[attr-defined]  # asv's own convention
