"""The same work by two threads at once and by one after the other, as pandas' gil.py pairs them.

``time_parallel`` that is half of ``time_loop`` is perfect scaling; with the GIL they are about equal.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from intermodal.bench.runner import Crew

from ._common import BACKENDS, filled, prepare, queries

THREADS = 2
EACH = 50_000


def get(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key]


def overwrite(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key] = key


WORK = {"get": get, "overwrite": overwrite}


class Threads:
    params = (BACKENDS, [10_000, 1_000_000], list(WORK), ["handle", "map"])
    param_names = ("backend", "size", "operation", "through")

    def setup(self, backend: str, size: int, operation: str, through: str) -> None:
        prepare(size)
        self.map = filled(backend, size)
        self.crew = Crew(THREADS)
        # Made by the thread that uses them: on free-threaded builds their references are cheap for it alone.
        self.keys = self.crew.run(functools.partial(queries, size, EACH))
        self.crew.run(functools.partial(self._work, operation, through))

    def teardown(self, *_: object) -> None:
        if hasattr(self, "crew"):
            self.crew.__exit__(None, None, None)

    def _work(self, operation: str, through: str, thread: int) -> None:
        view = self.map.handle() if through == "handle" else contextlib.nullcontext(self.map)
        with view as m:
            WORK[operation](m, self.keys[thread])

    def time_parallel(self, backend: str, size: int, operation: str, through: str) -> None:
        self.crew.run(functools.partial(self._work, operation, through))

    def time_loop(self, backend: str, size: int, operation: str, through: str) -> None:
        for turn in range(THREADS):
            self.crew.run(functools.partial(self._turn, operation, through, turn))

    def _turn(self, operation: str, through: str, turn: int, thread: int) -> None:
        if thread == turn:
            self._work(operation, through, thread)
