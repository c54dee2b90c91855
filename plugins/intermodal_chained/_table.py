"""The table of a chained map: its memory, and the operations on one key.

The idea
========
A key's hash chooses its *home*, one of the *buckets*, and the bucket has a *chain*: the first of its nodes,
which knows the next, and so on. A node has the whole hash of its key, so a search touches the one key that is
meant, and a resize touches no key at all.

Nodes are no objects but places in an array, as many as there are buckets; an entry of a home takes the free
node nearest to the one of the same number. So a look-up knows where the node will be before it has read the
bucket, and asks for both at once; and there is no list of free nodes for threads to fight over::

    buckets    0: node 0      1: node 1      2: none        3: none
    nodes      0: hash of A   1: hash of C   2: hash of B   3: 0, free
               next: node 2   next: none     next: none
    slots      A, its value   C, its value   B, its value   -              A and B have home 0, C has home 1

A table whose number of buckets is fixed gets more *segments* of nodes when it needs them; a node is known by
the number of its segment and its place in that.

A bucket has one word for everything::

    bit 0   LOCKED     1   MOVED     2 to 35   the first node, or 0     36 to 63   the version

Who owns what
=============
The lock of a home guards its chain: the set of its keys and their values. The first word of a node is EMPTY,
BUSY, or the hash of the entry with its top bit set. Whoever holds the lock of a home that wants a node claims
one with a compare-and-exchange, from EMPTY to BUSY; it is that home's until the word is EMPTY again. Reading
takes no lock; see :mod:`intermodal.tables`. What a reader follows may be taken out of the chain, and be used
in another, at any moment; so it looks, at each node, whether that is of its home.

Replacing a value is one exchange in the node's slot. So there is no moment at which a key that is there
throughout has no value: chains whose nodes are replaced as a whole, the old one marked first, have that
fault.

A resize cannot lose a write either: whether a bucket has moved is a bit of the word that every write's
compare-and-exchange expects, so no fence between the two is needed that could be forgotten.

Functions take the address of the table's control words; whoever calls them keeps the table alive.

Sources: the kovan crate's HashMap; Harris and Michael (lists whose nodes are marked); coalesced hashing
(Williams, Vitter), for nodes near their bucket; sequence locks (Lameter, Boehm); fast range reduction
(Lemire). May import only core's public names.
"""

from __future__ import annotations

from typing import Any, Final, cast, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQ_REL,
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    compare_exchange,
    fast_range,
    fetch_add,
    key_equals,
    load,
    object_copy,
    object_exchange,
    object_forget,
    object_is,
    object_load,
    object_store,
    object_take,
    prefetch,
    reachability_fence,
    store,
    try_lock,
    unlock,
)
from intermodal.memory import Block
from intermodal.tables import (
    ASK_KEYS,
    CHANGED,
    CONTROL_WORDS,
    DISCARD,
    DONE_INSERTED,
    DONE_REMOVED,
    DONE_REPLACED,
    HOMES,
    IDLE,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    LOCKED,
    MODE,
    MOVED,
    MOVED_HOMES,
    NOT_FOUND,
    PHASE_MASK,
    REFUSED,
    REMOVE,
    RETRY,
    RETRY_READ,
    SLOT_BYTES,
    VALUE,
    Table,
    count_of,
    release_lock,
    same,
    take_lock,
)

# ---- layout -----------------------------------------------------------------------------------------------

# The technique's control words: number of segments, a lock for adding one, the address of the buckets.
# From OWN on; written out, since mypyc folds a constant only from those of its own module.
SEGMENTS: Final = 216
ADDING: Final = 224
BUCKETS: Final = 232
#: After the control words, for each segment: the addresses of its nodes and slots, and their number. The
#: first has number 1: no node is 0.
DIRECTORY: Final = 256
NODES: Final = 0
SLOTS: Final = 8
SIZE: Final = 16
SEGMENT_SHIFT: Final = 5
FIRST: Final = 288
MAXIMUM_SEGMENTS: Final = 31
DIRECTORY_WORDS: Final = 128

