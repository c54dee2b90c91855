"""What the benchmarks share: parameters, keys, filled maps, shares of work, and the check of the GIL."""

from __future__ import annotations

import functools
import os
import random
import sysconfig
import threading
from typing import TYPE_CHECKING, Any

from intermodal import __compiled__, backends, reclaimers
from intermodal.bench.contenders import BASELINE, Contender, enter, gil_enabled, with_options
from intermodal.bench.workloads import WRITE, Synthetic, fresh, make_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from intermodal.bench.workloads import Key, Mix, Run, Share
    from intermodal.capabilities import Capabilities

#: The least that INTERMODAL_BENCH_LARGEST may be: some benchmarks work on a thousand different keys.
SMALLEST = 1_000

#: The largest size that the uncompiled backends, a hundred times as slow, are measured at.
LARGEST_PURE = 10_000

#: Of a measurement on one thread: so a time in microseconds is the time per operation in nanoseconds.
OPERATIONS = 1_000

#: Of a batch that threads share.
MANY = 100_000

#: Operations of each thread, or a few more: a pass over a large map would take seconds, and longer to make.
PASS = 50_000


def largest() -> int:
    """Return the largest size to measure: INTERMODAL_BENCH_LARGEST, or a million; less without a compiler."""
    given = os.environ.get("INTERMODAL_BENCH_LARGEST", "1000000")
    if not given.isdecimal() or int(given) < SMALLEST:
        raise ValueError(
            f"INTERMODAL_BENCH_LARGEST is the largest number of entries to measure; got {given!r}, "
            f"give a number from {SMALLEST} up, such as 10000"
        )
    return int(given) if __compiled__ else min(int(given), LARGEST_PURE)


def sizes(*wanted: int) -> list[int]:
    """Return those of the *wanted* sizes that are small enough; the largest that is, if none of them is."""
    return [size for size in wanted if size <= largest()] or [largest()]


#: The numbers of entries. 10 M only where INTERMODAL_BENCH_LARGEST asks for it.
SIZES = sizes(1_000, 10_000, 1_000_000, 10_000_000)

#: Without the smallest, for what takes long or does not depend on it.
LARGE = sizes(10_000, 1_000_000, 10_000_000)

#: For what builds a map of 10 M entries, in seconds.
PATIENCE = 600.0

#: Who is measured side by side, by name: the backends, dict, and the peers that are installed. A backend that
#: is broken has a message for `intermodal --version`, not a figure.
CONTENDERS = {each.name: each for each in enter().contenders}

#: Those of them that are backends.
SPECS = {spec.name: spec for spec in backends() if spec.name in CONTENDERS}

BACKENDS = list(SPECS)

#: The backends, and dict for comparison, where an operation is not one that all peers have.
BACKENDS_AND_DICT = [*BACKENDS, BASELINE]

#: The usable reclaimers.
RECLAIMERS = [spec.name for spec in reclaimers() if spec.error is None]


def backends_that(promise: Callable[[Capabilities], object]) -> list[str]:
    """Return the backends of whose capabilities *promise* is true; "none" if there is none: asv wants one."""
    found = [
        spec.name for spec in SPECS.values() if spec.capabilities is not None and promise(spec.capabilities)
    ]
    return found or ["none"]


def backends_taking(option: str) -> list[str]:
    """Return the backends whose maps are opened with this *option*; "none" if there is none."""
    found = [spec.name for spec in SPECS.values() if option in [each.name for each in spec.options]]
    return found or ["none"]


def _reclaimed() -> dict[str, Contender]:
    return {
        f"{spec.name} under {reclaimer}": with_options(spec.name, {"reclaimer": reclaimer})
        for spec in SPECS.values()
        if spec.capabilities is not None and len(spec.capabilities.reclaimers) > 1
        for reclaimer in RECLAIMERS
        if reclaimer in spec.capabilities.reclaimers
    }


#: The backends that leave a choice of reclaimers, under each that is installed.
RECLAIMED = _reclaimed()


def contender(name: str) -> Contender:
    """Return who is measured under this name."""
    return CONTENDERS.get(name) or RECLAIMED[name]


def prepare(name: str = "") -> None:
    """Refuse to measure a free-threaded build with the GIL on, and pass over the *name* "none".

    Raises: AssertionError; NotImplementedError, which asv takes as "not for these parameters".
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not gil_enabled(), "the GIL was turned back on; run asv with PYTHON_GIL=0"
    if name == "none":
        raise NotImplementedError


def do(name: str, m: Any, *runs: Run) -> None:
    """Have one thread do *runs* to a map of the contender *name*, through what its threads should use."""
    who = contender(name)
    with who.view(m) as view:
        who.run(view, list(runs))


@functools.lru_cache(maxsize=1)
def filled(name: str, size: int) -> Any:
    """Return a map with the first *size* keys, each its own value; the same map at every call."""
    return filled_with(name, make_keys(size))


def filled_with(name: str, keys: Iterable[Key]) -> Any:
    """Return a new map of the contender *name* with these keys, each its own value."""
    m = contender(name).make()
    do(name, m, (WRITE, list(keys)))
    contender(name).settle(m)
    return m


# asv calls setup before each sample; what is the same for all of them is made once.


@functools.lru_cache(maxsize=1)
def queries(size: int) -> list[Key]:
    """Return OPERATIONS of the first *size* keys in random order: equal to the stored ones, not identical."""
    return [fresh(key) for key in random.Random(1).choices(make_keys(size), k=OPERATIONS)]


def visit(work: Callable[[], object]) -> None:
    """Let three threads do *work* and end: in use, threads come and go, and leave traces."""
    for _ in range(3):
        visitor = threading.Thread(target=work)
        visitor.start()
        visitor.join()


class Filled:
    """What benchmarks of a filled map begin with; they have its name and size as parameters."""

    timeout = PATIENCE
    map: Any

    def setup(self, name: str, size: int) -> None:
        prepare(name)
        self.map = filled(name, size)
        self.keys = queries(size)


def new_keys() -> list[Key]:
    """Return OPERATIONS keys that no filled map has."""
    return [f"new-{number:08d}" for number in range(OPERATIONS)]


def share(mix: Mix, size: int, threads: int, thread: int) -> Share:
    """Return what one of *threads* threads does to a map of *size* keys, about PASS operations."""
    return Synthetic(mix, size, longest_pass=PASS).share(thread, threads)
