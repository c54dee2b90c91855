"""What a Swiss map says about itself."""

from __future__ import annotations

import attrs

from intermodal.statistics import MapStatistics, ReclamationStatistics


@attrs.frozen(kw_only=True)
class SwissStatistics(MapStatistics):
    """One moment's figures of a Swiss map.

    Attributes:
        capacity: slots of the current table.
        resizing: whether entries are being moved to another table.
        resizes: how often that has been done.
        memory_bytes: size of the current table and, while resizing, of the next one, as far as touched; keys
            and values are not counted.
        reclamation: what the map's reclaimer says; None if references are counted.
    """

    capacity: int
    resizing: bool
    resizes: int
    memory_bytes: int
    reclamation: ReclamationStatistics | None
