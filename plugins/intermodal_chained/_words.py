"""The chained table for 64-bit words: buckets of one word, and nodes with a key, a value and a link.

It is the growing table of ``_table`` without what objects need: no hashes beside the keys, no slots apart
from the nodes, no segments. There are two nodes for each bucket, its *home*; an entry costs 28 bytes by the
load, 20 in a map without values::

    bucket   bit 0   LOCKED     1   MOVED     3 to 33   the first node, or 0     34 to 63   the version
    node     key; value, if the map has values; link: EMPTY, BUSY, or OCCUPIED and the next node, or 0

A node is known by its distance from the control words in bytes: a multiple of 8, so the low bits are left
for the marks. Any key is allowed, since it is the link that says whether a node is used.

The lock of a home guards its chain and the values in it. A node is claimed by a compare-and-exchange of its
link from EMPTY to BUSY by whoever holds the lock of the home that wants it, and is that home's until the link
is EMPTY again. What changes the chain of a bucket changes the version in its word: an insertion together with
the first node, a removal when the node is out of the chain and before it is free.

Moving
======
Several homes move into one home of the next table, by different threads, while others already write there.
So ``move`` locks the homes that its entries go to, as ``_table`` does, and waits for none of them: what is
not free is left for later. To change the first node there by a compare-and-exchange, without a lock, would
not do: whoever holds the lock stores the word that he took it at, changed, and so would lose that node; the
mover would have to wait for him, who may be suspended, with a lock of its own. So there is no ``put``.

May import only core's public names and ``_table``.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQ_REL,
    ACQUIRE,
    RELAXED,
    RELEASE,
    compare_exchange,
    fast_range,
    fetch_add,
    load,
    mix,
    prefetch,
    store,
    try_lock,
    unlock,
)
from intermodal.memory import Block
from intermodal.tables import (
    CHANGED,
    CONTROL_WORDS,
    DISCARD,
    LOCKED,
    MODE,
    MOVED,
    MOVED_HOMES,
    NOT_FOUND,
    Table,
    count_of,
    larger,
    release_lock,
    same,
    take_lock,
)
from intermodal.words import KEYS_ONLY, WordState, WordTable
from intermodal_chained._table import BUCKET_BYTES, BUSY, EMPTY

#: Homes of an empty map.
MINIMUM_HOMES: Final = 8
#: What the distance of a node has bits for.
MAXIMUM_HOMES: Final = 1 << 28
NODES_PER_HOME: Final = 2

#: Of a bucket's word, the first node; of a node's link, the next.
NODE: Final = (1 << 34) - 8
VERSION_STEP: Final = 1 << 34
#: Of a node's link, beside EMPTY and BUSY.
OCCUPIED: Final = 2

# Load factor: the search for a free node gets longer with the square of what is missing.
GROW_NUMERATOR: Final = 4
GROW_DENOMINATOR: Final = 5


# ---- one table, by the address of its control words --------------------------------------------------------


def nodes_of(control: i64, homes: i64) -> i64:
    """Return the address of the nodes, which begin with a cache line."""
    return control + CONTROL_WORDS * 8 + ((homes * BUCKET_BYTES + 63) & ~63)


def with_first(word: i64, node: i64) -> i64:
    """Return the next version of a bucket's *word*, with another first node."""
    return ((word & ~NODE) | node) + VERSION_STEP


def claim(control: i64, homes: i64, node_bytes: i64, h: i64) -> i64:
    """Claim the first free node from where *h* belongs on: its address, or 0 if there is none."""
    first = nodes_of(control, homes)
    end = first + homes * NODES_PER_HOME * node_bytes
    begun = first + fast_range(h, homes * NODES_PER_HOME) * node_bytes
    slot = begun
    while True:
        link = slot + node_bytes - 8
        # Looked at first: a compare-and-exchange takes the line away from others even if it fails. ACQ_REL:
        # acquired is the version that was stored before the node was left; it is handed on to whoever still
        # comes here from the chain that had the node, and finds it BUSY.
        if load(link, RELAXED) == EMPTY and compare_exchange(link, EMPTY, BUSY, ACQ_REL):
            return slot
        slot += node_bytes
        if slot == end:
            slot = first
        if slot == begun:
            return 0


def enter(control: i64, homes: i64, node_bytes: i64, h: i64, key: i64, value: i64, word: i64) -> i64:
    """Fill a node for *key*, to be the first of its home, locked at *word*; return the new word, or 0.

    A search finds it as soon as the word is stored, RELEASE: whoever loads that sees all of the node. RELEASE
    here is for whoever is still at the node from when it was in another chain, or earlier in this one: with
    any of these words he has the version that its removal stored, and finds it when he looks again.
    """
    slot = claim(control, homes, node_bytes, h)
    if slot == 0:
        return 0
    store(slot, key, RELEASE)
    # Where there are no values, its address is the key's, and so is the value.
    store(slot + node_bytes - 16, value, RELEASE)
    store(slot + node_bytes - 8, (word & NODE) | OCCUPIED, RELEASE)
    return with_first(word, slot - control)


