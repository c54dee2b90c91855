"""The ``refcount`` reclaimer, which is core's own: frees at once.

Found by its entry point, as a plugin is; it may import what plugins may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import ReclaimerBackend, hookimpl

if TYPE_CHECKING:
    from intermodal.reclamation import Reclaimer


def _open() -> Reclaimer:
    from intermodal.reclamation import CountedReferences, Reclaimer

    return Reclaimer(CountedReferences())


@hookimpl
def intermodal_reclaimer() -> ReclaimerBackend:
    return ReclaimerBackend(
        name="refcount",
        summary="at once: whoever looks at an object counts a reference to it",
        protects=False,
        robust=True,
        open=_open,
    )
