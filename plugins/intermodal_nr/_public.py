"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal_nr.map import NrView, new_group
from intermodal_nr.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Mapping


class NrMap(NrView):
    __doc__ = NrView.__doc__

    @classmethod
    def with_options(cls, options: Mapping[str, Any]) -> NrMap:
        """Return an empty map with these options of ``open_map``."""
        placement = Placement.named("numa")
        return cls(
            new_group(
                options["replicas"] or placement.default_replicas(),
                options["log_entries"],
                options["batch"],
                options["evict_after"],
                placement=placement,
            )
        )


# Pickles and messages name it as users do.
NrMap.__module__ = "intermodal_nr"
