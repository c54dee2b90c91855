"""The hooks that a plugin of intermodal implements, as pluggy knows them.

Interpreted: pluggy reads the functions' code objects. Hooks describe; none is called per operation of a map.
May import only the records that hooks return, and these for type checkers only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from intermodal.capabilities import MapBackend, ReclaimerBackend
    from intermodal.replication import EngineBackend, LogBackend

#: The name that pluggy knows the project by.
PROJECT: Final = "intermodal"

#: Marks the specification of a hook.
hookspec: Final = pluggy.HookspecMarker(PROJECT)

#: Marks a plugin's implementation of a hook.
hookimpl: Final = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def intermodal_map_backend() -> MapBackend:  # type: ignore[empty-body]
    """Return the description of the backend that the entry point of this plugin stands for.

    Called once, when the backend is first asked for by name or listed. It should import no more than
    ``intermodal.plugins``; the engine belongs into ``MapBackend.open``.
    """


@hookspec(firstresult=True)
def intermodal_reclaimer() -> ReclaimerBackend:  # type: ignore[empty-body]
    """Return the description of the reclaimer that the entry point of this plugin stands for.

    Called once, when the reclaimer is first asked for by name or listed.
    """


@hookspec(firstresult=True)
def intermodal_engine() -> EngineBackend:  # type: ignore[empty-body]
    """Return the description of what replicates structures, for which the plugin's entry point stands."""


@hookspec(firstresult=True)
def intermodal_log() -> LogBackend:  # type: ignore[empty-body]
    """Return the description of the kind of log that the entry point of this plugin stands for."""