#: Bytes of a bucket, and of a node: its state, its successor.
BUCKET_BYTES: Final = 8
NODE_BYTES: Final = 16
NEXT: Final = 8

# A node's reference: the number of its segment, and its place there.
PLACE_BITS: Final = 29
PLACE_MASK: Final = (1 << 29) - 1
MAXIMUM_NODES: Final = 1 << 29

# The bucket's word.
HEAD_SHIFT: Final = 2
HEAD_MASK: Final = (1 << 34) - 1
HEAD_BITS: Final = HEAD_MASK << HEAD_SHIFT
VERSION_STEP: Final = 1 << 36

# A node's state; that of an occupied one is negative.
EMPTY: Final = 0
BUSY: Final = 1
_HALF: Final = 1 << 62
#: The bits of a mixed hash that choose its home.
RANK: Final = (1 << 63) - 1

#: How far an insertion looks for a free node in each of several segments.
PROBE_LIMIT: Final = 64
#: Buckets from which on the table, 2 MB, is too much for a core's own cache. In a smaller map prefetching
#: only fetches lines that another core has just written.
PREFETCH_HOMES: Final = 1 << 16

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_REMOVE: Final[object] = REMOVE
_RETRY_READ: Final[object] = RETRY_READ


def occupied(h: i64) -> i64:
    """Return the state of a node with an entry of mixed hash *h*: its rank, and the top bit."""
    # Not h | -(1 << 63): mypyc 2.4.1 has no native constant for the least of all integers.
    return (h & RANK) - _HALF - _HALF


def head_of(word: i64) -> i64:
    """Return the first node of the bucket with that word."""
    return (word >> HEAD_SHIFT) & HEAD_MASK


def with_head(word: i64, node: i64) -> i64:
    """Return the next version of a bucket's *word*, with another first node."""
    return ((word & ~HEAD_BITS) | (node << HEAD_SHIFT)) + VERSION_STEP


def segment_of(control: i64, node: i64) -> i64:
    """Return the address of the directory's entry for the segment of *node*."""
    return control + DIRECTORY + ((node >> PLACE_BITS) << SEGMENT_SHIFT)


def words_of(control: i64, node: i64) -> i64:
    """Return the address of the words of *node*."""
    return load(segment_of(control, node) + NODES, RELAXED) + (node & PLACE_MASK) * NODE_BYTES


def slot_of(control: i64, node: i64) -> i64:
    """Return the address of the slot of *node*."""
    return load(segment_of(control, node) + SLOTS, RELAXED) + (node & PLACE_MASK) * SLOT_BYTES


# ---- searching --------------------------------------------------------------------------------------------


def locate(control: i64, homes: i64, home: i64, word: i64, h: i64, key: object) -> i64:
    """Search *key* in the chain of *home*, whose word is *word*: its slot, NOT_FOUND, ASK_KEYS or CHANGED.

    The answer is right for one moment if the home's word is the same from before the call until after it;
    the caller checks that. Nodes are loaded ACQUIRE: whoever took one out of the chain, and whoever used it
    again, had stored the new word before, and the caller's second look finds it.
    """
    wanted = occupied(h)
    node = head_of(word)
    while node != 0:
        words = words_of(control, node)
        state = load(words, ACQUIRE)
        if state == wanted:
            equal = key_equals(slot_of(control, node), key)
            if equal > 0:
                return slot_of(control, node)
            if equal < 0:
                return ASK_KEYS
        elif state >= 0 or fast_range(state, homes) != home:
            return CHANGED  # not of this chain any more: it may lead anywhere
        node = load(words + NEXT, ACQUIRE)
    return NOT_FOUND


