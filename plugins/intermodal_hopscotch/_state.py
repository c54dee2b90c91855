"""What all views of one hopscotch map share: the current table, and when it is replaced by one of what size.

May import only core's public names and ``_table``.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.tables import SharedState, Table, larger
from intermodal_hopscotch._table import MAXIMUM_HOMES, HopscotchTable

#: Homes of an empty map: with the end of its last neighbourhood it has 63 slots.
MINIMUM_HOMES: Final = 32
# Load factor: grow above 3/4. Displacements would go on beyond 9/10, but the search for a free slot gets
# longer with the square of what is missing.
GROW_NUMERATOR: Final = 3
GROW_DENOMINATOR: Final = 4


def homes_for(capacity: int) -> int:
    """Return the size that holds *capacity* entries without growing."""
    homes: i64 = MINIMUM_HOMES
    while homes * GROW_NUMERATOR < capacity * GROW_DENOMINATOR:
        homes = larger(homes)
        if homes > MAXIMUM_HOMES:
            raise ValueError(f"a map cannot have the capacity {capacity}: that takes too many slots")
    return homes


@final
class HopscotchState(SharedState):
    """The state of a map that starts with *minimum* homes and never shrinks below."""

    def new_table(self, homes: i64) -> Table:
        if homes > MAXIMUM_HOMES:
            raise MemoryError(f"a map cannot have more than {MAXIMUM_HOMES} homes")
        return HopscotchTable(homes)

    def grow_above(self, table: Table) -> i64:
        return table.homes * GROW_NUMERATOR // GROW_DENOMINATOR

    def most_entries(self, table: Table) -> i64:
        # Searches for a free slot, which go on while slots are claimed and left, always have some to find.
        return table.capacity() * 7 // 8
