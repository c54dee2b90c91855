"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from intermodal_locked._map import LockedMapBase


class LockedMap(LockedMapBase):
    __doc__ = LockedMapBase.__doc__


# Pickles and messages name it as users do.
LockedMap.__module__ = "intermodal_locked"
