"""What an evmap says about itself."""

from __future__ import annotations

import attrs

from intermodal.statistics import MapStatistics


@attrs.frozen(kw_only=True)
class EvMapStatistics(MapStatistics):
    """One moment's figures of an evmap.

    Attributes:
        values: published values, of all keys.
        pending: writes that have not been published.
        publications: how often writes were published.
        copies: how often the second copy was made anew: a reader was in the way, or the log had become longer
            than the map.
        guards: snapshots and read guards that are open.
        capacity: slots of the published copy.
        memory_bytes: size of both copies, as far as touched; keys and values are not counted.
    """

    values: int
    pending: int
    publications: int
    copies: int
    guards: int
    capacity: int
    memory_bytes: int
