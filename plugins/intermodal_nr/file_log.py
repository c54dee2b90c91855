"""A log whose entries are in files before anybody sees what they do: what ends with the process comes back.

A folder has *segments*, ``log-`` and the position of the first entry, and *snapshots*, ``snapshot-`` and the
position of the first entry that is not in it. A record is

    4 bytes   length of the payload
    8 bytes   position
    4 bytes   CRC-32 of the twelve bytes above and the payload
    payload   the operation, as the codec makes it

all little-endian. A batch is written in one piece and, unless ``fsync=False``, flushed to the disk before any
of it is executed: one flush for everybody who waited. So whoever has got an answer finds his change again.

What a crash leaves of the last batch ends in a record that is cut off or wrong: it and what follows it is
dropped when the folder is opened. A wrong record in an earlier segment is damage, and refused.

The replicas of the process take entries, as bytes, from a ring in memory; each decodes its own copy. May
import only core's public names and ``memory_log``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any, Final

from mypy_extensions import i64

from intermodal.log import Codec, Log, LogCorruptError, LogError
from intermodal.plugins import OpenedLog
from intermodal_nr.memory_log import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER: Final = struct.Struct("<IQ")
_CHECKSUM: Final = struct.Struct("<I")
_OVERHEAD: Final = _HEADER.size + _CHECKSUM.size
_SNAPSHOT_MAGIC: Final = b"intermodal snapshot 1\n"
_SEGMENT_MAGIC: Final = b"intermodal log 1\n"


def record(position: int, payload: bytes) -> bytes:
    """Return the record of an entry."""
    header = _HEADER.pack(len(payload), position)
    return header + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(header))) + payload


def records(data: bytes, start: int, position: int) -> Iterator[tuple[int, bytes]]:
    """Yield the end and the payload of each record from *start* on, up to the first that is wrong."""
    while start + _OVERHEAD <= len(data):
        length, found = _HEADER.unpack_from(data, start)
        end = start + _OVERHEAD + length
        if found != position or end > len(data):
            return
        payload = data[start + _OVERHEAD : end]
        (checksum,) = _CHECKSUM.unpack_from(data, start + _HEADER.size)
        if checksum != zlib.crc32(payload, zlib.crc32(data[start : start + _HEADER.size])):
            return
        yield end, payload
        start, position = end, position + 1


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLog(Log):
    """A log in the files of *folder*; :func:`open_folder` makes one."""

    def __init__(self, folder: Path, codec: Codec, capacity: int, start: int, *, fsync: bool) -> None:
        self._folder, self._codec, self._fsync = folder, codec, fsync
        self._ring = MemoryLog(capacity, start)
        self._mutex = threading.Lock()  # one batch at a time goes to the file, and then to the ring
        self._lock = _locked(folder)
        self._file = self._new_segment(start)
        self._size = os.fstat(self._file).st_size
        self._closed = False
        self._process = os.getpid()
        #: Bytes of the last batch that were dropped when the folder was opened.
        self.torn_bytes = 0
        #: How often the file was flushed: at most once for each batch.
        self.flushes = 0

    # ---- entries are bytes ------------------------------------------------------------------------------

    def encodes(self) -> bool:
        return True

    def encode(self, operation: object) -> object:
        return self._codec.encode(operation)

    def decode(self, entry: object) -> object:
        return self._codec.decode(entry)  # type: ignore[arg-type]  # what encode() returned

    def append(self, entries: list[Any], replica: i64, dropped: list[object]) -> i64:
        self._check_process()  # before the mutex: where a fork left it, nobody may ever release it
        with self._mutex:
            self._check_open()
            refusal = self._ring.refusal(len(entries), replica)
            if refusal < 0:
                return refusal
            tail = self._ring.tail()
            data = b"".join(record(tail + at, entry) for at, entry in enumerate(entries))
            size = self._size
            if os.fstat(self._file).st_size != size:
                os.ftruncate(self._file, size)  # of a batch that was broken off before it was in the ring
            try:
                self._write(data)
            except BaseException:
                # Nothing of it has been seen: take it back, or nothing could be written after it.
                try:
                    os.ftruncate(self._file, size)
                except OSError:
                    self._ring.seal()
                raise
            # It is not refused now either: only who has this mutex appends, evicts or seals.
            first = self._ring.append(entries, replica, dropped)
            self._size = size + len(data)
            return first

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise LogError(
                f"the log in {self._folder} belongs to the process that opened it, and this is a fork of "
                "that; one process at a time writes to a folder"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise LogError(f"the log in {self._folder} is closed")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        if self._fsync:
            os.fsync(self._file)
            self.flushes += 1

    # ---- files ------------------------------------------------------------------------------------------

    def _new_segment(self, position: int) -> int:
        path = self._folder / f"log-{position:020}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(descriptor).st_size == 0:
            os.write(descriptor, _SEGMENT_MAGIC)
            os.fsync(descriptor)
            _flush_folder(self._folder)
        return descriptor

    def save(self, structure: Any, position: int) -> None:
        payload = self._codec.encode(structure)
        data = _SNAPSHOT_MAGIC + record(position, payload)
        path = self._folder / f"snapshot-{position:020}"
        self._check_process()
        with self._mutex:
            self._check_open()
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _flush_folder(self._folder)
            # From here on the snapshot counts; what came before it may go.
            old, self._file = self._file, self._new_segment(self._ring.tail())
            self._size = os.fstat(self._file).st_size
            os.close(old)
            _remove_older(self._folder, position)

    def close(self) -> None:
        if os.getpid() != self._process:
            return  # a fork's descriptors end with it
        with self._mutex:
            if not self._closed:
                self._closed = True
                os.close(self._file)
                os.close(self._lock)

    def __del__(self) -> None:
        if hasattr(self, "_closed"):
            self.close()

    # ---- the rest is the ring's -------------------------------------------------------------------------

    def capacity(self) -> i64:
        return self._ring.capacity()

    def completed_address(self) -> i64:
        return self._ring.completed_address()

    def tail(self) -> i64:
        return self._ring.tail()

    def head(self) -> i64:
        return self._ring.head()

    def read(self, first: i64, stop: i64, entries: list[object]) -> bool:
        return self._ring.read(first, stop, entries)

    def completed(self) -> i64:
        return self._ring.completed()

    def complete(self, position: i64) -> None:
        self._ring.complete(position)

    def register(self, position: i64) -> i64:
        return self._ring.register(position)

    def deregister(self, replica: i64, dropped: list[object]) -> None:
        self._ring.deregister(replica, dropped)

    def evict(self, replica: i64, dropped: list[object]) -> None:
        with self._mutex:
            self._ring.evict(replica, dropped)

    def advance(self, replica: i64, position: i64) -> None:
        self._ring.advance(replica, position)

    def position_of(self, replica: i64) -> i64:
        return self._ring.position_of(replica)

    def trim(self, dropped: list[object]) -> i64:
        return self._ring.trim(dropped)

    def seal(self) -> i64:
        with self._mutex:
            return self._ring.seal()

    def sealed(self) -> bool:
        return self._ring.sealed()


# ---- opening a folder -------------------------------------------------------------------------------------


def _locked(folder: Path) -> int:
    """Return the descriptor of a lock that keeps others from the folder. Raises LogError."""
    descriptor = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o644)
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise LogError(f"the log in {folder} is open already, here or in another process") from error
    return descriptor


def _numbered(folder: Path, kind: str) -> list[tuple[int, Path]]:
    return sorted(
        (int(path.name.rpartition("-")[2]), path)
        for path in folder.glob(f"{kind}-*")
        if path.name.rpartition("-")[2].isdigit()
    )


def _remove_older(folder: Path, position: int) -> None:
    """Remove what the snapshot at *position* makes superfluous."""
    segments = _numbered(folder, "log")
    for (_, path), (following, _) in itertools.pairwise(segments):
        if following <= position:
            path.unlink()
    for at, path in _numbered(folder, "snapshot"):
        if at < position:
            path.unlink()


def _last_snapshot(folder: Path) -> tuple[int, bytes] | None:
    for position, path in reversed(_numbered(folder, "snapshot")):
        data = path.read_bytes()
        if data.startswith(_SNAPSHOT_MAGIC):
            for _, payload in records(data, len(_SNAPSHOT_MAGIC), position):
                return position, payload
        raise LogCorruptError(
            f"{path} is not what was saved: remove it to begin with an older snapshot, if any"
        )
    return None


def open_folder(
    folder: Path, *, codec: Codec | None = None, capacity: int = 4096, fsync: bool = True
) -> OpenedLog:
    """Open the log in *folder*, which is made if it is not there, and read what it has.

    Raises: LogCorruptError, LogError if another one has it open.
    """
    codec = codec or Codec()
    folder.mkdir(parents=True, exist_ok=True)
    os.close(_locked(folder))  # or what another process just writes would look torn
    snapshot = _last_snapshot(folder)
    position = snapshot[0] if snapshot else 0
    segments = _numbered(folder, "log")
    operations: list[Any] = []
    at, torn = position, 0
    for number, (start, path) in enumerate(segments):
        if start > at:
            raise LogCorruptError(f"{path} begins at {start}, and what comes before it ends at {at}")
        at = start
        data = path.read_bytes()
        end = len(_SEGMENT_MAGIC)
        if data.startswith(_SEGMENT_MAGIC):
            for end, payload in records(data, end, at):  # noqa: B007, B020  (the last end is wanted)
                if at >= position:
                    operations.append(codec.decode(payload))
                at += 1
        elif len(data) >= end:
            raise LogCorruptError(f"{path} is no segment of a log")
        if end < len(data) or not data.startswith(_SEGMENT_MAGIC):
            if number < len(segments) - 1:
                raise LogCorruptError(f"{path} has a record at byte {end} that is not what was written")
            torn = len(data) - (end if data.startswith(_SEGMENT_MAGIC) else 0)
            with path.open("r+b") as file:
                file.truncate(len(data) - torn)
                file.flush()
                os.fsync(file.fileno())
            if len(data) == torn:
                path.unlink()
    at = max(at, position)
    log = FileLog(folder, codec, capacity, at, fsync=fsync)
    log.torn_bytes = torn
    saved = () if snapshot is None else (codec.decode(snapshot[1]),)
    return OpenedLog(log=log, snapshot=saved, operations=operations)
