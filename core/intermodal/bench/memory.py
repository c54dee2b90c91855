"""What an entry of a map takes: the growth of a process in which nothing happens but that a map is filled.

Each contender has a process of its own, ``python -m intermodal.bench.memory NAME ...``; what one leaves
behind would be room for the next. Keys and values exist before, so that only the map's own memory counts.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import attrs

from intermodal.bench.contenders import Contender, find
from intermodal.bench.costs import resident_bytes
from intermodal.bench.workloads import WRITE, BenchmarkError, make_integers, make_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intermodal.bench.workloads import Key

# A process that fills a map for longer than this has lost its way.
_PATIENCE: Final = 600


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
    """Return what an entry takes in one map of *contender* as it grows through these *sizes*.

    Raises: BenchmarkError where it cannot be told: on systems without ``/proc``, or if the map fails.
    """
    check_sizes(sizes)
    order = sorted(set(sizes))
    arguments = [contender.name, json.dumps(dict(contender.options)), *map(str, order)]
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
    grown = json.loads(done.stdout)
    return [Memory(contender.name, size, each / size) for size, each in zip(order, grown, strict=True)]


def grow(contender: Contender, keys: Sequence[Key], sizes: Sequence[int]) -> list[int]:
    """Fill a map of *contender* to each of *sizes*, and return by how many bytes this process has grown."""
    m = contender.make()
    with contender.view(m) as view:
        contender.run(view, [(WRITE, [keys[0]])])  # what is allocated once is not counted
        contender.settle(m)
        gc.collect()
        before, grown, start = resident_bytes(), [], 0
        for size in sizes:
            contender.run(view, [(WRITE, list(keys[start:size]))])
            contender.settle(m)
            grown.append(max(0, resident_bytes() - before))
            start = size
    return grown


def _main(name: str, options: Mapping[str, str], sizes: Sequence[int]) -> None:
    from intermodal.bench.contenders import with_options

    contender = with_options(name, options) if options else find(name)
    integers = options.get("key_type", "object") != "object"
    keys: Sequence[Key] = make_integers(sizes[-1]) if integers else make_keys(sizes[-1])
    print(json.dumps(grow(contender, keys, sizes)))  # noqa: T201  (to the process that asked)


if __name__ == "__main__":
    _main(sys.argv[1], json.loads(sys.argv[2]), [int(size) for size in sys.argv[3:]])
