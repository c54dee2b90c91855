"""Which build of intermodal runs: the compiled extensions or their own sources.

``INTERMODAL_PURE=1`` makes a compiled installation run its sources, for reading and debugging. A finder put
in front of the import system does it, before any other module of the package is imported. May import only the
standard library, and little of that, since every ``import intermodal`` waits for it.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class _SourceFinder:
    """Finds modules of intermodal and its plugins by their sources only."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG004
    ) -> ModuleSpec | None:
        if path is None or not name.partition(".")[0].startswith("intermodal"):
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None:
                return spec
        return None


def _has_extensions() -> bool:
    here = __file__.removesuffix("_mode.py")
    return any(os.access(f"{here}_checked{suffix}", os.R_OK) for suffix in EXTENSION_SUFFIXES)


_pure_requested = os.environ.get("INTERMODAL_PURE", "") not in ("", "0")
if _pure_requested:
    sys.meta_path.insert(0, _SourceFinder)

#: True where the compiled extensions run.
COMPILED = not _pure_requested and _has_extensions()
