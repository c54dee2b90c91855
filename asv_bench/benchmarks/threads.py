"""The same work by two threads at once and by one after the other, as pandas' gil.py pairs them.

``time_parallel`` that is half of ``time_loop`` is perfect scaling; with the GIL they are about equal. Threads
use a map through handles, where it has them. The work of a thread is a pass of the workloads that `intermodal
bench` has, every result checked.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from intermodal.bench.runner import Crew
from intermodal.bench.survey import WRITES
from intermodal.bench.workloads import MIXES, Mix, write_mix

from ._common import (
    CONTENDERS,
    LARGE,
    PATIENCE,
    RECLAIMED,
    backends_that,
    contender,
    filled,
    prepare,
    share,
)

if TYPE_CHECKING:
    from intermodal.bench.workloads import Share

THREADS = 2

#: Of overwriting, the rest reads; the same figures as `intermodal bench --report` has.
RATIOS = {f"{percent} % writes": write_mix(percent) for percent in WRITES}

#: Reading alone, and writing alone.
EXTREMES = [name for name, mix in RATIOS.items() if 100 in (mix.read, mix.update)]

#: Only reading is among the former.
MIXED = {name: mix for name, mix in MIXES.items() if mix.read < 100 and not mix.grows}

#: From an empty map.
GROWING = {
    "Insert": Mix("Insert", read=0, insert=100, remove=0, update=0, origin="here"),
    **{name: mix for name, mix in MIXES.items() if mix.grows},
}

WORK = {**RATIOS, **MIXED, **GROWING}


@functools.lru_cache(maxsize=1)
def _crew() -> Crew:
    # Of the process, which asv starts anew for each case: a thread's references to the keys that it has made
    # are cheap for it alone, on free-threaded builds.
    return Crew(THREADS)


@functools.lru_cache(maxsize=1)
def _shares(work: str, size: int) -> list[Share]:
    return _crew().run(functools.partial(share, WORK[work], size, THREADS))


class _Paired:
    timeout = PATIENCE
    number = 1

    def setup(self, name: str, work: str, size: int) -> None:
        prepare(name)
        self.who = contender(name)
        self.view = self.who.view
        self.shares = _shares(work, size)
        self.map: Any = filled(name, size) if self.shares[0].fill else self.who.make()

    def _pass(self, thread: int) -> None:
        with self.view(self.map) as view:
            for chunk in self.shares[thread].chunks:
                self.who.run(view, chunk)

    def _turn(self, turn: int, thread: int) -> None:
        if thread == turn:
            self._pass(thread)

    def time_parallel(self, *_: object) -> None:
        _crew().run(self._pass)

    def time_loop(self, *_: object) -> None:
        for turn in range(THREADS):
            _crew().run(functools.partial(self._turn, turn))


class Ratios(_Paired):
    """Shares of writes among reads."""

    params = (list(CONTENDERS), list(RATIOS), LARGE)
    param_names = ("contender", "work", "size")


class Mixes(_Paired):
    """Reads, writes, inserts and removals."""

    params = (list(CONTENDERS), list(MIXED), LARGE)
    param_names = ("contender", "work", "size")


class Growing(_Paired):
    """Inserts of new keys, from an empty map to the size."""

    params = (list(CONTENDERS), list(GROWING), LARGE)
    param_names = ("contender", "work", "size")


class Reclaimed(_Paired):
    """Under each reclaimer, by handles."""

    params = (list(RECLAIMED) or ["none"], list(RATIOS), LARGE)
    param_names = ("map", "work", "size")


class WithoutHandles(_Paired):
    """The map itself, where threads should rather use handles; under each reclaimer, too."""

    params = ([*backends_that(lambda has: has.handles), *RECLAIMED], EXTREMES, LARGE)
    param_names = ("map", "work", "size")

    def setup(self, name: str, work: str, size: int) -> None:
        super().setup(name, work, size)
        self.view = contextlib.nullcontext
