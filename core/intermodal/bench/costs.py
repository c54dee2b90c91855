"""What a map costs besides throughput: its slowest insert while it grows, and memory.

For asv and for ``asv_bench/must_reach.py``, which measure the same things. Imports no
contender: whoever measures gives the map.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intermodal.bench.contenders import LockedDict


def slowest_insert(m: Any, keys: Sequence[str]) -> float:
    """Insert *keys*, each as its own value, timing each insert; return the longest time in seconds."""
    slowest = 0.0
    before = perf_counter()
    for key in keys:
        m[key] = key
        now = perf_counter()
        if now - before > slowest:  # noqa: PLR1730  (max() would be a call, and timed)
            slowest = now - before
        before = now
    return slowest


def slowest_insert_locked(m: LockedDict, keys: Sequence[str]) -> float:
    """Do the same to a dict with a lock around each insert."""
    data, lock = m.data, m.lock
    slowest = 0.0
    before = perf_counter()
    for key in keys:
        with lock:
            data[key] = key
        now = perf_counter()
        if now - before > slowest:  # noqa: PLR1730  (max() would be a call, and timed)
            slowest = now - before
        before = now
    return slowest


def resident_bytes() -> int:
    """Return the size of this process's resident set.

    Raises: OSError where there is no ``/proc/self/status`` that says it: everywhere but on Linux.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no line VmRSS")
