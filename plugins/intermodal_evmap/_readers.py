"""Who reads just now: the sections of readers, for all maps of the process.

Every look-up is a *section* of core's reclamation: it says in a record of its thread that it has begun, and
when. That takes two stores to memory of the thread's own and no locked instruction, runs no user code, and
waits for nothing. A publisher looks at the records. Nothing is retired through them, so there is no limbo and
no garbage here: the scheme has nothing to do.

One clock serves all maps. A section of another map may so hold a publisher up for the nanoseconds that it
lasts; in return a thread has one record, whatever the number of maps.

May import only core's public names.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.reclamation import Batch, Reclaimer, Scheme


@final
class Sections(Scheme):
    """Sections, and nothing that waits for their end but publishers."""

    def __init__(self) -> None:
        super().__init__("evmap", protects=True, lists=False)

    def submit(self, batch: Batch) -> None:
        raise AssertionError(f"nothing is retired here, and {batch} is")

    def release(self, head: i64) -> None:
        raise AssertionError(f"sections of this scheme have no list, and {head:#x} is none")

    def ready(self) -> Batch | None:
        return None


#: Of all maps, unless they are given others.
READERS: Final = Reclaimer(Sections())
