"""One operation at a time on one thread, 1000 of them: microseconds of asv are nanoseconds per operation."""

from __future__ import annotations

from ._common import BACKENDS, OPERATIONS, SIZES, filled, new_keys, prepare, queries


class _Filled:
    params = (BACKENDS, SIZES)
    param_names = ("backend", "size")

    def setup(self, backend: str, size: int) -> None:
        prepare(size)
        self.map = filled(backend, size)
        self.keys = queries(size, OPERATIONS)


class Existing(_Filled):
    """Keys that the map has, and keeps."""

    def time_getitem(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.keys:
            m[key]

    def time_get(self, backend: str, size: int) -> None:
        get = self.map.get
        for key in self.keys:
            get(key)

    def time_setitem_existing(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.keys:
            m[key] = key

    def time_contains(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.keys:
            key in m  # noqa: B015  (that is what is timed)


class Coming(_Filled):
    """Keys that the map does not have yet."""

    number = 1

    def setup(self, backend: str, size: int) -> None:
        super().setup(backend, size)
        self.keys = new_keys(OPERATIONS)
        self.map.pop_many(self.keys)

    def time_insert_new(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.keys:
            m[key] = key


class Going(_Filled):
    """Keys that the map has and will not."""

    number = 1

    def setup(self, backend: str, size: int) -> None:
        super().setup(backend, size)
        self.keys = new_keys(OPERATIONS)
        self.map.set_many(self.keys, self.keys)

    def time_delete(self, backend: str, size: int) -> None:
        m = self.map
        for key in self.keys:
            del m[key]


class Whole(_Filled):
    """All entries."""

    def time_iterate(self, backend: str, size: int) -> None:
        for _ in self.map:
            pass
