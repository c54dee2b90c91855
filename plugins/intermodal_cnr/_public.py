"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intermodal_cnr._map import CnrView, new_lanes
from intermodal_nr.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Mapping


class CnrMap(CnrView):
    __doc__ = CnrView.__doc__

    @classmethod
    def with_options(cls, options: Mapping[str, Any]) -> CnrMap:
        """Return an empty map with these options of ``open_map``."""
        return cls(
            new_lanes(
                options["logs"],
                options["replicas"] or Placement.named("numa").default_replicas(),
                options["log_entries"],
                options["batch"],
                False,
                options["mapper"],
            )
        )


# Pickles and messages name it as users do.
CnrMap.__module__ = "intermodal_cnr"
