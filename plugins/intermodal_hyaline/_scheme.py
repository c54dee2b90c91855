"""Hyaline: whoever is the last to leave what a batch may be seen by frees it.

The idea
========
A batch that is submitted is hung on the list of every thread that is in a section, a node for each, and
counts them. A thread that leaves takes its whole list in one exchange and counts itself out of each batch on
it. The one that counts a batch down to zero frees it, whichever thread that is, so the work is spread over
those who leave; nobody waits and nobody has to be asked::

    batch A: 2 sections     node -> reader 1's list     HEAD of 1:  B's node -> A's node -> 0
             (count 2)      node -> reader 2's list     HEAD of 2:  A's node -> 0
    batch B: 1 section      node -> reader 1's list

    2 leaves: A counts 1.   1 leaves: B counts 0, freed; A counts 0, freed.

Births
======
The clock counts eras; every batch that is submitted begins a new one. What is retired says when it was born,
and a batch knows its earliest birth. A section whose era is before that cannot hold anything in it, because
its reader looks at the clock after it has loaded a pointer, and asks another way if that is no longer its own
era (``WITNESS``). So the batch is not hung on it: a reader that never leaves holds back what was born before
it entered, and no more: where a section is older than the batches before this one, ``submit`` divides a batch
that is partly older than the section into two.

The racing lines
================
``submit``, after its heavy fence, reads HEAD and then ERA of each record. If HEAD is OUTSIDE, or a section
begins that it misses, that section sees what was unlinked (see core's reclamation). Else the node is put
before what HEAD was, by compare-and-exchange: if the thread left meanwhile and came back, the node hangs on
the later section, one too many, and is let go with it. A thread that leaves exchanges HEAD by OUTSIDE, so no
node can be put on a list that has been taken.

The count starts at BIAS, so that nobody counts it down to zero before ``submit`` has added how many nodes it
hung, and taken the bias away, in one step. ACQ_REL: all that was read in a section comes before the batch is
freed. The nodes belong to the batch and die with it: a thread that counts itself out reads the next node
first.

Differences from the original: nodes are not the retired objects themselves, so there are always enough of
them; sections are bounded because a reader that finds the era changed takes another way instead of trying
again.

Sources: Nikolaev and Ravindran, Hyaline: fast and transparent lock-free memory reclamation, Crystalline: fast
and memory efficient wait-free reclamation. May import only core's public names.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQ_REL,
    ACQUIRE,
    RELAXED,
    compare_exchange,
    fetch_add,
    heavy_fence,
    load,
    object_copy,
    object_forget,
    store,
)
from intermodal.memory import Block
from intermodal.reclamation import ERA, HEAD, NEVER, OUTSIDE, SLOT, Batch, Participant, Scheme, birth_of

#: More than there are threads.
BIAS: Final = 1 << 40
#: A node: the next on the list, and the address of its batch's count.
NEXT: Final = 0
COUNT: Final = 8
NODE_BYTES: Final = 16
#: Eras after which a section counts as stalled: sections that read or change an entry last a fraction of one.
PATIENCE: Final = 1
#: A cache line for the count, before the nodes.
NODES: Final = 64


@final
class Hyaline(Scheme):
    """The scheme of the reclaimer ``hyaline``."""

    def __init__(self) -> None:
        super().__init__("hyaline", protects=True, lists=True)
        #: By the address of its count, each batch that hangs on a list.
        self._hanging: Final[dict[int, Batch]] = {}
        self._ready: Final[deque[Batch]] = deque()

    def submit(self, batch: Batch) -> None:
        now = fetch_add(self.clock, 1, ACQ_REL)
        heavy_fence()
        participants = self.present()
        self._prepare(batch, len(participants))  # the last that may raise
        stalled = stalled_since(participants, now)
        if stalled >= batch.oldest:
            young = self._divide(batch, stalled, len(participants))
            if young is not None:
                self._hang_everywhere(young, participants)
        self._hang_everywhere(batch, participants)

    def _prepare(self, batch: Batch, most: i64) -> None:
        """Make nodes to hang *batch* on *most* sections."""
        words = NODES // 8 + most * (NODE_BYTES // 8)
        nodes = batch.nodes
        if nodes is None or nodes.words < words:
            nodes = Block(words)
            batch.nodes = nodes
        store(nodes.address, BIAS, RELAXED)
        self._hanging[nodes.address] = batch

    def _divide(self, batch: Batch, era: i64, most: i64) -> Batch | None:
        """Move what was born after *era* to another batch, if there is memory for one; return that."""
        try:
            young = self.new_batch()
            self._prepare(young, most)
        except MemoryError:
            return None
        slot = kept = batch.block.objects_address
        target = young.block.objects_address
        end = slot + batch.count * SLOT
        young.oldest = NEVER
        while slot < end:
            birth = load(birth_of(slot), RELAXED)
            if birth > era:
                move(slot, target)
                target += SLOT
                young.oldest = min(young.oldest, birth)
            else:
                if kept != slot:
                    move(slot, kept)
                kept += SLOT
            slot += SLOT
        batch.count = (kept - batch.block.objects_address) // SLOT
        young.count = (target - young.block.objects_address) // SLOT
        return young

    def _hang_everywhere(self, batch: Batch, participants: list[Participant]) -> None:
        nodes = batch.nodes
        assert nodes is not None
        count = nodes.address
        node = count + NODES
        hung: i64 = 0
        for participant in participants:
            if self._hang(participant.record, node, count, batch.oldest):
                node += NODE_BYTES
                hung += 1
        if fetch_add(count, hung - BIAS, ACQ_REL) + hung - BIAS == 0:
            self._finish(count)

    def _hang(self, record: i64, node: i64, count: i64, oldest: i64) -> bool:
        store(node + COUNT, count, RELAXED)
        while True:
            head = load(record + HEAD, ACQUIRE)
            if head == OUTSIDE or load(record + ERA, RELAXED) < oldest:
                return False
            store(node + NEXT, head, RELAXED)
            if compare_exchange(record + HEAD, head, node, ACQ_REL):
                return True

    def release(self, head: i64) -> None:
        while head != 0:
            following = load(head + NEXT, RELAXED)
            count = load(head + COUNT, RELAXED)
            if fetch_add(count, -1, ACQ_REL) == 1:
                self._finish(count)
            head = following

    def _finish(self, count: i64) -> None:
        self._ready.append(self._hanging.pop(count))

    def ready(self) -> Batch | None:
        try:
            return self._ready.popleft()
        except IndexError:
            return None


def stalled_since(participants: list[Participant], now: i64) -> i64:
    """Return the latest era of a section that others have long outlived, or 0."""
    latest: i64 = 0
    for participant in participants:
        if load(participant.record + HEAD, ACQUIRE) != OUTSIDE:
            era = load(participant.record + ERA, RELAXED)
            if era + PATIENCE < now:
                latest = max(latest, era)
    return latest


def move(source: i64, target: i64) -> None:
    """Move what a slot of a batch holds, and its birth, to an empty one; nobody else looks at either."""
    object_copy(source, target)
    object_forget(source)
    store(birth_of(target), load(birth_of(source), RELAXED), RELAXED)
