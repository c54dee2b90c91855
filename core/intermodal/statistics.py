"""What maps and reclaimers say about themselves: frozen records, one moment's figures.

What only one technique can say is in a subclass, in its plugin. May import nothing of intermodal.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class MapStatistics:
    """The part that every map has; backends add fields in subclasses.

    Attributes:
        entries: number of entries, with the meaning that ``len`` has for the backend.
    """

    entries: int


@attrs.frozen(kw_only=True)
class ReclamationStatistics:
    """What a reclaimer holds, and who holds it up.

    Attributes:
        scheme: the name of the scheme.
        retired: number of objects retired so far.
        freed: number of those that have been freed.
        pending: the difference: what waits.
        threads: number of threads that take part.
        pinned: how many of them are in a section.
        oldest_pin: how many eras ago the oldest of these sections began; None if there is none.
        oldest_thread: the name of its thread.
    """

    scheme: str
    retired: int
    freed: int
    pending: int
    threads: int
    pinned: int
    oldest_pin: int | None
    oldest_thread: str | None


@attrs.frozen(kw_only=True)
class TableStatistics(MapStatistics):
    """One moment's figures of a map whose entries lie in a table (:mod:`intermodal.tables`).

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