def read(control: i64, h: i64, key: object, fallback: object) -> object:
    """Return the value of *key*, *fallback* if it has none, or RETRY_READ. Takes no lock.

    The home's word before and after brackets the search and the load of the value. Writers change it before
    they give a slot back, and whoever fills the slot next does so after that (it saw the EMPTY that was
    stored later, RELEASE/ACQUIRE): so a value that belongs to another key comes with a changed word. And they
    change it after they have taken key and value: who sees the new word finds no key in that slot. Replacing
    a value changes nothing there: the value loaded is the old one or the new one, each the key's value at a
    moment during this call. MOVED is part of the comparison: an answer from a table that no
    longer has the key's home is not given. LOCKED is not: a writer that has changed nothing yet does not
    disturb readers.
    """
    homes = load(control + HOMES, RELAXED)
    home = fast_range(h, homes)
    lock = load(control + BUCKETS, RELAXED) + home * BUCKET_BYTES
    if homes >= PREFETCH_HOMES:
        prefetch_node(control, home)
    word = load(lock, ACQUIRE)
    if word & MOVED:
        return _RETRY_READ
    slot = locate(control, homes, home, word, h, key)
    if slot > 0:
        # An empty slot: a removal is under way, and has taken the value. Whoever asks for that only after the
        # word has been checked may find the slot full again, with another key's value.
        value = object_load(slot + VALUE, fallback)
        return value if same(load(lock, ACQUIRE), word) else _RETRY_READ
    if slot == NOT_FOUND and same(load(lock, ACQUIRE), word):
        return fallback
    return _RETRY_READ


def prefetch_node(control: i64, home: i64) -> None:
    """Ask for the node and the slot of the same number as *home*: the chain most likely begins there."""
    if load(control + FIRST + SIZE, RELAXED) > home:  # a fixed number of buckets has fewer nodes at first
        prefetch(load(control + FIRST + NODES, RELAXED) + home * NODE_BYTES)
        prefetch(load(control + FIRST + SLOTS, RELAXED) + home * SLOT_BYTES)


# ---- nodes ------------------------------------------------------------------------------------------------


def claim(control: i64, h: i64) -> i64:
    """Claim a free node for an entry of hash *h*, whose home is locked: the node, or 0.

    The newest segment is asked first: it has the most room. If there is only one, all of it is.
    """
    segments = load(control + SEGMENTS, ACQUIRE)
    segment = segments
    while segment > 0:
        entry = control + DIRECTORY + (segment << SEGMENT_SHIFT)
        place = claim_in(entry, h, segments > 1)
        if place >= 0:
            return (segment << PLACE_BITS) | place
        segment -= 1
    return 0


def claim_in(entry: i64, h: i64, briefly: bool) -> i64:
    """Claim the free node of a segment nearest to where *h* belongs: its place, or -1.

    Nobody else uses a BUSY one. ACQ_REL: its last owner has left.
    """
    size = load(entry + SIZE, RELAXED)
    nodes = load(entry + NODES, RELAXED)
    left: i64 = PROBE_LIMIT if briefly and size > PROBE_LIMIT else size
    place = fast_range(h, size)
    while left > 0:
        words = nodes + place * NODE_BYTES
        # Looked at first: a compare-and-exchange takes the line away from others even if it fails.
        if load(words, RELAXED) == EMPTY and compare_exchange(words, EMPTY, BUSY, ACQ_REL):
            return place
        place = place + 1 if place + 1 < size else 0
        left -= 1
    return -1


def publish(control: i64, word: i64, node: i64, h: i64) -> i64:
    """Let *node*, whose slot is filled, be the first of the chain whose word is *word*; returns the new word.

    RELEASE, both: whoever sees the node in the chain sees all of it; and whoever is still here from when the
    node was in another chain sees, when it looks again, that the word of that chain has changed.
    """
    words = words_of(control, node)
    store(words + NEXT, head_of(word), RELEASE)
    store(words, occupied(h), RELEASE)
    return with_head(word, node)


# ---- writing ----------------------------------------------------------------------------------------------


