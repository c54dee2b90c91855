"""The ``hyaline`` reclaimer: a section that never ends holds back only what is older than itself.

Imports nothing of the technique: whoever lists the reclaimers imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import ReclaimerBackend, hookimpl

if TYPE_CHECKING:
    from intermodal.plugins import Reclaimer


def _open() -> Reclaimer:
    from intermodal.plugins import Reclaimer
    from intermodal_hyaline._scheme import Hyaline

    return Reclaimer(Hyaline())


@hookimpl
def intermodal_reclaimer() -> ReclaimerBackend:
    return ReclaimerBackend(
        name="hyaline",
        summary="when the last section leaves: one that never ends holds back only what is older than itself",
        protects=True,
        robust=True,
        open=_open,
    )
