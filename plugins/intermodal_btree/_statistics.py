"""What a B+ tree says about itself."""

from __future__ import annotations

import attrs

from intermodal.statistics import MapStatistics


@attrs.frozen(kw_only=True)
class BTreeStatistics(MapStatistics):
    """One moment's figures of a B+ tree.

    Attributes:
        depth: levels of nodes, 1 if the root is a leaf.
        memory_bytes: size of all nodes, in use or kept for later, keys and values not counted.
    """

    depth: int
    memory_bytes: int
