"""What all views of one chained map share: the current table, and when it is replaced by one of what size.

With a fixed number of buckets it never is, but by ``clear()``: where nodes run out, the table gets more.

May import only core's public names and ``_table``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, final

from mypy_extensions import i64

from intermodal.tables import NEVER, SharedState, Table, larger
from intermodal_chained._table import MAXIMUM_NODES, ChainedTable

#: Buckets of an empty map.
MINIMUM_BUCKETS: Final = 32
#: Buckets of a map that is not to be resized, if nobody says how many.
FIXED_BUCKETS: Final = 524_288
#: Nodes that such a map begins with.
FIRST_NODES: Final = 1024
# Load factor: grow above 3/4. The chains stay short beyond, but the search for a free node gets longer with
# the square of what is missing.
GROW_NUMERATOR: Final = 3
GROW_DENOMINATOR: Final = 4


def buckets_for(capacity: int) -> int:
    """Return the size that holds *capacity* entries without growing."""
    buckets: i64 = MINIMUM_BUCKETS
    while buckets * GROW_NUMERATOR < capacity * GROW_DENOMINATOR:
        buckets = larger(buckets)
        if buckets > MAXIMUM_NODES:
            raise ValueError(f"a map cannot have the capacity {capacity}: that takes too many nodes")
    return buckets


@final
class ChainedState(SharedState):
    """The state of a map that starts with *minimum* buckets and never shrinks below.

    Args:
        minimum: number of buckets.
        fixed: it has that many for ever.
    """

    def __init__(self, minimum: int, fixed: bool = False) -> None:
        self.fixed: Final = fixed
        super().__init__(minimum)

    def new_table(self, homes: i64) -> Table:
        nodes: i64 = homes
        if self.fixed and nodes > FIRST_NODES:
            nodes = FIRST_NODES
        if nodes > MAXIMUM_NODES:
            raise MemoryError(f"a map cannot have more than {MAXIMUM_NODES} nodes in one piece")
        return ChainedTable(homes, nodes)

    def grow_above(self, table: Table) -> i64:
        return table.capacity() * GROW_NUMERATOR // GROW_DENOMINATOR

    def shrink_below(self, table: Table) -> i64:
        return NEVER if self.fixed else super().shrink_below(table)

    def most_entries(self, table: Table) -> i64:
        # Searches for a free node, which go on while nodes are claimed and left, always have some to find.
        return table.capacity() * 7 // 8

    def enlarge(self, table: Table) -> None:
        if not self.fixed:
            super().enlarge(table)
            return
        with suppress(MemoryError):  # it is not urgent: a later insertion tries again
            self.make_room(table)

    def make_room(self, table: Table) -> None:
        if not self.fixed:
            super().make_room(table)
            return
        assert isinstance(table, ChainedTable)
        table.add_nodes()
        self.note_size(table)
