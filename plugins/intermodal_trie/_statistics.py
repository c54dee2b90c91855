"""What a trie says about itself."""

from __future__ import annotations

import attrs

from intermodal.statistics import MapStatistics


@attrs.frozen(kw_only=True)
class TrieStatistics(MapStatistics):
    """One moment's figures of a trie.

    Attributes:
        generation: one more than the snapshots that had to be taken, by ``len`` and iteration too.
    """

    generation: int
