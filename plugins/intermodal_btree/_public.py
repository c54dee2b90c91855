"""The class that users get; interpreted, since a compiled class cannot be weakly referenced."""

from __future__ import annotations

from intermodal_btree._map import BTreeView


class BTreeMap(BTreeView):
    __doc__ = BTreeView.__doc__


# Pickles and messages name it as users do.
BTreeMap.__module__ = "intermodal_btree"