def write(
    control: i64, shared: i64, h: i64, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Search without a lock, then change the entry of *key* under its home's lock: (result, previous value).

    RETRY means that nothing was done and the slow path has to do it.
    """
    homes = load(control + HOMES, RELAXED)
    home = fast_range(h, homes)
    if homes >= PREFETCH_HOMES:
        prefetch_node(control, home)
    word = load(load(control + BUCKETS, RELAXED) + home * BUCKET_BYTES, ACQUIRE)
    if word & (LOCKED | MOVED):
        return RETRY, None
    slot = locate(control, homes, home, word, h, key)
    if slot < 0:
        return RETRY, None
    phase = load(shared, RELAXED)
    if slot == NOT_FOUND and phase & PHASE_MASK != IDLE:
        return RETRY, None
    return commit(control, home, word, slot, shared, phase, h, key, condition, expected, new)


def commit(
    control: i64,
    home: i64,
    word: i64,
    slot: i64,
    shared: i64,
    phase: i64,
    h: i64,
    key: object,
    condition: i64,
    expected: object,
    new: object,
) -> tuple[i64, object]:
    """Carry out a write whose search, at *word*, ended with *slot*: (result, previous value).

    Taking the lock by expecting *word* proves that no key of this home came, went or moved since the search.
    A refusal changes nothing, so it takes no lock: it is right at the moment when the word is still the same.
    """
    lock = load(control + BUCKETS, RELAXED) + home * BUCKET_BYTES
    if slot > 0:
        if condition == IF_ABSENT:
            present = object_load(slot + VALUE, _REMOVE)
            if present is _REMOVE or not same(load(lock, ACQUIRE), word):
                return RETRY, None
            return REFUSED, present
        if not try_lock(lock, word):
            return RETRY, None
        if condition == IF_IDENTICAL and not object_is(slot + VALUE, expected):
            unlock(lock, word)
            return REFUSED, None
        if new is _REMOVE:
            return DONE_REMOVED, remove_locked(control, home, word, slot, shared)
        old = object_exchange(slot + VALUE, new, None)
        unlock(lock, word)
        return DONE_REPLACED, old  # the old value dies outside the lock

    if new is _REMOVE or condition == IF_PRESENT or condition == IF_IDENTICAL:
        return (REFUSED if load(lock, ACQUIRE) == word else RETRY), None
    if not try_lock(lock, word):
        return RETRY, None
    # Dekker with the start of a resize (SharedState.start): it changes the phase, then adds up the counts;
    # here the entry is counted, then the phase read again, both SEQ_CST. So either the sum has this entry, or
    # this thread sees the new phase and steps back. The next table is therefore never promised too little
    # room.
    count = count_of(shared, home)
    fetch_add(count, 1, SEQ_CST)
    node: i64 = 0
    if load(shared, SEQ_CST) == phase:
        node = claim(control, h)
    if node == 0:
        fetch_add(count, -1, RELAXED)
        unlock(lock, word)
        return RETRY, None
    slot = slot_of(control, node)
    object_store(slot, key)
    object_store(slot + VALUE, new)
    unlock(lock, publish(control, word, node, h))
    return DONE_INSERTED, None


def remove_locked(control: i64, home: i64, word: i64, slot: i64, shared: i64) -> object:
    """Remove the node of *slot*, release the lock of *home*, taken at *word*, and return the value.

    Readers stop seeing the entry when its value is taken. The new word comes between the node's leaving the
    chain and its state. Not after: whoever finds the node in another chain finds the word changed. Not
    before: who began with the new word would still come to the node, and leave with the other chain.
    """
    lock = load(control + BUCKETS, RELAXED) + home * BUCKET_BYTES
    before: i64 = 0
    node = head_of(word)
    while slot_of(control, node) != slot:
        before = node
        node = load(words_of(control, node) + NEXT, RELAXED)
    words = words_of(control, node)
    following = load(words + NEXT, RELAXED)
    word = with_head(word, following) if before == 0 else word + VERSION_STEP
    value: object = object_take(slot + VALUE, None)
    key: object = object_take(slot, None)
    if before != 0:
        store(words_of(control, before) + NEXT, following, RELEASE)
    store(lock, word | LOCKED, RELEASE)
    store(words, EMPTY, RELEASE)
    fetch_add(count_of(shared, home), -1, RELAXED)
    unlock(lock, word)
    reachability_fence(key)  # it dies here, outside the lock
    return value


# ---- the table --------------------------------------------------------------------------------------------


@final
class Segment:
    """More nodes of a table, and the segment that was added before."""

    def __init__(self, nodes: int, previous: Segment | None) -> None:
        self.block: Final = Block(2 * nodes, 2 * nodes)
        self.previous: Final = previous


@final
class ChainedTable(Table):
    """A table with that many buckets and, at first, nodes."""

    def __init__(self, homes: int, nodes: int) -> None:
        bucket_words = (homes + 7) // 8 * 8
        super().__init__(homes, DIRECTORY_WORDS + bucket_words + 2 * nodes, 2 * nodes)
        self.buckets: Final[i64] = self.control + (CONTROL_WORDS + DIRECTORY_WORDS) * 8
        #: The newest; it keeps the others alive.
        self.segments: Segment | None = None
        store(self.control + BUCKETS, self.buckets, RELAXED)
        self._enter(1, self.buckets + bucket_words * 8, self.block.objects_address, nodes)

    def _enter(self, number: i64, nodes: i64, slots: i64, size: i64) -> None:
        """Let segment *number* be used. Its entry first: whoever sees the number, ACQUIRE, sees that too."""
        entry = self.control + DIRECTORY + (number << SEGMENT_SHIFT)
        store(entry + NODES, nodes, RELAXED)
        store(entry + SLOTS, slots, RELAXED)
        store(entry + SIZE, size, RELAXED)
        store(self.control + SEGMENTS, number, RELEASE)

    def add_nodes(self) -> None:
        """Add as many nodes as there are, unless somebody else does so at the same time."""
        number = load(self.control + SEGMENTS, ACQUIRE) + 1
        nodes = self.capacity()
        if number > MAXIMUM_SEGMENTS or nodes > MAXIMUM_NODES:
            raise MemoryError(f"a map with {self.homes} buckets cannot have more than {nodes} nodes")
        added = Segment(nodes, self.segments)  # may fail or run the GC: before the lock
        if not try_lock(self.control + ADDING, 0):
            return
        if load(self.control + SEGMENTS, RELAXED) == number - 1 and added.previous is self.segments:
            self.segments = added
            self._enter(number, added.block.address, added.block.objects_address, nodes)
        unlock(self.control + ADDING, 0)

    def lock_of_home(self, home: i64) -> i64:
        return self.buckets + home * BUCKET_BYTES

    def capacity(self) -> i64:
        total: i64 = 0
        segment = load(self.control + SEGMENTS, ACQUIRE)
        while segment > 0:
            total += load(self.control + DIRECTORY + (segment << SEGMENT_SHIFT) + SIZE, RELAXED)
            segment -= 1
        return total

    def memory_bytes(self) -> int:
        size = self.block.__sizeof__()
        segment = self.segments
        while segment is not None:
            size += segment.block.__sizeof__()
            segment = segment.previous
        return size

    def read(self, h: i64, key: object, fallback: object) -> object:
        return read(self.control, h, key, fallback)

    def locate_asking(self, h: i64, key_hash: i64, key: object, word: i64) -> i64:  # noqa: ARG002
        lock = self.lock_of(h)
        node = head_of(word)
        while node != 0:
            slot = slot_of(self.control, node)
            state = load(words_of(self.control, node), ACQUIRE)
            if state == occupied(h):
                equal = key_equals(slot, key)
                if equal < 0:
                    stored: Any = object_load(slot, _RETRY_READ)  # Any: its __eq__ may return any object
                    # The key and the state are of one entry only if the home has not changed.
                    if stored is _RETRY_READ or not same(load(lock, ACQUIRE), word):
                        return CHANGED
                    equal = 1 if stored == key else 0
                    if not same(load(lock, ACQUIRE), word):
                        return CHANGED
                if equal > 0:
                    return slot
            node = self._following(node, state, fast_range(h, self.homes))
            if node < 0:
                return CHANGED
        return NOT_FOUND

    def commit(
        self,
        word: i64,
        slot: i64,
        shared: i64,
        phase: i64,
        h: i64,
        key_hash: i64,  # noqa: ARG002
        key: object,
        condition: i64,
        expected: object,
        new: object,
        record: i64,  # noqa: ARG002
    ) -> tuple[i64, object]:
        home = fast_range(h, self.homes)
        return commit(self.control, home, word, slot, shared, phase, h, key, condition, expected, new)

    # ---- resizing --------------------------------------------------------------------------------------

    def try_move(self, following: Table, home: i64, word: i64, shared: i64) -> bool:
        """Move the entries of *home* unless one of the locks is taken.

        The homes in the next table to which its entries go are locked first, in their order, then *home*;
        none of them is waited for.
        """
        lock = self.lock_of_home(home)
        if load(self.control + MODE, RELAXED) == DISCARD:
            if not try_lock(lock, word):
                return False
            discard_locked(self, home, word, shared)
            return True
        target = cast("ChainedTable", following)
        first, last = targets(self, target, home, word)
        locked = first
        while locked <= last and take_lock(target.buckets + locked * BUCKET_BYTES):
            locked += 1
        moves = locked > last and try_lock(lock, word)
        if moves:
            move_locked(self, target, home, word)
        while locked > first:
            locked -= 1
            release_lock(target.buckets + locked * BUCKET_BYTES)
        return moves

    # ---- the rest --------------------------------------------------------------------------------------

    def _following(self, node: i64, state: i64, home: i64) -> i64:
        """Return the node after *node*, which was found with *state*; -1 if it is not of *home* any more."""
        if state >= 0 or fast_range(state, self.homes) != home:
            return -1
        return load(words_of(self.control, node) + NEXT, ACQUIRE)

    def gather(self, position: i64, last: i64, entries: list[object]) -> None:
        home = fast_range(position, self.homes)
        node = head_of(load(self.lock_of_home(home), ACQUIRE))
        while node > 0:
            state = load(words_of(self.control, node), ACQUIRE)
            slot = slot_of(self.control, node)
            rank = state & RANK
            if rank >= position and rank <= last:
                key = object_load(slot, _REMOVE)
                value = object_load(slot + VALUE, _REMOVE)
                if key is not _REMOVE and value is not _REMOVE:  # else it is being removed
                    entries.append(key)
                    entries.append(value)
            node = self._following(node, state, home)

    def drop_entries(self) -> None:
        segment = load(self.control + SEGMENTS, ACQUIRE)
        while segment > 0:
            entry = self.control + DIRECTORY + (segment << SEGMENT_SHIFT)
            slot = load(entry + SLOTS, RELAXED)
            end = slot + load(entry + SIZE, RELAXED) * SLOT_BYTES
            while slot < end:
                object_take(slot, None)
                object_take(slot + VALUE, None)
                slot += SLOT_BYTES
            segment -= 1
        reachability_fence(self)

    def check(self, discards: bool) -> i64:
        entries: i64 = 0
        linked: set[int] = set()
        home: i64 = 0
        while home < self.homes:
            word = load(self.lock_of_home(home), ACQUIRE)
            assert word & LOCKED == 0, f"home {home} is locked"
            node = head_of(word)
            assert discards or word & MOVED == 0 or node == 0, f"home {home} has moved and has a chain"
            while node != 0:
                assert int(node) not in linked, f"node {node:#x} is in two chains"
                linked.add(int(node))
                state = load(words_of(self.control, node), ACQUIRE)
                assert state < 0, f"node {node:#x} in the chain of home {home} has state {state:#x}"
                of = fast_range(state, self.homes)
                assert of == home, f"node {node:#x} of home {of} is in the chain of home {home}"
                entries += 0 if word & MOVED else 1
                node = load(words_of(self.control, node) + NEXT, ACQUIRE)
            home += 1
        segment = load(self.control + SEGMENTS, ACQUIRE)
        while segment > 0:
            self._check_segment(segment, linked)
            segment -= 1
        return entries

    def _check_segment(self, segment: i64, linked: set[int]) -> None:
        """Raise AssertionError unless its nodes are in a chain, with key and value, or free and empty."""
        size = load(self.control + DIRECTORY + (segment << SEGMENT_SHIFT) + SIZE, RELAXED)
        place: i64 = 0
        while place < size:
            node = (segment << PLACE_BITS) | place
            state = load(words_of(self.control, node), ACQUIRE)
            slot = slot_of(self.control, node)
            full = object_load(slot, REMOVE) is not REMOVE
            valued = object_load(slot + VALUE, REMOVE) is not REMOVE
            assert full == valued == (state < 0), f"node {node:#x}: state {state:#x}, key {full}, {valued}"
            assert state <= EMPTY, f"node {node:#x} is busy"
            assert (int(node) in linked) == (state < 0), f"node {node:#x}, state {state:#x}, is in no chain"
            place += 1


def targets(table: ChainedTable, following: ChainedTable, home: i64, word: i64) -> tuple[i64, i64]:
    """Return the first and the last home that entries of *home* have in the next table; (0, -1) without any.

    Right if *home* still has *word* when it is locked.
    """
    first: i64 = following.homes
    last: i64 = -1
    node = head_of(word)
    while node > 0:
        state = load(words_of(table.control, node), ACQUIRE)
        target = fast_range(state, following.homes)
        if target < first:  # noqa: PLR1730  (min() and max() would box)
            first = target
        if target > last:  # noqa: PLR1730  (min() and max() would box)
            last = target
        if state >= 0 or fast_range(state, table.homes) != home:
            break  # the word has changed
        node = load(words_of(table.control, node) + NEXT, ACQUIRE)
    if last < 0:
        return 0, -1
    return first, last


def discard_locked(table: ChainedTable, home: i64, word: i64, shared: i64) -> None:
    """Let the entries of *home*, whose lock the caller took at *word*, be no entries any more; unlock."""
    found: i64 = 0
    node = head_of(word)
    while node != 0:
        found += 1
        node = load(words_of(table.control, node) + NEXT, RELAXED)
    word = (word | MOVED) + VERSION_STEP
    lock = table.lock_of_home(home)
    store(lock, word | LOCKED, RELEASE)
    fetch_add(count_of(shared, home), -found, RELAXED)
    fetch_add(table.control + MOVED_HOMES, 1, RELEASE)
    unlock(lock, word)


def move_locked(table: ChainedTable, following: ChainedTable, home: i64, word: i64) -> None:
    """Move the entries of *home*, whose lock the caller took at *word*; releases it.

    The caller holds the locks of all homes that they go to. Every moment is right for readers: until MOVED is
    set they find each entry here; from then on they go to the next table, where all the copies have been
    visible before. A reader that began here before MOVED was set and meets an emptied node sees the changed
    word and looks again.
    """
    node = head_of(word)
    while node != 0:
        copy_node(table, following, node)
        node = load(words_of(table.control, node) + NEXT, RELAXED)
    lock = table.buckets + home * BUCKET_BYTES
    moved = with_head(word, 0) | MOVED
    store(lock, moved | LOCKED, RELEASE)
    node = head_of(word)
    while node != 0:
        words = words_of(table.control, node)
        slot = slot_of(table.control, node)
        node = load(words + NEXT, RELAXED)
        object_forget(slot)
        object_forget(slot + VALUE)
        store(words, EMPTY, RELEASE)
    fetch_add(table.control + MOVED_HOMES, 1, RELEASE)
    unlock(lock, moved)


def copy_node(table: ChainedTable, following: ChainedTable, node: i64) -> None:
    """Put a copy of *node* into its chain in the next table, which is locked."""
    rank = load(words_of(table.control, node), RELAXED) & RANK
    control = following.control
    found = claim(control, rank)
    while found == 0:
        # The next table keeps a node for every entry that has to move. Only removals behind the search and
        # insertions in front of it can hide all free nodes from it, every time.
        found = claim(control, rank)
    source, target = slot_of(table.control, node), slot_of(control, found)
    object_copy(source, target)
    object_copy(source + VALUE, target + VALUE)
    lock = following.buckets + fast_range(rank, following.homes) * BUCKET_BYTES
    # RELEASE: readers do not mind LOCKED, so this already tells them where the chain begins.
    store(lock, publish(control, load(lock, RELAXED), found, rank), RELEASE)
