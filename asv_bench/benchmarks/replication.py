"""Replicated structures: operations by handle, logs, and two threads that mostly read."""

from __future__ import annotations

import functools
import shutil
import tempfile
from typing import Any

from intermodal import Dispatch, open_map, replicate
from intermodal.bench.runner import Crew
from intermodal.bench.workloads import make_keys

from ._common import OPERATIONS, prepare, queries

SIZE = 10_000


class Register(Dispatch):
    value = 0

    def dispatch(self, operation: Any) -> int:
        return self.value

    def dispatch_mut(self, operation: int) -> None:
        self.value = operation


class Operations:
    """1,000 operations by handle, of a structure that does nothing: a microsecond is a nanosecond each."""

    params = ([1, 2], ["linearizable", "session", "stale"])
    param_names = ("replicas", "consistency")

    def setup(self, replicas: int, consistency: str) -> None:
        prepare()
        self.register = replicate(Register, replicas=replicas, consistency=consistency)
        self.view = self.register.handle()

    def time_read(self, replicas: int, consistency: str) -> None:
        for _ in range(OPERATIONS):
            self.view.execute(None)

    def time_write(self, replicas: int, consistency: str) -> None:
        for number in range(OPERATIONS):
            self.view.execute_mut(number)


class Durable:
    """1,000 changes that go to files, flushed or not."""

    params = ([False, True],)
    param_names = ("fsync",)

    def setup(self, fsync: bool) -> None:
        prepare()
        self.folder = tempfile.mkdtemp()
        self.register = replicate(Register, log=f"file://{self.folder}", fsync=fsync)
        self.operations = OPERATIONS // 100 if fsync else OPERATIONS

    def teardown(self, fsync: bool) -> None:
        self.register.close()
        shutil.rmtree(self.folder)

    def time_write(self, fsync: bool) -> None:
        for number in range(self.operations):
            self.register.execute_mut(number)


class Mixed:
    """Two threads by handles, 95 of 100 operations reads."""

    params = (["nr", "cnr"], [1, 2])
    param_names = ("backend", "replicas")

    def setup(self, backend: str, replicas: int) -> None:
        prepare(SIZE)
        self.map: Any = open_map(backend, replicas=replicas)
        for key in make_keys(SIZE):
            self.map[key] = key
        self.crew = Crew(2)
        self.keys = self.crew.run(functools.partial(queries, SIZE, 10 * OPERATIONS))

    def teardown(self, *_: object) -> None:
        if hasattr(self, "crew"):
            self.crew.__exit__(None, None, None)

    def _work(self, thread: int) -> None:
        with self.map.handle() as view:
            for number, key in enumerate(self.keys[thread]):
                if number % 20:
                    view[key]
                else:
                    view[key] = key

    def time_parallel(self, backend: str, replicas: int) -> None:
        self.crew.run(self._work)
