# Layers of the package; imports point downward only:
#
#     bench, cli, testing   the command line, evidence about maps (__main__, _commands, _new_plugin)
#     facade                open_map, open_set, backends, replicate
#     registry              plugins by name (hookspecs, _refcount, plugins: what their authors import)
#     sets                  the keys of a map as a set
#     words                 what maps of 64-bit integers share (_batches: their arrays)
#     tables                what hash maps of lockable homes share
#     maps, capabilities    the contracts (replication, reclamation, _absent, _views, statistics)
#     dispatch, log         what is replicated, and where changes get their order
#     atomics, memory       what compiled engines are written in (_checked, _simulated)
#     _mode, _lazy, errors  which build runs, names imported on use, exceptions
#
# build serves setup.py and stands apart.
"""intermodal: interchangeable concurrent containers for Python.

>>> from intermodal import open_map
>>> m = open_map("locked")
>>> m["answer"] = 42
>>> m
{'answer': 42}

Public names are imported when they are first used; importing the package itself imports no dependency, no
backend and no compiled code.
"""

from __future__ import annotations

from intermodal._lazy import lazily
from intermodal._mode import COMPILED as __compiled__  # noqa: N811  (a constant by another name)

# As typing.TYPE_CHECKING, for type checkers, without the time that importing typing takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from intermodal._absent import ABSENT
    from intermodal.capabilities import BackendSpec, Capabilities, ReclaimerSpec, float64, int64
    from intermodal.dispatch import ConcurrentDispatch, Dispatch, LogMapper, read, write
    from intermodal.errors import (
        BackendLoadError,
        BackendNotFound,
        IntermodalError,
        NotSupported,
        OptionError,
    )
    from intermodal.facade import backends, open_map, open_reclaimer, open_set, reclaimers, replicate
    from intermodal.maps import ConcurrentMap
    from intermodal.reclamation import Reclaimer
    from intermodal.sets import ConcurrentSet
    from intermodal.statistics import MapStatistics, ReclamationStatistics

__version__ = "0.1.0"

__all__ = [
    "ABSENT",
    "BackendLoadError",
    "BackendNotFound",
    "BackendSpec",
    "Capabilities",
    "ConcurrentDispatch",
    "ConcurrentMap",
    "ConcurrentSet",
    "Dispatch",
    "IntermodalError",
    "LogMapper",
    "MapStatistics",
    "NotSupported",
    "OptionError",
    "Reclaimer",
    "ReclaimerSpec",
    "ReclamationStatistics",
    "__compiled__",
    "__version__",
    "backends",
    "float64",
    "int64",
    "open_map",
    "open_reclaimer",
    "open_set",
    "read",
    "reclaimers",
    "replicate",
    "write",
]

_HOME = {
    "ABSENT": "_absent",
    "BackendLoadError": "errors",
    "BackendNotFound": "errors",
    "BackendSpec": "capabilities",
    "Capabilities": "capabilities",
    "ConcurrentDispatch": "dispatch",
    "ConcurrentMap": "maps",
    "ConcurrentSet": "sets",
    "Dispatch": "dispatch",
    "IntermodalError": "errors",
    "LogMapper": "dispatch",
    "MapStatistics": "statistics",
    "NotSupported": "errors",
    "OptionError": "errors",
    "Reclaimer": "reclamation",
    "ReclaimerSpec": "capabilities",
    "ReclamationStatistics": "statistics",
    "backends": "facade",
    "float64": "capabilities",
    "int64": "capabilities",
    "open_map": "facade",
    "open_reclaimer": "facade",
    "open_set": "facade",
    "read": "dispatch",
    "reclaimers": "facade",
    "replicate": "facade",
    "write": "dispatch",
}


__getattr__, __dir__ = lazily(globals(), _HOME)
