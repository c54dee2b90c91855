"""All entries, one after the other. Ranges of ordered maps are in order.py, arrays in typed.py."""

from __future__ import annotations

from typing import Any

from ._common import BACKENDS_AND_DICT, PATIENCE, SIZES, filled, prepare


class Whole:
    """From the first to the last, with nobody else at work."""

    params = (BACKENDS_AND_DICT, SIZES)
    param_names = ("backend", "size")
    timeout = PATIENCE

    def setup(self, backend: str, size: int) -> None:
        prepare()
        self.map: Any = filled(backend, size)

    def time_iterate(self, backend: str, size: int) -> None:
        for _ in self.map:
            pass

    def time_items(self, backend: str, size: int) -> None:
        for _ in self.map.items():
            pass

    def time_copy_into_dict(self, backend: str, size: int) -> None:
        dict(self.map)
