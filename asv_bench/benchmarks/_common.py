"""What the benchmarks share: parameters, keys, filled maps, and the check of the GIL."""

from __future__ import annotations

import functools
import os
import random
import sysconfig
from typing import Any

from intermodal import __compiled__, backends, open_map
from intermodal.bench.contenders import gil_enabled
from intermodal.bench.workloads import fresh, make_keys

#: The usable backends. A broken one has a message for `intermodal --version`, not a figure.
BACKENDS = [spec.name for spec in backends() if spec.error is None]

SIZES = [1_000, 10_000, 1_000_000]

#: The largest size that the uncompiled backends, a hundred times as slow, are measured at.
LARGEST_PURE = 10_000

#: Larger sizes are passed over: for a run that only shows that each benchmark works.
LARGEST = int(os.environ.get("INTERMODAL_BENCH_LARGEST", "1000000"))

#: Of a measurement on one thread: so a time in microseconds is the time per operation in nanoseconds.
OPERATIONS = 1_000


def prepare(size: int = 0) -> None:
    """Refuse to measure under the wrong conditions; skip sizes that would take too long.

    Raises: AssertionError on a free-threaded build with the GIL on. NotImplementedError, which asv takes as
    "not for these parameters", if the size is not for uncompiled backends, or above INTERMODAL_BENCH_LARGEST.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not gil_enabled(), "the GIL was turned back on; run asv with PYTHON_GIL=0"
    if size > (LARGEST if __compiled__ else min(LARGEST, LARGEST_PURE)):
        raise NotImplementedError


@functools.lru_cache(maxsize=1)
def filled(backend: str, size: int) -> Any:
    """Return a map with the first *size* keys, each its own value; the same map at every call."""
    m = open_map(backend)
    for key in make_keys(size):
        m[key] = key
    return m


def queries(size: int, count: int, seed: int = 1) -> list[str]:
    """Return *count* of the first *size* keys in random order: equal to the stored ones, not identical."""
    keys = make_keys(size)
    return [fresh(key) for key in random.Random(seed).choices(keys, k=count)]


def new_keys(count: int) -> list[str]:
    """Return keys that no filled map has."""
    return [f"new-{number:08d}" for number in range(count)]
