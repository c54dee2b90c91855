"""The way down with a record of it, for what may have to ask keys: user code, under no lock.

The argument is that of ``_tree``. May import only core's public names, ``_node`` and ``_tree``.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import ACQUIRE, RELAXED, load, object_load
from intermodal_btree._node import (
    ASK,
    CHANGED,
    CHILDREN,
    DEAD,
    EMPTY,
    INNER,
    META,
    count_of,
    find,
    is_unchanged,
    least_of,
    number_at,
    prefetch_node,
    rank,
    slot_of,
)
from intermodal_btree._tree import MOST, ROOT, TOP

# Where a descent ends: at the leaf, or before it at an inner node that is full.
AT_LEAF: Final = 0
AT_FULL: Final = 1

# ---- asking keys: user code, under no lock ----------------------------------------------------------------


def not_ordered(key: object, stored: object) -> TypeError:
    """Return what is raised for a key that has no place."""
    return TypeError(
        f"{key!r} cannot be ordered: it is neither less than, greater than, nor equal to {stored!r}; "
        "the keys of a btree map must have a total order"
    )


def check_ordered(key: Any) -> None:
    """Raise TypeError if *key* cannot even be compared with itself: nothing could ever join it."""
    if key < key or (isinstance(key, float) and key != key):  # noqa: PLR0124  (NaN)
        raise not_ordered(key, key)


def rank_asking(node: i64, meta: i64, key: Any, kind: i64, word: i64, inclusive: bool) -> i64:
    """Do what ``_node.rank`` does, letting the keys compare themselves: a number, or CHANGED.

    User code runs here: it may raise, block, or change this very map. The node is looked at again before each
    comparison, so that only keys of the node are compared, and by the caller at the end.
    """
    position = rank(node, meta, key, kind, word, inclusive)
    if position != ASK:
        return position
    position = least_of(meta)
    last = count_of(meta)
    while position < last:
        middle = (position + last) >> 1
        stored: Any = object_load(slot_of(node, number_at(node, meta, middle)), EMPTY)
        if stored is EMPTY or not is_unchanged(node, meta):
            return CHANGED
        below = not key < stored if inclusive else stored < key
        if below:
            position = middle + 1
        else:
            last = middle
    return position


def find_asking(leaf: i64, meta: i64, key: Any, kind: i64, word: i64) -> i64:
    """Do what ``_node.find`` does, letting the keys compare themselves: never ASK."""
    found = find(leaf, meta, key, kind, word)
    if found != ASK:
        return found
    position = rank_asking(leaf, meta, key, kind, word, False)
    if position < 0 or position == count_of(meta):
        return position << 1 if position >= 0 else CHANGED
    stored: Any = object_load(slot_of(leaf, number_at(leaf, meta, position)), EMPTY)
    if stored is EMPTY or not is_unchanged(leaf, meta):
        return CHANGED
    if stored is key:
        return (position << 1) | 1
    if key < stored:
        return position << 1
    if not stored == key:
        raise not_ordered(key, stored)
    return (position << 1) | 1


# ---- descending with a record -----------------------------------------------------------------------------


@final
class Path:
    """Where a descent has come to: the node, and two levels above it. For one operation of one thread."""

    def __init__(self) -> None:
        self.node: i64 = 0
        self.meta: i64 = 0
        #: Its parent, 0 if it is the root, and the place in there; of the root, TOP is the meta word.
        self.parent: i64 = 0
        self.parent_meta: i64 = 0
        self.position: i64 = 0
        #: The parent's parent, in the same way.
        self.upper: i64 = 0
        self.upper_meta: i64 = 0
        self.upper_position: i64 = 0
        #: All nodes from the root on.
        self.trail: Final[list[int]] = []

    def down(self, child: i64, child_meta: i64, position: i64) -> None:
        """Go on to a child."""
        self.upper, self.upper_meta, self.upper_position = self.parent, self.parent_meta, self.position
        self.parent, self.parent_meta, self.position = self.node, self.meta, position
        self.node, self.meta = child, child_meta
        self.trail.append(int(child))

    def up(self) -> None:
        """Go back by one level; the level above that is lost."""
        self.node, self.meta = self.parent, self.parent_meta
        self.parent, self.parent_meta, self.position = self.upper, self.upper_meta, self.upper_position
        self.upper = 0


def start(shared: i64, path: Path) -> None:
    """Let *path* be at the root."""
    while True:
        path.parent = 0
        path.parent_meta = load(shared + TOP, ACQUIRE)
        path.position = 0
        node = load(shared + ROOT, ACQUIRE)
        path.node = node
        path.meta = load(node + META, ACQUIRE)
        if load(shared + ROOT, RELAXED) == node and path.meta & DEAD == 0:
            path.trail.clear()
            path.trail.append(int(node))
            return


def step_down(path: Path, position: i64) -> bool:
    """Go on to the child at *position*; False if the node has changed."""
    node, meta = path.node, path.meta
    child = load(node + CHILDREN + (number_at(node, meta, position) << 3), ACQUIRE)
    if child == 0:
        return False
    prefetch_node(child)
    child_meta = load(child + META, ACQUIRE)
    if not is_unchanged(node, meta) or child_meta & DEAD:
        return False
    path.down(child, child_meta, position)
    return True


def find_child(path: Path, parent: i64, node: i64) -> bool:
    """Let *path* be at *node*, a child of *parent*; False if it is none any more."""
    meta = load(parent + META, ACQUIRE)
    count = count_of(meta)
    position: i64 = 0
    if meta & (INNER | DEAD) != INNER:
        return False
    while position < count:
        if load(parent + CHILDREN + (number_at(parent, meta, position) << 3), ACQUIRE) == node:
            path.node, path.meta = node, load(node + META, ACQUIRE)
            path.parent, path.parent_meta, path.position = parent, meta, position
            return is_unchanged(parent, meta) and path.meta & DEAD == 0
        position += 1
    return False


def approach(shared: i64, path: Path, key: object, kind: i64, word: i64, until: i64) -> None:
    """Let *path* be at the leaf of *key*, or earlier, as *until* says. User code may run."""
    most = load(shared + MOST, RELAXED)
    while True:
        start(shared, path)
        while True:
            meta = path.meta
            if meta & INNER == 0:
                return
            if until == AT_FULL and count_of(meta) >= most:
                return
            position = rank_asking(path.node, meta, key, kind, word, True)
            if position < 0 or not step_down(path, position - 1):
                break
