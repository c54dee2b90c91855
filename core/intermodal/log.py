"""The contract of logs: where the changes of a replicated structure get their one order.

A log is a sequence of *entries*, one for each change. Its positions are numbers that never come again:

    head  <=  position of each replica  <=  completed  <=  tail  <=  least position of a replica + capacity

- *tail*: where the next entry goes;
- a replica's *position*: it has executed all entries before it, and says so with :meth:`Log.advance`;
- *completed*: no entry at or after it has had any effect that anybody has seen. A replica raises it before
  anyone can see what it has executed; so who reads it first, and waits for the replica that it reads from to
  get there, sees whatever was finished when it began;
- *head*: the first entry that is kept.

Memory of one process, a file, shared memory, a server: the replica does not know. Where operations cannot
travel as objects, entries are what a :class:`Codec` makes of them.

Native, open to interpreted subclasses. May import only errors.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from intermodal.errors import IntermodalError

#: What :meth:`Log.append` returns if there is no room before some replica gets on.
FULL: Final = -1
#: The same if the log has been sealed.
SEALED: Final = -2
#: The same if the replica is not live: it has to begin again with a copy of another one.
EVICTED: Final = -3


class LogError(IntermodalError):
    """A log cannot do what it is asked to."""


class LogSealedError(LogError, ValueError):
    """The log has been sealed: nothing can be changed through it any more."""


class LogCorruptError(LogError, ValueError):
    """What a log has stored is not what was written; the message says where."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Codec:
    """Makes bytes of operations and structures, and these of bytes. This one pickles.

    Both sides must be deterministic: what comes out is executed on every replica.
    """

    def encode(self, value: Any) -> bytes:
        """Return *value* as bytes. What it raises is raised to whoever asked for the operation."""
        return pickle.dumps(value, protocol=5)

    def decode(self, data: bytes) -> Any:
        """Return the value that was encoded."""
        return pickle.loads(data)  # noqa: S301  (a log is as trusted as the program's own files)


@mypyc_attr(allow_interpreted_subclasses=True)
class Log:
    """A sequence of entries that several replicas execute, each at its own pace.

    Thread-safety: any thread may call anything, except that of one replica one thread at a time calls
    ``append`` and ``advance``. Objects that a method lets go of it appends to *dropped*, for the caller to
    let go of where destructors may run.
    """

    def capacity(self) -> i64:
        """Return how far the tail may be ahead of the last replica; also the most entries of one append."""
        raise NotImplementedError

    def completed_address(self) -> i64:
        """Return the address of the word that :meth:`completed` returns, or 0 if it is no word here."""
        return 0

    def encode(self, operation: object) -> object:
        """Return what is appended for *operation*; never None. Called by whoever asks for it."""
        return operation

    def decode(self, entry: object) -> object:
        """Return the operation of an *entry*. Called by each replica."""
        return entry

    def encodes(self) -> bool:
        """Return whether entries are something else than the operations themselves."""
        return False

    def append(self, entries: list[object], replica: i64, dropped: list[object]) -> i64:
        """Append *entries* of *replica*, one after the other and with none between.

        Returns: the position of the first; or FULL, SEALED or EVICTED, and then nothing is appended.

        With a single live replica it may keep none of them: that one has them already.
        """
        raise NotImplementedError

    def tail(self) -> i64:
        """Return the position that follows the last entry. All before it can be read."""
        raise NotImplementedError

    def head(self) -> i64:
        """Return the position of the first entry that is kept."""
        raise NotImplementedError

    def read(self, first: i64, stop: i64, entries: list[object]) -> bool:
        """Append the entries from *first* up to *stop*, which the tail has reached, to *entries*.

        Returns: whether all were kept. If the reader was evicted, only those before the first that was not
        are appended.
        """
        raise NotImplementedError

    def completed(self) -> i64:
        """Return the position that no effect anybody has seen goes beyond."""
        raise NotImplementedError

    def complete(self, position: i64) -> None:
        """Raise :meth:`completed` to *position*, unless it is there."""
        raise NotImplementedError

    def register(self, position: i64) -> i64:
        """Return the number of a new replica that is at *position*; the lowest that is free.

        The caller keeps that position from being passed: a live replica stays there meanwhile.
        """
        raise NotImplementedError

    def deregister(self, replica: i64, dropped: list[object]) -> None:
        """Forget a replica: nothing is kept for it any more."""
        raise NotImplementedError

    def evict(self, replica: i64, dropped: list[object]) -> None:
        """Keep nothing for *replica* any more, and do not let it advance, until it deregisters.

        It finds out when :meth:`read` returns False, or :meth:`append` EVICTED.
        """
        raise NotImplementedError

    def advance(self, replica: i64, position: i64) -> None:
        """Learn that *replica* has executed everything before *position*."""
        raise NotImplementedError

    def position_of(self, replica: i64) -> i64:
        """Return how far *replica* has got; negative if nothing is kept for it."""
        raise NotImplementedError

    def trim(self, dropped: list[object]) -> i64:
        """Forget the entries that all live replicas have executed; return the head."""
        raise NotImplementedError

    def seal(self) -> i64:
        """Refuse every append from now on; return the tail, which is final."""
        raise NotImplementedError

    def sealed(self) -> bool:
        """Return whether the log has been sealed."""
        raise NotImplementedError

    def save(self, structure: Any, position: int) -> None:  # noqa: ARG002
        """Keep *structure*, which has executed everything before *position*, for who opens the log next.

        What came before it need not be kept for that any more. Raises: LogError if the log saves nothing.
        """
        raise LogError("this log keeps nothing when the process ends, so it saves no snapshot")

    def close(self) -> None:
        """Give up files or connections; the entries stay."""