def copy_chain(control: i64, node_bytes: i64, word: i64, following: i64, homes: i64) -> bool:
    """Copy the chain of the bucket with *word*, which is locked, into the table at *following*.

    False, and nothing is done, if a home there that gets an entry, or one between two such, is not free.
    """
    first: i64 = homes
    last: i64 = -1
    node = word & NODE
    while node != 0:
        target = fast_range(mix(load(control + node, RELAXED)), homes)
        if target < first:  # noqa: PLR1730  (min() and max() would box)
            first = target
        if target > last:  # noqa: PLR1730  (min() and max() would box)
            last = target
        node = load(control + node + node_bytes - 8, RELAXED) & NODE
    buckets = following + CONTROL_WORDS * 8
    locked = first
    while locked <= last and take_lock(buckets + locked * BUCKET_BYTES):
        locked += 1
    copies = locked > last
    node = word & NODE
    while copies and node != 0:
        copy_node(control + node, node_bytes, following, homes)
        node = load(control + node + node_bytes - 8, RELAXED) & NODE
    while locked > first:
        locked -= 1
        release_lock(buckets + locked * BUCKET_BYTES)
    return copies


def copy_node(slot: i64, node_bytes: i64, following: i64, homes: i64) -> None:
    """Put a copy of the node at *slot* into its chain in the table at *following*, which is locked."""
    key = load(slot, RELAXED)
    value = load(slot + node_bytes - 16, RELAXED)
    h = mix(key)
    lock = following + CONTROL_WORDS * 8 + fast_range(h, homes) * BUCKET_BYTES
    word = load(lock, RELAXED)
    entered = enter(following, homes, node_bytes, h, key, value, word)
    while entered == 0:
        # The next table keeps a node for every entry that has to move. Only removals behind the search and
        # insertions in front of it can hide all free nodes from it, every time.
        entered = enter(following, homes, node_bytes, h, key, value, word)
    # RELEASE: readers do not mind LOCKED, so this already tells them where the chain begins.
    store(lock, entered, RELEASE)


def chain_length(control: i64, node_bytes: i64, word: i64) -> i64:
    """Return the number of entries of the home with *word*, which is locked."""
    length: i64 = 0
    node = word & NODE
    while node != 0:
        length += 1
        node = load(control + node + node_bytes - 8, RELAXED) & NODE
    return length


# ---- the table --------------------------------------------------------------------------------------------


@final
class ChainedWords(WordTable):
    """The memory of one table with that many *homes*."""

    def __init__(self, homes: int, kind: int, block: Block | None = None) -> None:
        node_words = 2 if kind == KEYS_ONLY else 3
        bucket_words = (homes + 7) // 8 * 8
        words = bucket_words + homes * NODES_PER_HOME * node_words
        super().__init__(homes, words, NODES_PER_HOME, kind, block=block)
        self.buckets: Final[i64] = self.control + CONTROL_WORDS * 8
        self.nodes: Final[i64] = nodes_of(self.control, self.homes)
        self.node_bytes: Final[i64] = node_words * 8
        #: From a node's address to its link's.
        self.link_at: Final[i64] = self.node_bytes - 8

    def twin(self) -> WordTable:
        return ChainedWords(int(self.homes), int(self.kind), self.block)

    def lock_of_home(self, home: i64) -> i64:
        return self.buckets + home * BUCKET_BYTES

    def lock_of(self, h: i64) -> i64:
        return self.buckets + fast_range(h, self.homes) * BUCKET_BYTES

    def capacity(self) -> i64:
        return self.homes * NODES_PER_HOME

    def ask(self, h: i64) -> None:
        prefetch(self.buckets + fast_range(h, self.homes) * BUCKET_BYTES)
        # Most nodes of a chain lie here or a little behind.
        slot = self.nodes + fast_range(h, self.homes * NODES_PER_HOME) * self.node_bytes
        prefetch(slot)
        prefetch(slot + 64)

    def find(self, h: i64, key: i64) -> i64:
        lock = self.buckets + fast_range(h, self.homes) * BUCKET_BYTES
        # The caller's word, or the caller's second look finds another: versions do not come back.
        word = load(lock, ACQUIRE)
        node = word & NODE
        while node != 0:
            slot = self.control + node
            if load(slot, ACQUIRE) == key:
                return slot
            # A node that has left the chain since, and is in another, leads to that one's end and from there
            # perhaps on and on. Whoever took it out had changed the word, and the link brings that along: so
            # to look at the word, which is near, tells more for less than to find out of which home a key is.
            node = load(slot + self.link_at, ACQUIRE) & NODE
            if not same(load(lock, ACQUIRE), word):
                return CHANGED
        return NOT_FOUND

    def place(self, h: i64, key: i64, value: i64, word: i64) -> i64:
        return enter(self.control, self.homes, self.node_bytes, h, key, value, word)

    def take_out(self, h: i64, slot: i64, word: i64) -> i64:
        # First out of the chain, then a new version, one store if the chain begins here; then free. A reader
        # with the old word finds another one, whatever becomes of the node. One with the new word, which it
        # uses while it is LOCKED too, must not get to the node: this home would change no more when another
        # one fills it. So the new version must not come first. The word and EMPTY are RELEASE for that order;
        # the word also because readers go on from it to nodes that other threads have filled. The link before
        # may be RELAXED: whoever is in this chain has all nodes of it from the word that it began with.
        lock = self.buckets + fast_range(h, self.homes) * BUCKET_BYTES
        link = slot + self.link_at
        following = load(link, RELAXED) & NODE
        before = self.control + (word & NODE)
        if before == slot:
            word = with_first(word, following)
        else:
            word += VERSION_STEP
            leads_to = self.control + (load(before + self.link_at, RELAXED) & NODE)
            while leads_to != slot:
                before = leads_to
                leads_to = self.control + (load(before + self.link_at, RELAXED) & NODE)
            store(before + self.link_at, following | OCCUPIED, RELAXED)
        store(lock, word | LOCKED, RELEASE)
        store(link, EMPTY, RELEASE)
        return word

    def next_of(self, home: i64, after: i64) -> i64:
        at = after + self.link_at
        if after == NOT_FOUND:
            at = self.buckets + home * BUCKET_BYTES
        node = load(at, ACQUIRE) & NODE
        if node == 0:
            return NOT_FOUND
        slot = self.control + node
        # One of another home: the chain has changed, and from here it goes anywhere.
        if fast_range(mix(load(slot, ACQUIRE)), self.homes) != home:
            return NOT_FOUND
        return slot

    def move(self, following: WordTable, home: i64, word: i64, shared: i64) -> bool:
        # Every moment is right for readers and writers, as in words.move_words. Here the copies are locked in
        # while they are made: a writer of another key of that home waits, and searches again.
        lock = self.buckets + home * BUCKET_BYTES
        if not try_lock(lock, word):
            return False
        discarded: i64 = 0
        if load(self.control + MODE, RELAXED) == DISCARD:
            discarded = chain_length(self.control, self.node_bytes, word)
        elif not copy_chain(self.control, self.node_bytes, word, following.control, following.homes):
            unlock(lock, word)
            return False
        # MOVED before it is counted: who counts the last home makes the next table the current one. The first
        # node stays in the word: nobody looks there, and check() finds whose the nodes are.
        store(lock, word | MOVED | LOCKED, RELEASE)
        fetch_add(count_of(shared, home), -discarded, RELAXED)
        fetch_add(self.control + MOVED_HOMES, 1, RELEASE)
        unlock(lock, word | MOVED)
        return True

    def check(self, discards: bool) -> i64:
        entries = super().check(discards)
        check_nodes(self)
        return entries


