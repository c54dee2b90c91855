"""What the trie has of its own: snapshots that share with the map, collisions, compression, sizes that are kept."""

from __future__ import annotations

import gc
import itertools
import pickle
import random
import weakref
from collections.abc import Mapping

import pytest

import intermodal
from intermodal import ABSENT, atomics
from intermodal.atomics import mix
from intermodal.testing.lifetimes import Ledger
from intermodal.testing.subjects import scale
from intermodal.testing.threads import in_threads, run_threads
from intermodal_trie import TrieMap, TrieSnapshot, _nodes


class Colliding:
    """A key with a chosen hash."""

    def __init__(self, name, hash_value=7):
        self.name, self.hash_value = name, hash_value

    def __hash__(self):
        return self.hash_value

    def __eq__(self, other):
        return isinstance(other, Colliding) and self.name == other.name


#: Keys alike in two levels of the trie, alike in all, and others.
ALIKE = [key for key in range(200_000) if (mix(key) ^ mix(0)) & 4095 == 0][:30]
CHAINS = [*ALIKE[:3], Colliding("one", 77), Colliding("other", 77), *range(1, 30)]
ABSENT_KEY = ALIKE[3]


def test_snapshots_stay_as_they_were():
    """Whatever is done to the map, and however many there are."""
    m, model, kept = TrieMap(), {}, []
    choice = random.Random(1)
    for number in range(1200):
        key = choice.randrange(120)
        if choice.random() < 0.6:
            m[key] = model[key] = number
        else:
            assert m.pop(key, None) == model.pop(key, None)
        if number == 700:
            m.clear()
            model.clear()
        if number % 60 == 0:
            kept.append((m.snapshot(), dict(model)))
            m._check()
    for snapshot, expected in kept:
        assert dict(snapshot) == expected
        assert len(snapshot) == len(expected)
        assert all(snapshot.get(key, ABSENT) == expected.get(key, ABSENT) for key in range(120))


def test_a_snapshot_is_a_read_only_mapping():
    """It compares, prints and pickles as one, and without writes there is only one generation more."""
    m = TrieMap(a=1)
    snapshot = m.snapshot()
    assert isinstance(snapshot, (Mapping, TrieSnapshot))
    assert snapshot == {"a": 1}
    assert repr(snapshot) == "TrieSnapshot({'a': 1})"
    assert pickle.loads(pickle.dumps(snapshot)) == {"a": 1}
    assert "a" in snapshot
    assert "b" not in snapshot
    with pytest.raises(KeyError, match="b"):
        snapshot["b"]
    with pytest.raises(TypeError):
        snapshot["a"] = 2
    generation = m.statistics().generation
    assert [len(m.snapshot()) for _ in range(3)] == [1, 1, 1]
    assert m.statistics().generation == generation


def test_a_snapshot_outlives_its_map_and_holds_what_was_removed():
    """And lets go of it."""
    ledger = Ledger()
    m = TrieMap((number, ledger.value()) for number in range(100))
    snapshot = m.snapshot()
    m.clear()
    ledger.expect(100)
    del m
    assert len(snapshot) == 100
    ledger.expect(100)
    del snapshot
    ledger.expect(0)


def test_keys_of_equal_hash_share_a_list_at_the_end():
    """And leave nothing behind."""
    m = TrieMap()
    keys = [Colliding(number) for number in range(20)]
    for number, key in enumerate(keys):
        m[key] = number
        m._check()
    m[Colliding("other", 7 + 2**60)] = "other"
    snapshot = m.snapshot()
    assert [m[key] for key in keys] == list(range(20)) == [snapshot[key] for key in keys]
    assert Colliding(99) not in m
    for key in keys:
        del m[key]
        m._check()
    assert list(m.values()) == ["other"]
    assert len(snapshot) == 21


def test_removals_compress_the_trie():
    """Of keys whose hashes begin alike one alone is left in the root."""
    m = TrieMap.fromkeys(ALIKE)
    for number, key in enumerate(ALIKE[1:], start=2):
        del m[key]
        m._check()
        assert len(m) == len(ALIKE) + 1 - number
    assert list(m) == ALIKE[:1]


