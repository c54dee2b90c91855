"""The ``epoch`` reclaimer: the cheapest sections; one that never ends stops all freeing.

Imports nothing of the technique: whoever lists the reclaimers imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import ReclaimerBackend, hookimpl

if TYPE_CHECKING:
    from intermodal.plugins import Reclaimer


def _open() -> Reclaimer:
    from intermodal.plugins import Reclaimer
    from intermodal_epoch._scheme import Epochs

    return Reclaimer(Epochs())


@hookimpl
def intermodal_reclaimer() -> ReclaimerBackend:
    return ReclaimerBackend(
        name="epoch",
        summary="two epochs later: the cheapest sections; one that never ends stops all freeing",
        protects=True,
        robust=False,
        open=_open,
    )
