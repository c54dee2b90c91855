"""One operation at a time on one thread, 1000 of them: microseconds of asv are nanoseconds per operation."""

from __future__ import annotations

from intermodal.bench.workloads import READ, REMOVE, WRITE

from ._common import (
    BACKENDS,
    BACKENDS_AND_DICT,
    CONTENDERS,
    PATIENCE,
    SIZES,
    Filled,
    do,
    filled,
    new_keys,
    prepare,
)


class Existing(Filled):
    """Keys that the map has, and keeps; by subscripts, which all have in common, each result checked."""

    params = (list(CONTENDERS), SIZES)
    param_names = ("contender", "size")

    def time_getitem(self, contender: str, size: int) -> None:
        do(contender, self.map, (READ, self.keys))

    def time_setitem_existing(self, contender: str, size: int) -> None:
        do(contender, self.map, (WRITE, self.keys))


class Coming:
    """Keys that the map does not have yet."""

    params = (list(CONTENDERS), SIZES)
    param_names = ("contender", "size")
    timeout = PATIENCE
    number = 1

    def setup(self, contender: str, size: int) -> None:
        prepare()
        self.map = filled(contender, size)
        self.keys = new_keys()
        self.inserted = False

    def time_insert_new(self, contender: str, size: int) -> None:
        do(contender, self.map, (WRITE, self.keys))
        self.inserted = True

    def teardown(self, contender: str, size: int) -> None:
        if self.inserted:
            do(contender, self.map, (REMOVE, self.keys))


class Going:
    """Keys that the map has and will not."""

    params = (list(CONTENDERS), SIZES)
    param_names = ("contender", "size")
    timeout = PATIENCE
    number = 1

    def setup(self, contender: str, size: int) -> None:
        prepare()
        self.map = filled(contender, size)
        self.keys = new_keys()
        do(contender, self.map, (WRITE, self.keys))

    def time_delete(self, contender: str, size: int) -> None:
        do(contender, self.map, (REMOVE, self.keys))


class Methods(Filled):
    """What dict has beside subscripts."""

    params = (BACKENDS_AND_DICT, SIZES)
    param_names = ("backend", "size")

    def time_get(self, backend: str, size: int) -> None:
        get = self.map.get
        for key in self.keys:
            get(key)

    def time_contains(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.keys:
            key in m  # noqa: B015  (that is what is timed)

    def time_setdefault(self, backend: str, size: int) -> None:
        setdefault = self.map.setdefault
        for key in self.keys:
            setdefault(key, key)


class Conditional(Filled):
    """What dict does not have: a change of one key in one step, and many keys in one call."""

    params = (BACKENDS, SIZES)
    param_names = ("backend", "size")

    def time_compute(self, backend: str, size: int) -> None:
        compute = self.map.compute
        for key in self.keys:
            compute(key, _same)

    def time_compare_and_set(self, backend: str, size: int) -> None:
        compare_and_set = self.map.compare_and_set
        for key in self.keys:
            compare_and_set(key, key, key)

    def time_get_many(self, backend: str, size: int) -> None:
        self.map.get_many(self.keys)

    def time_set_many(self, backend: str, size: int) -> None:
        self.map.set_many(self.keys, self.keys)


def _same(old: object) -> object:
    return old
