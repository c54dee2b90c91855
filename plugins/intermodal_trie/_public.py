"""The classes that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from intermodal import ABSENT
from intermodal_trie._map import FrozenTrie, TrieView, snapshot_makers


class TrieMap(TrieView):
    __doc__ = TrieView.__doc__


class TrieSnapshot(Mapping[Any, Any]):
    """The entries that a trie had at one moment; read-only, for any number of threads.

    Made by ``TrieMap.snapshot``. ``len`` counts the entries once, in O(n) or what has changed since another
    snapshot was counted; all else is as in the map.
    """

    __slots__ = ("__weakref__", "_trie")

    def __init__(self, trie: FrozenTrie) -> None:
        self._trie = trie

    def __getitem__(self, key: Any) -> Any:
        value = self._trie.get(key, ABSENT)
        if value is ABSENT:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of *key*, or *default* if there is none."""
        return self._trie.get(key, default)

    def __contains__(self, key: object) -> bool:
        return self._trie.get(key, ABSENT) is not ABSENT

    def __iter__(self) -> Iterator[Any]:
        for key, _ in self._trie.entries():
            yield key

    def __len__(self) -> int:
        return self._trie.count()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self._trie.entries())!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (list(self._trie.entries()),)


snapshot_makers.append(TrieSnapshot)

# Pickles and messages name them as users do.
TrieMap.__module__ = "intermodal_trie"
TrieSnapshot.__module__ = "intermodal_trie"
