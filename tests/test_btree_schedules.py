"""The B+ tree under the deterministic scheduler: every interleaving, within bounds, of small scenarios."""

from __future__ import annotations

import pytest

import intermodal
from intermodal.testing.scenarios import Call, calls_on, concurrently
from intermodal.testing.scheduler import explore
from intermodal_btree import BTreeMap
from intermodal_btree._state import BTreeState

pytestmark = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")

HERE, THERE = 30, 35  # a key that is there, and one that is not


def narrow():
    """Return an empty map with four entries a node."""
    return BTreeMap(BTreeState(4))


def roomy(m):
    """One leaf, with room."""
    m.update((number, number) for number in (10, 30, 50))


def full(m):
    """One leaf, the root, that is full: the next insertion splits it, and makes a new root."""
    m.update((number, number) for number in (10, 20, 30, 40))


def crowded(m):
    """Two leaves, the one of the keys full: the next insertion splits it in its parent."""
    m.update((number, number) for number in (10, 20, 50, 60, 30, 40))
    assert m.statistics().depth == 2


def crowded_root(m):
    """Four leaves in a full root, the one of the keys full: the next insertions split both."""
    m.update((number, number) for number in (10, 20, 70, 80, 90, 100, 110, 120, 75, 85, 30, 40))
    assert m.statistics().depth == 2


def sparse(m):
    """Two leaves: the next removal merges them, and makes the leaf the root."""
    m.update((number, number) for number in (10, 20, 30, 40, 50))
    m.pop(20)
    assert m.statistics().depth == 2


def strange(m):
    """Keys of another kind, with which the encoding of the leaf must change."""
    m.update({10: 10, 30: 30, 50.5: 50})
    m.pop(50.5)
    m.update({40.5: 40})


SITUATIONS = [roomy, full, crowded, sparse]
A, B = calls_on(HERE, "A"), calls_on(HERE, "B")
NEW_A, NEW_B = calls_on(THERE, "A"), calls_on(THERE, "B")


def either(name, otherwise):
    """Return a call of a method of the tree, or, on a map that has not got it, of *otherwise*."""
    return Call(name, lambda m: getattr(m, name)() if hasattr(m, name) else otherwise(m))


def least(m):
    """Return the first entry of any map."""
    return min(m.items(), default=None)


def take_least(m):
    """Remove and return the first entry of any map."""
    if not len(m):
        raise KeyError("pop_first(): map is empty")
    key, value = min(m.items())
    m.pop(key)
    return key, value


FIRST = either("first", least)
POP_FIRST = either("pop_first", take_least)
SNAPSHOT = Call("snapshot", lambda m: dict(m.snapshot() if hasattr(m, "_state") else m))
CLEAR = Call("clear", lambda m: m.clear())
LOWEST = calls_on(5, "low")
PAIRS = [
    (A["get"], B["pop"]),
    (A["get"], NEW_B["insert"]),
    (A["set"], B["pop"]),
    (A["compute"], B["set"]),
    (A["pop"], B["pop"]),
    (NEW_A["insert"], NEW_B["insert"]),
    (NEW_A["insert"], B["pop"]),
    (NEW_A["get"], NEW_B["insert"]),
    (FIRST, LOWEST["insert"]),
    (POP_FIRST, LOWEST["insert"]),
    (POP_FIRST, POP_FIRST),
    (SNAPSHOT, NEW_B["insert"]),
    (CLEAR, NEW_B["insert"]),
    (CLEAR, B["get"]),
]


