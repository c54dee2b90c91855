"""The trie under the deterministic scheduler: every interleaving, within bounds, of small scenarios."""

from __future__ import annotations

import itertools

import pytest

import intermodal
from intermodal.atomics import mix
from intermodal.testing.scenarios import Call, calls_on, concurrently
from intermodal.testing.scheduler import explore
from intermodal_trie import TrieMap

pytestmark = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")

HERE = 1
#: Keys whose hashes begin as that of HERE does: they share a node below the root, and no other.
THERE, THIRD = list(
    itertools.islice(
        (
            key
            for key in range(2, 100_000)
            if (mix(key) ^ mix(HERE)) & 63 == 0 and (mix(key) ^ mix(HERE)) & 4032
        ),
        2,
    )
)
A, B = calls_on(HERE, "A"), calls_on(THERE, "B")
SAME = calls_on(HERE, "C")
ITEMS = Call("items", lambda m: sorted(m.items()))
LENGTH = Call("len", len)
CLEAR = Call("clear", lambda m: m.clear())


def pair(m):
    """Two entries in a node below the root: a removal leaves a tomb."""
    m.update({HERE: "here", THERE: "there"})


class Frozen(TrieMap):
    """A trie of which a snapshot was taken just now: the first write has to copy its way."""

    def items(self):
        self.kept = self.snapshot()
        return self.kept.items()


class Thawed(TrieMap):
    """A trie of which a snapshot was taken, but the way to HERE has been written to since."""

    def items(self):
        kept = self.snapshot()
        if HERE in kept:
            self[HERE] = kept[HERE]
        return kept.items()


def names(value):
    """Return a test's id."""
    if isinstance(value, (list, tuple)):
        return " | ".join(map(str, value))
    return getattr(value, "__name__", str(value))


PAIRS = [
    (A["pop"], B["pop"]),
    (A["pop"], B["set"]),
    (A["pop"], B["get"]),
    (A["pop"], SAME["insert"]),
    (A["pop"], SAME["pop"]),
    (A["set"], SAME["set"]),
    (A["set"], SAME["compute"]),
    (A["set"], B["set"]),
    (A["pop"], calls_on(THIRD, "D")["insert"]),
]
WHOLE = [(write, whole) for write in (A["set"], A["pop"]) for whole in (ITEMS, LENGTH, CLEAR)]


@pytest.mark.parametrize("calls", PAIRS, ids=names)
@pytest.mark.parametrize("new_map", [Frozen, Thawed], ids=names)
def test_two_operations_take_effect_one_after_the_other(new_map, calls):
    """Also where one meets the other's tomb, or copies the same way."""
    scenario = concurrently(new_map, [calls[0]], [calls[1]], prepare=pair)
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("calls", WHOLE, ids=names)
@pytest.mark.parametrize("new_map", [Frozen, Thawed], ids=names)
def test_a_write_is_before_or_after_what_is_of_one_moment(new_map, calls):
    """Wherever one of them is interrupted, or one of them twice."""
    scenario = concurrently(new_map, [calls[0]], [calls[1]], prepare=pair)
    assert explore(scenario, preemptions=2).complete


def changing_snapshot():
    """A snapshot is read twice while a write, begun before it, goes on."""
    m = TrieMap({HERE: "here", THERE: "there"})  # all of its branches are of the first generation

    def read_twice():
        kept = m.snapshot()
        return [kept[HERE], kept[HERE], m[HERE]]

    def write():
        m[HERE] = "new"

    (seen, _) = yield (read_twice, write)
    assert seen[0] == seen[1], "a snapshot has changed"
    assert (seen[0], seen[2]) != ("new", "here"), "the map is older than its snapshot"
    assert m[HERE] == "new"
    m._check()


def test_a_snapshot_does_not_change():
    """A write that has begun in the old generation is in it from the start, or never."""
    assert explore(changing_snapshot, preemptions=2).complete


def test_a_snapshot_is_right_where_stores_are_seen_late():
    """The fences order the putting in of a node before the look at the root, and the root before the reads."""
    explore(changing_snapshot, preemptions=1, older=1)
