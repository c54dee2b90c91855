"""The log in files: what was answered is there again, a torn end is dropped, damage is refused."""

from __future__ import annotations

import json
import os

import pytest

from intermodal import OptionError, replicate
from intermodal.log import Codec, LogCorruptError, LogError, LogSealedError
from intermodal.testing.forks import in_child
from intermodal.testing.threads import in_threads
from intermodal_nr.file_log import open_folder


def opened(folder, structure=dict, **options):
    return replicate(structure, log=f"file://{folder}", fsync=False, **options)


def segments(folder):
    return sorted(path for path in folder.iterdir() if path.name.startswith("log-"))


def test_what_was_changed_is_there_when_the_log_is_opened_again(tmp_path):
    """Exceptions are executed again too, and are nobody's now."""
    with opened(tmp_path, list, replicas=2, log_entries=4, batch=2, checked=True) as numbers:
        for number in range(20):
            numbers.append(number)
        with pytest.raises(ValueError, match="not in list"):
            numbers.remove("missing")
        numbers.pop()
    for _ in range(2):
        with opened(tmp_path, list, replicas=3) as numbers:
            assert list(numbers) == list(range(19))
            assert numbers.statistics().tail == 22
            numbers._check()


def test_a_snapshot_makes_what_came_before_it_superfluous(tmp_path):
    """Old segments go; what comes after it is executed on top."""
    with opened(tmp_path) as m:
        for number in range(10):
            m[number] = number
        assert m.checkpoint() == 10
        m.pop(0)
        assert len(segments(tmp_path)) == 1
        assert m.checkpoint() == 11
        m["after"] = True
    with opened(tmp_path) as m:
        assert m == {**{number: number for number in range(1, 10)}, "after": True}
        assert len([path for path in tmp_path.iterdir() if path.name.startswith("snapshot-")]) == 1
        m.checkpoint()
    with opened(tmp_path) as m:
        assert len(m) == 10


def test_a_log_in_memory_saves_no_snapshot():
    """It says so."""
    with pytest.raises(LogError, match="saves no snapshot"):
        replicate(dict).checkpoint()


@pytest.mark.parametrize("kept", range(1, 40, 3))
def test_a_torn_last_record_is_dropped(tmp_path, kept):
    """Wherever it is cut off; what comes next takes its place."""
    with opened(tmp_path, list) as numbers:
        numbers.append(1)
        whole = segments(tmp_path)[0].stat().st_size
        numbers.append(2)
    path = segments(tmp_path)[0]
    data = path.read_bytes()
    path.write_bytes(data[: min(whole + kept, len(data) - 1)])
    found = open_folder(tmp_path)
    assert len(found.operations) == 1
    assert found.log.torn_bytes == min(kept, len(data) - 1 - whole)
    found.log.close()
    with opened(tmp_path, list) as numbers:
        assert list(numbers) == [1]
        numbers.append(3)
    with opened(tmp_path, list) as numbers:
        assert list(numbers) == [1, 3]


def test_a_wrong_byte_is_found_by_its_checksum(tmp_path):
    """In the last segment it ends the log, in an earlier one it is damage."""
    with opened(tmp_path, list) as numbers:
        for number in range(3):
            numbers.append(number)
    path = segments(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with opened(tmp_path, list) as numbers:
        assert list(numbers) == [0, 1]
    data[-1] ^= 1
    data[-2] ^= 4
    path.write_bytes(data)
    (tmp_path / f"log-{3:020}").write_bytes(b"intermodal log 1\n")
    with pytest.raises(LogCorruptError, match="is not what was written"):
        opened(tmp_path, list)


def test_a_missing_segment_or_a_wrong_snapshot_is_damage(tmp_path):
    """And names the file."""
    with opened(tmp_path, list) as numbers:
        numbers.append(1)
        numbers.checkpoint()
        numbers.append(2)
    snapshot = next(path for path in tmp_path.iterdir() if path.name.startswith("snapshot-"))
    snapshot.rename(tmp_path / "elsewhere")
    with pytest.raises(LogCorruptError, match="begins at 1, and what comes before it ends at 0"):
        opened(tmp_path, list)
    snapshot.write_bytes(b"nothing")
    with pytest.raises(LogCorruptError, match="snapshot-"):
        opened(tmp_path, list)


def test_a_folder_is_open_once(tmp_path):
    """Or two would write into one file."""
    with opened(tmp_path), pytest.raises(LogError, match="open already"):
        opened(tmp_path)
    opened(tmp_path).close()
    with pytest.raises(OptionError, match="wants a folder"):
        replicate(dict, log="file")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_does_not_write_to_its_parents_folder(tmp_path):
    """It would write in the middle of the parent's records. It may read, and end."""
    m = opened(tmp_path)
    m["a"] = 1

    def child():
        assert m["a"] == 1
        with pytest.raises(LogError, match="belongs to the process that opened it"):
            m["a"] = 2
        with pytest.raises(LogError, match="belongs to the process that opened it"):
            m.checkpoint()
        m.close()

    in_child(child)
    m["a"] = 3
    m.close()
    with opened(tmp_path) as again:
        assert again == {"a": 3}


def test_a_batch_is_flushed_once_for_all_who_wait(tmp_path):
    """At most as many flushes as batches, and none without a batch."""
    m = replicate(dict, log=f"file://{tmp_path}", replicas=1)
    in_threads(4, lambda index: [m.__setitem__((index, number), 0) for number in range(25)])
    figures = m.statistics().replicas[0]
    batches = figures.rounds - figures.batches["0"]
    assert m._group.log.flushes == batches <= 100
    m.close()
    with opened(tmp_path) as m:
        assert len(m) == 100


def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch):
    """Its issuer gets the error; what was half written is taken back."""
    m = opened(tmp_path, list)
    m.append(1)
    log = m._group.log
    write = log._write

    def fail(data):
        write(data[:7])
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(log, "_write", fail)
    with pytest.raises(OSError, match="no space"):
        m.append(2)
    monkeypatch.undo()
    assert list(m) == [1]
    m.append(3)
    m.close()
    with pytest.raises(LogError, match="is closed"):
        m.append(4)
    with opened(tmp_path, list) as m:
        assert list(m) == [1, 3]


def test_a_sealed_log_refuses_changes_and_answers_reads(tmp_path):
    """In files and in memory."""
    for m in (opened(tmp_path, list), replicate(list)):
        m.append(1)
        assert m._group.log.seal() == 1
        with pytest.raises(LogSealedError):
            m.append(2)
        assert list(m) == [1]


def test_values_are_not_shared_between_copies_that_get_bytes(tmp_path):
    """Each decodes its own."""
    with opened(tmp_path, replicas=2) as m:
        m["a"] = []
        m._check()
        one, two = (replica.state.structure["a"] for replica in m._group.replicas)
        assert one == two == []
        assert one is not two


def test_another_codec_can_be_given(tmp_path):
    """Operations are what the structure's methods are called with."""

    class Json(Codec):
        def encode(self, value):
            return json.dumps(value).encode()

        def decode(self, data):
            value = json.loads(data)
            return (value[0], tuple(value[1]), value[2]) if isinstance(value, list) else value

    with opened(tmp_path, codec=Json()) as m:
        m["a"] = 1
        with pytest.raises(TypeError):
            m["b"] = object()
    assert b'["__setitem__", ["a", 1], {}]' in segments(tmp_path)[0].read_bytes()
    with opened(tmp_path, codec=Json()) as m:
        assert m == {"a": 1}