def check_nodes(table: ChainedWords) -> None:
    """Raise AssertionError unless each node is in one chain, or free."""
    linked: set[int] = set()
    home: i64 = 0
    while home < table.homes:
        node = load(table.lock_of_home(home), RELAXED) & NODE
        while node != 0:
            assert int(node) not in linked, (
                f"node {node:#x} is in two chains, one of them that of home {home}"
            )
            linked.add(int(node))
            node = load(table.control + node + table.link_at, RELAXED) & NODE
        home += 1
    slot = table.nodes
    while slot < table.nodes + table.capacity() * table.node_bytes:
        link = load(slot + table.link_at, RELAXED)
        node = slot - table.control
        assert link == EMPTY or link & OCCUPIED, f"node {node:#x} is busy"
        assert (link != EMPTY) == (int(node) in linked), f"node {node:#x}, link {link:#x}, is in no chain"
        slot += table.node_bytes


# ---- the state --------------------------------------------------------------------------------------------


def homes_with_room(capacity: int) -> int:
    """Return the size that holds *capacity* entries without growing."""
    homes: i64 = MINIMUM_HOMES
    while homes * NODES_PER_HOME * GROW_NUMERATOR // GROW_DENOMINATOR < capacity:
        homes = larger(homes)
        if homes > MAXIMUM_HOMES:
            raise ValueError(f"a map cannot have the capacity {capacity}: that takes too many nodes")
    return homes


@final
class ChainedWordState(WordState):
    """The state of a typed map that starts with *minimum* homes and never shrinks below."""

    def new_table(self, homes: i64) -> Table:
        if homes > MAXIMUM_HOMES:
            raise MemoryError(f"a map cannot have more than {NODES_PER_HOME * MAXIMUM_HOMES} nodes")
        return ChainedWords(int(homes), int(self.kind))

    def grow_above(self, table: Table) -> i64:
        return table.capacity() * GROW_NUMERATOR // GROW_DENOMINATOR

    def most_entries(self, table: Table) -> i64:
        # Searches for a free node, which go on while nodes are claimed and left, always have some to find.
        return table.capacity() * 7 // 8

    def homes_holding(self, entries: i64) -> i64:
        # Eight elevenths full: room for a tenth more before it grows again.
        return entries * 11 // (8 * NODES_PER_HOME) + 1

    def empty(self) -> WordState:
        return ChainedWordState(MINIMUM_HOMES, int(self.kind))