def names(value):
    """Return a test's id."""
    if isinstance(value, (tuple, list)):
        return " | ".join(map(names, value))
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("pair", PAIRS, ids=names)
@pytest.mark.parametrize("situation", SITUATIONS, ids=names)
def test_two_operations_take_effect_one_after_the_other(situation, pair):
    """Wherever one of them is interrupted: splits, merges, a new root, a root less, among them."""
    scenario = concurrently(narrow, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("pair", [PAIRS[1], PAIRS[6], PAIRS[8], PAIRS[12]], ids=names)
@pytest.mark.parametrize("situation", [crowded_root, strange], ids=names)
def test_two_operations_in_rarer_situations(situation, pair):
    """Two levels are split, or a leaf's encoding changes."""
    scenario = concurrently(narrow, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1).complete


STRUCTURAL = [
    (A["get"], B["pop"]),
    (NEW_A["insert"], B["pop"]),
    (A["get"], NEW_B["insert"]),
    (SNAPSHOT, B["pop"]),
]


@pytest.mark.parametrize("pair", STRUCTURAL, ids=names)
@pytest.mark.parametrize("situation", [full, crowded, sparse], ids=names)
def test_two_operations_that_change_the_shape(situation, pair):
    """Each of them interrupted, or one twice."""
    scenario = concurrently(narrow, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=2).complete


LONGER = [
    # What is found in an entry belongs to the key that was looked for, though the entry is used again meanwhile.
    ([A["get"]], [B["pop"], NEW_B["insert"]]),
    ([A["get"]], [B["pop"], B["insert"]]),
    ([NEW_A["get"], A["get"]], [NEW_B["insert"], B["pop"]]),
    ([FIRST, FIRST], [LOWEST["insert"], LOWEST["pop"]]),
]


@pytest.mark.parametrize("threads", LONGER, ids=names)
@pytest.mark.parametrize("situation", [roomy, full, crowded, sparse], ids=names)
def test_several_operations_take_effect_in_some_order(situation, threads):
    """Each thread's own order is kept."""
    assert explore(concurrently(narrow, *threads, prepare=situation), preemptions=1).complete


@pytest.mark.parametrize("threads", LONGER[:2], ids=names)
def test_an_entry_that_is_used_again_is_not_taken_for_what_it_was(threads):
    """By a reader that is interrupted between two looks at it."""
    assert explore(concurrently(narrow, *threads, prepare=roomy), preemptions=2).complete


@pytest.mark.parametrize("pair", STRUCTURAL, ids=names)
@pytest.mark.parametrize("situation", [roomy, full, sparse], ids=names)
def test_the_memory_orders_suffice(situation, pair):
    """Also if one read gets the oldest value that its memory order allows."""
    scenario = concurrently(narrow, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1, older=1).complete


@pytest.mark.parametrize("threads", LONGER[:2], ids=names)
def test_the_memory_orders_suffice_where_an_entry_is_used_again(threads):
    """The reader's last look is after all others; the writer's new version is before all that it stores."""
    assert explore(concurrently(narrow, *threads, prepare=roomy), preemptions=1, older=1).complete


def pair(m):
    """One leaf, with room for two more."""
    m.update((number, number) for number in (HERE, 50))


def test_a_permutation_that_is_written_again_is_not_taken_for_what_it_was():
    """After two changes the reader looks at what the second one writes: its fence, and the writer's, tell it so."""
    threads = [A["get"]], [LOWEST["insert"], NEW_B["insert"]]
    assert explore(concurrently(narrow, *threads, prepare=pair), preemptions=1, older=1).complete


def both_full(m):
    """Two leaves, both full: splitting one gives back the node that splitting the other takes."""
    crowded(m)
    m.update({70: 70, 80: 80})


@pytest.mark.parametrize("read", [A["get"], A["set"], NEW_A["insert"]], ids=names)
def test_a_node_that_is_used_again_is_not_taken_for_what_it_was(read):
    """Who has the address of a leaf only looks at the parent once more."""
    threads = [read], [NEW_B["insert"], calls_on(65, "high")["insert"]]
    assert explore(concurrently(narrow, *threads, prepare=both_full), preemptions=1).complete


def scanning(situation, reverse, *changes):
    """Return the scenario of a scan beside *changes*: what stays is found once and in order, nothing else but them."""
    touched = {5, HERE, THERE}

    def scenario():
        m = narrow()
        situation(m)
        permanent = [key for key in m.snapshot() if key not in touched]
        found = []
        yield (
            lambda: found.extend(key for key, _ in m.range(reverse=reverse)),
            lambda: [change.outcome(m) for change in changes],
        )
        assert found == sorted(set(found), reverse=reverse), found
        assert [key for key in sorted(found) if key not in touched] == permanent, found
        m._check()

    return scenario


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "changes", [(NEW_B["insert"],), (B["pop"],), (LOWEST["insert"], NEW_B["insert"])], ids=names
)
@pytest.mark.parametrize("situation", [full, crowded, sparse], ids=names)
def test_a_scan_finds_what_stays_exactly_once(situation, changes, reverse):
    """While the leaves that it is at, or comes to, are split and merged."""
    assert explore(scanning(situation, reverse, *changes), preemptions=1).complete
