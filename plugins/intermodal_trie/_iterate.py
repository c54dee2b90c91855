"""Iteration over a node and all that is below it. May import only core's public names and this package."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import RELAXED, cell_address, cell_of, load, object_load, reachability_fence
from intermodal_trie._nodes import BITMAP, ENTRIES, ENTRY, LEAVES, VALUE, count_of, list_flag
from intermodal_trie._read import main_of
from intermodal_trie._state import TrieState


@final
class EntryIterator:
    """Iterates over (key, value) pairs. For one thread; each thread makes its own.

    Args:
        state: of the map.
        first: a frozen node, whose entries of that moment it yields; or a live one, with no such promise.
    """

    def __init__(self, state: TrieState, first: object) -> None:
        self._state: Final = state
        self._nodes: list[object] = [first]
        self._entries: list[object] = []
        self._next: i64 = 0

    def __iter__(self) -> EntryIterator:
        return self

    def __next__(self) -> object:
        while self._next >= len(self._entries):
            if not self._nodes:
                raise StopIteration
            self._entries = []
            self._next = 0
            self._open(self._nodes.pop())
        at = self._next
        self._next = at + 2
        return self._entries[at], self._entries[at + 1]

    def _open(self, node: object) -> None:
        """Take the entries of *node*; its branches' nodes come later."""
        at = cell_address(node)
        count, leaves, rest = (
            count_of(at),
            load(at + LEAVES, RELAXED),
            load(at + BITMAP, RELAXED),
        )
        is_list = list_flag(at) != 0
        slot = at + ENTRIES
        while count > 0:
            if is_list or leaves & (rest & -rest):
                self._entries.append(object_load(slot, None))
                self._entries.append(object_load(slot + VALUE, None))
            else:
                self._nodes.append(main_of(self._state.root, cell_of(slot)))
            rest &= rest - 1
            slot += ENTRY
            count -= 1
        reachability_fence(node)
