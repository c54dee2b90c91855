"""Epoch-based reclamation: what was retired in one epoch is freed two epochs later.

The idea
========
The clock counts epochs. It goes from *e* to *e* + 1 when every thread that is in a section has entered it in
*e*. A batch is stamped with the epoch at which it is submitted, after its objects were unlinked. When the
clock shows the stamp + 2, every section that had begun by then is over::

    clock    7                        8                         9
    reader     [------ 7 ------]        [--- 8 ---]
    writer       unlink, stamp 7                               free

The clock cannot go to 9 before the reader of epoch 7 has left: with the clock at 8 its era is not the
clock's.

Why two
=======
A section whose era is the stamp + 1 does not see what was unlinked: it read the clock after that had gone on,
which was after the stamp was read, which was after the heavy fence that follows the unlinking. So only
sections of the stamp's era, and older ones, are waited for: those of the stamp must be over when the clock
goes from stamp + 1 to stamp + 2.

The racing lines
================
``submit`` reads the clock, has a heavy fence, reads the clock again for the stamp, and looks at the records.
The one fence serves twice. For the stamp: the unlinking comes before it. For the clock: a section that the
look misses has its light fence after this heavy one, and so it sees all that was unlinked before the heavy
fence of any batch whose stamp is less than the epoch read first: that batch's stamp was read before the clock
went on, and the clock was read here after that. The look compares with the epoch read first, and only from
that one the clock is moved: if others move it meanwhile, the exchange fails, and nothing is lost.

Freeing is amortised over the batch; there is no thread of its own, no timer and no lock. A thread in a
section for ever stops the clock, and all that is retired from then on waits (``hyaline`` does not).

Sources: Fraser, Practical lock-freedom; crossbeam's epochs. May import only core's public names.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import ACQUIRE, RELAXED, SEQ_CST, compare_exchange, heavy_fence, load
from intermodal.reclamation import ERA, HEAD, OUTSIDE, Batch, Participant, Scheme

#: Epochs after which what is in a batch can be freed.
GRACE: Final = 2


@final
class Epochs(Scheme):
    """The scheme of the reclaimer ``epoch``."""

    def __init__(self) -> None:
        super().__init__("epoch", protects=True, lists=False)
        # By stamp, nearly: a batch that comes a moment late waits a little longer than it must.
        self._waiting: Final[deque[Batch]] = deque()

    def submit(self, batch: Batch) -> None:
        epoch = load(self.clock, SEQ_CST)
        heavy_fence()
        participants = self.present()
        batch.stamp = load(self.clock, SEQ_CST)
        self._waiting.append(batch)  # the last that may raise
        self._advance_from(epoch, participants)

    def release(self, head: i64) -> None:
        raise AssertionError(f"sections of this scheme have no list, and {head:#x} is none")

    def ready(self) -> Batch | None:
        try:
            batch = self._waiting.popleft()
        except IndexError:
            return None
        if batch.stamp + GRACE <= load(self.clock, ACQUIRE):
            return batch
        self._waiting.appendleft(batch)
        return None

    def advance(self) -> None:
        """Let the clock go on as far as one flush can need."""
        step: i64 = 0
        while step < GRACE:
            epoch = load(self.clock, SEQ_CST)
            heavy_fence()
            if not self._advance_from(epoch, self.present()):
                return
            step += 1

    def _advance_from(self, epoch: i64, participants: list[Participant]) -> bool:
        for participant in participants:
            record = participant.record
            if load(record + HEAD, ACQUIRE) != OUTSIDE and load(record + ERA, RELAXED) != epoch:
                return False
        return compare_exchange(self.clock, epoch, epoch + 1, SEQ_CST)
