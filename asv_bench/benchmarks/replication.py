"""Replicated structures: operations by handle, logs, and maps with several replicas."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from typing import Any

from intermodal import Dispatch, OptionError, open_map, replicate
from intermodal.bench.runner import Crew
from intermodal.bench.workloads import write_mix
from intermodal.registry import logs

from ._common import OPERATIONS, backends_taking, prepare, share, sizes

(SIZE,) = sizes(10_000)
THREADS = 2


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


def log_names() -> list[str]:
    """Return the usable kinds of logs, and those that flush once more without that."""
    names = []
    for name in logs.names():
        description, *_, error = logs.examine(name)
        if error is None and description is not None:
            names.append(name)
            names += [f"{name} without fsync" for option in description.options if option.name == "fsync"]
    return names


def open_logged(kind: str, folder: str) -> Any:
    """Return a register whose changes go to a log of that kind, at an address of its own.

    The address is INTERMODAL_BENCH_LOG_name, in capitals, of the environment, which a log wants that is a
    server's; or none; or, if the log wants one, a new folder.
    """
    name, _, without = kind.partition(" ")
    options: dict[str, Any] = {"fsync": False} if without else {}
    given = os.environ.get(f"INTERMODAL_BENCH_LOG_{name.upper()}")
    if given is not None:
        return replicate(Register, log=f"{name}://{given}", **options)
    with contextlib.suppress(OptionError):
        return replicate(Register, log=name, **options)
    return replicate(Register, log=f"{name}://{folder}", **options)


class Logs:
    """A hundred changes, of one thread and of two, and a hundred reads, with each kind of log."""

    params = (log_names(),)
    param_names = ("log",)
    number = 1
    operations = OPERATIONS // 10

    def setup(self, kind: str) -> None:
        prepare()
        self.folder = tempfile.mkdtemp()
        self.register = open_logged(kind, self.folder)
        self.crew = Crew(THREADS)

    def teardown(self, kind: str) -> None:
        self.crew.__exit__(None, None, None)
        self.register.close()
        shutil.rmtree(self.folder)

    def _change(self, count: int, thread: int) -> None:
        with self.register.handle() as view:
            for number in range(count):
                view.execute_mut(number)

    def time_write(self, kind: str) -> None:
        self._change(self.operations, 0)

    def time_write_by_two_threads(self, kind: str) -> None:
        self.crew.run(functools.partial(self._change, self.operations // THREADS))

    def time_read(self, kind: str) -> None:
        with self.register.handle() as view:
            for _ in range(self.operations):
                view.execute(None)


class Replicas:
    """Two threads by handles, 95 of 100 operations reads, with one replica for both and with one for each."""

    params = (backends_taking("replicas"), [1, 2])
    param_names = ("backend", "replicas")

    def setup(self, backend: str, replicas: int) -> None:
        prepare(backend)
        self.crew, self.shares = _shares()
        self.map: Any = open_map(backend, replicas=replicas)
        for each in self.shares:
            self.map.update((key, key) for key in each.fill)

    def _pass(self, thread: int) -> None:
        with self.map.handle() as view:
            for chunk in self.shares[thread].chunks:
                for kind, keys in chunk:
                    if kind:
                        for key in keys:
                            view[key] = key
                    else:
                        for key in keys:
                            view[key]

    def time_parallel(self, backend: str, replicas: int) -> None:
        self.crew.run(self._pass)


@functools.lru_cache(maxsize=1)
def _shares() -> tuple[Crew, list[Any]]:
    crew = Crew(THREADS)
    return crew, crew.run(functools.partial(share, write_mix(5), SIZE, THREADS))
