"""What a map says about itself: frozen records, one moment's figures."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class MapStatistics:
    """The part that every map has; backends add fields in subclasses.

    Attributes:
        entries: number of entries, with the meaning that ``len`` has for the backend.
    """

    entries: int
