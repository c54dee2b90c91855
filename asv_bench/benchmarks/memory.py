"""What an entry takes beside its key and value, and the most that a process with such a map takes."""

from __future__ import annotations

from intermodal.bench.memory import grown_by
from intermodal.bench.workloads import make_keys

from ._common import CONTENDERS, LARGE, PATIENCE, contender, filled_with, prepare


class Memory:
    """asv runs each case in a process of its own."""

    params = (list(CONTENDERS), LARGE)
    param_names = ("contender", "size")
    timeout = PATIENCE

    def setup(self, name: str, size: int) -> None:
        prepare()
        self.keys = make_keys(size)

    def track_bytes_per_entry(self, name: str, size: int) -> float:
        return grown_by(contender(name), self.keys)

    track_bytes_per_entry.unit = "bytes"  # type: ignore[attr-defined]  # asv's own convention

    def peakmem_filled(self, name: str, size: int) -> None:
        filled_with(name, self.keys)