def test_len_and_iteration_are_of_one_moment_beside_writers():
    """A writer keeps the number of entries at 50 or 51, and the newest two adjacent."""
    m = TrieMap((number, number) for number in range(50))

    def work(index):
        view = m.handle()
        if index == 0:
            for number in range(50, 400):
                view[number] = number
                del view[number - 50]
            return
        for _ in range(60):
            assert len(view) in (50, 51)
            found = sorted(view)
            assert found == list(range(found[0], found[0] + len(found)))
            assert len(found) in (50, 51)

    in_threads(2, work)
    m._check()


def test_a_write_that_changes_nothing_copies_nothing():
    """After a snapshot, too: the next one is the same."""
    m = TrieMap((number, number) for number in range(500))
    generation = m.statistics().generation
    assert not m.insert(7, "other")
    assert m.setdefault(8, "other") == 8
    assert not m.compare_and_set(9, "other", "new")
    assert m.pop("missing", None) is None
    assert m.statistics().generation == generation
    m[7] = "new"
    assert m.statistics().generation == generation + 1


def test_clear_lets_go_of_everything_but_what_snapshots_have():
    """Without a flush, a collection, or another operation."""
    ledger = Ledger()
    m = TrieMap((number, ledger.value()) for number in range(300))
    other = m.handle()
    assert 5 in other
    kept = m.snapshot()
    for number in range(200):
        m[number] = ledger.value()
    assert ledger.live() == 500
    m.clear()
    assert ledger.live() == 300
    del kept
    assert ledger.live() == 0


def test_a_map_that_is_in_its_own_old_versions_is_collected():
    """Nothing but snapshots keeps what was replaced."""
    m = TrieMap((number, number) for number in range(100))
    m["self"] = m
    m.snapshot()
    for number in range(100):
        m[number] = -number
    reference = weakref.ref(m)
    del m
    gc.collect()
    assert reference() is None


OPERATIONS = {
    "set": lambda m, key: m.__setitem__(key, "new"),
    "insert": lambda m, key: m.insert(key, "new"),
    "pop": lambda m, key: m.pop(key, None),
    "get": lambda m, key: m.get(key),
    "compute": lambda m, key: m.compute(key, lambda old: ABSENT if old is None else "computed"),
    "clear": lambda m, _: m.clear(),
    "snapshot": lambda m, _: m.snapshot(),
    "len": lambda m, _: len(m),
}


@pytest.mark.skipif(intermodal.__compiled__, reason="compiled, the allocation cannot be replaced")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_memory_that_cannot_be_had_leaves_the_map_as_it_was(operation, monkeypatch):
    """Wherever it is missing; a removal that has succeeded does not fail for want of it."""
    missing = [0]
    real = atomics.cell_new

    def scarce(*sizes):
        missing[0] -= 1
        if missing[0] < 0:
            raise MemoryError
        return real(*sizes)

    for key in (CHAINS[0], CHAINS[3], ABSENT_KEY, 20):
        failed = True
        for number in itertools.count():
            m = TrieMap((each, each) for each in CHAINS)
            before = dict(m.snapshot())
            with monkeypatch.context() as patch:
                patch.setattr(_nodes, "cell_new", scarce)
                missing[0] = number
                try:
                    OPERATIONS[operation](m, key)
                    failed = False
                except MemoryError:
                    pass
            m._check()
            after = TrieMap(before)
            if not failed:
                OPERATIONS[operation](after, key)
            assert m == after
            m.update(before)
            if not failed:
                break


def test_a_branch_is_kept_while_its_node_is_taken():
    """Though the node above, which alone keeps it, is replaced meanwhile: a reader counts one of them only."""
    m = TrieMap()
    stay = [f"stays {number}" for number in range(300)]
    m.update((key, key) for key in stay)
    finished = []

    def churn():
        with m.handle() as mine:
            number = 0
            while not finished:
                mine[f"comes {number % 2700}"] = number
                mine.pop(f"comes {number % 2700}")
                number += 7919

    def look():
        try:
            with m.handle() as mine:
                for _ in range(scale(2000, 5)):
                    for key in stay:
                        assert mine[key] == key
        finally:
            finished.append(True)

    run_threads(churn, look)
    m._check()
    assert len(m) == len(stay)
