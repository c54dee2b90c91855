"""What an entry of a map takes: the growth of a process in which nothing happens but that maps are filled.

Each contender and size has a process of its own, ``python -m intermodal.bench.memory``; what one leaves
behind would be room for the next. Keys and values exist before, so that only the map's own memory counts.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal.bench.contenders import Contender, find, with_options
from intermodal.bench.costs import resident_bytes
from intermodal.bench.workloads import WRITE, BenchmarkError, make_integers, make_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intermodal.bench.workloads import Key, Run

# A process that fills a map for longer than this has lost its way.
_PATIENCE: Final = 600

# So many entries at least, in up to so many maps (cereggii takes one of 1024 thread-specific keys for each);
# no further map after so many seconds, which only the uncompiled package needs.
_LEAST_ENTRIES: Final = 200_000
_MOST_MAPS: Final = 500
_SECONDS: Final = 2.0


@attrs.frozen
class Memory:
    """What a map of so many entries takes for each of them, keys and values apart."""

    contender: str
    entries: int
    bytes_per_entry: float


def check_sizes(sizes: Sequence[int]) -> None:
    """Raise BenchmarkError if maps cannot have these numbers of entries."""
    if min(sizes, default=0) < 1:
        raise BenchmarkError(f"a number of entries must be at least 1; got {min(sizes, default=0)}")


def measure_memory(contender: Contender, sizes: Sequence[int]) -> list[Memory]:
    """Return what an entry takes in maps of *contender* of each of these *sizes*, from the smallest.

    Raises: BenchmarkError where it cannot be told: on systems without ``/proc``, or if the map fails.
    """
    check_sizes(sizes)
    return [Memory(contender.name, size, _bytes_per_entry(contender, size)) for size in sorted(set(sizes))]


def _bytes_per_entry(contender: Contender, size: int) -> float:
    arguments = [contender.name, json.dumps(dict(contender.options)), str(size)]
    done = subprocess.run(  # noqa: S603  (ourselves)
        [sys.executable, "-W", "ignore", "-m", "intermodal.bench.memory", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise BenchmarkError(f"the memory of {contender.name} cannot be measured: {reason}")
    grown: float = json.loads(done.stdout)
    return grown


def grown_by(contender: Contender, keys: Sequence[Key]) -> float:
    """Fill maps of *contender* with *keys*, and return by how many bytes for each entry this process grows.

    Of small maps there are many: what the process had free already would be a large part of a single one.
    """
    fill = [(WRITE, list(keys))]
    with contextlib.ExitStack() as views:

        def filled(runs: list[Run]) -> Any:
            m = contender.make()
            contender.run(views.enter_context(contender.view(m)), runs)
            contender.settle(m)
            return m

        kept = [filled([(WRITE, [keys[0]])])]  # what is allocated once is not counted
        gc.collect()
        enough = min(-(-_LEAST_ENTRIES // len(keys)), _MOST_MAPS)
        before, deadline = resident_bytes(), perf_counter() + _SECONDS
        while len(kept) == 1 or (len(kept) <= enough and perf_counter() < deadline):
            kept.append(filled(fill))
        return max(0, resident_bytes() - before) / ((len(kept) - 1) * len(keys))


def _main(name: str, options: Mapping[str, str], size: int) -> None:
    contender = with_options(name, options) if options else find(name)
    integers = options.get("key_type", "object") != "object"
    keys: Sequence[Key] = make_integers(size) if integers else make_keys(size)
    print(json.dumps(grown_by(contender, keys)))  # noqa: T201  (to the process that asked)


if __name__ == "__main__":
    _main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))
