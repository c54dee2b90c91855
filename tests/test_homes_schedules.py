"""hopscotch and chained under the deterministic scheduler: every interleaving, within bounds, of small scenarios.

Among them the hazards of the techniques that they are made with: hopscotch's lost insertion, transient miss and
duplicate, the miss of a chain whose nodes are replaced, and the write that a resize loses. Each has a scenario
that fails as soon as the rule that excludes it is left out; tests/mutants has the rules left out.
"""

from __future__ import annotations

import itertools

import attrs
import pytest
from helpers.resizing import reader_beside_moves, resize, settle

import intermodal
from intermodal import tables
from intermodal.atomics import fast_range, mix
from intermodal.tables import COPY
from intermodal.testing.scenarios import Call, calls_on, concurrently
from intermodal.testing.scheduler import explore
from intermodal_chained import ChainedMap
from intermodal_chained import _state as chained_state
from intermodal_hopscotch import HopscotchMap
from intermodal_hopscotch import _state as hopscotch_state
from intermodal_hopscotch import _table as hopscotch

pytestmark = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")


@attrs.frozen
class Technique:
    """A kind of map, and where its smallest size is said."""

    name: str
    new: type
    module: object
    least: str


TECHNIQUES = [
    Technique("hopscotch", HopscotchMap, hopscotch_state, "MINIMUM_HOMES"),
    Technique("chained", ChainedMap, chained_state, "MINIMUM_BUCKETS"),
]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few homes are moved at a time: small tables show every phase."""
    monkeypatch.setattr(tables, "HELP_SLOTS", 1)
    monkeypatch.setattr(tables, "READ_HELP_SLOTS", 1)


def with_homes(technique, homes):
    """Return what makes maps that begin with so few homes."""
    state = {"hopscotch": hopscotch_state.HopscotchState, "chained": chained_state.ChainedState}
    return lambda: technique.new(state[technique.name](homes))


def key_of(home, homes, nth=0):
    """Return the *nth* int whose home it is in a table of so many."""
    found = (number for number in itertools.count() if fast_range(mix(number), homes) == home)
    return next(itertools.islice(found, nth, None))


# ---- all operations, in all phases -------------------------------------------------------------------------

HERE, THERE = 3, 100  # a key that is there, and one that is not


def still(m):
    """Three entries in four homes."""
    m.update((number, number) for number in (1, 2, HERE))


def growing(m):
    """Three entries, and one of 4 homes moved to a table of 6."""
    still(m)
    resize(m, 6)


def shrinking(m):
    """Three entries, and one of 8 homes moved to a table of 4."""
    still(m)
    resize(m, 8)
    settle(m)
    resize(m, 4)


SITUATIONS = [still, growing, shrinking]
A, B = calls_on(HERE, "A"), calls_on(HERE, "B")
NEW_A, NEW_B = calls_on(THERE, "A"), calls_on(THERE, "B")
PAIRS = [
    *(
        (A[first], B[second])
        for first, second in itertools.combinations_with_replacement(["get", "set", "pop", "compute"], 2)
    ),
    *((NEW_A["insert"], NEW_B[second]) for second in ("get", "insert", "pop")),
    (NEW_A["insert"], B["pop"]),
]
LONGER = [
    # What is found in a slot belongs to the key that was looked for, though the slot is used again meanwhile.
    ([A["get"]], [B["pop"], NEW_B["insert"]]),
    ([NEW_A["get"]], [NEW_B["insert"], NEW_B["pop"]]),
    ([A["compute"], A["get"]], [B["pop"], B["insert"]]),
]
THREE = ([NEW_A["insert"]], [NEW_B["insert"]], [NEW_B["pop"]])
CLEAR = Call("clear", lambda m: m.clear())


def names(value):
    """Return a test's id."""
    if isinstance(value, tuple):
        return " | ".join(" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)
    return getattr(value, "name", getattr(value, "__name__", str(value)))


each_technique = pytest.mark.parametrize("technique", TECHNIQUES, ids=names)


@pytest.mark.parametrize("pair", PAIRS, ids=names)
@pytest.mark.parametrize("situation", SITUATIONS, ids=names)
@each_technique
def test_two_operations_take_effect_one_after_the_other(technique, situation, pair):
    """Wherever one of them is interrupted."""
    scenario = concurrently(with_homes(technique, 4), [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("threads", LONGER, ids=names)
@pytest.mark.parametrize("situation", [still, growing], ids=names)
@each_technique
def test_several_operations_take_effect_in_some_order(technique, situation, threads):
    """Each thread's own order is kept."""
    assert explore(
        concurrently(with_homes(technique, 4), *threads, prepare=situation), preemptions=1
    ).complete


@each_technique
def test_three_operations_take_effect_in_some_order(technique):
    """On one key that is not there at first."""
    assert explore(concurrently(with_homes(technique, 4), *THREE, prepare=still), preemptions=1).complete


@pytest.mark.parametrize(
    "pair", [(A["get"], B["pop"]), (A["set"], B["pop"]), (NEW_A["insert"], NEW_B["get"])], ids=names
)
@pytest.mark.parametrize("situation", [still, growing], ids=names)
@each_technique
def test_the_memory_orders_suffice(technique, situation, pair):
    """Also if one read gets the oldest value that its memory order allows."""
    scenario = concurrently(with_homes(technique, 4), [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1, older=1).complete


@pytest.mark.parametrize("other", [A["get"], NEW_A["insert"], A["pop"]], ids=str)
@each_technique
def test_clearing_removes_what_was_there(technique, other):
    """An operation on one key comes before or after it."""
    scenario = concurrently(with_homes(technique, 4), [CLEAR], [other], prepare=still)
    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("other", [A["pop"], NEW_A["insert"]], ids=str)
@pytest.mark.parametrize("situation", [still, growing], ids=names)
@each_technique
def test_iteration_yields_what_stays_once(technique, situation, other):
    """And no key twice, whatever is moved meanwhile."""

    def scenario():
        m = with_homes(technique, 4)()
        situation(m)
        before = dict(m.items())
        seen, _ = yield lambda: list(m.items()), lambda: other.outcome(m.handle())
        keys = [key for key, _ in seen]
        assert len(keys) == len(set(keys)), seen
        assert {HERE} >= set(before) - set(keys), seen
        assert {HERE, THERE} >= {key for key, value in seen if before.get(key) != value}, seen
        m._check()

    assert explore(scenario, preemptions=1).complete


@each_technique
def test_an_insertion_is_counted_by_a_resize_or_sees_it(technique):
    """Otherwise the next table promises a slot that an entry to be moved needs: the fence between the two."""

    def scenario():
        m = with_homes(technique, 4)()
        still(m)
        yield lambda: m._state.start(m._state.table, 8, COPY), lambda: m.handle().insert(THERE, "B")
        m._check()
        settle(m)
        m._check()
        assert len(m) == 4

    assert explore(scenario, preemptions=1, older=2, runs=300).longest > 20


@each_technique
def test_a_reader_waits_for_nobody(technique, monkeypatch):
    """Wherever the threads that move homes and write are interrupted; so reads are lock-free."""

    def resizing_map():
        m = with_homes(technique, 4)()
        growing(m)
        return m

    scenario = reader_beside_moves(monkeypatch, resizing_map, (1, 2, HERE), looks=2, moves=4)
    assert explore(scenario, preemptions=1).complete


# ---- hopscotch's three hazards -----------------------------------------------------------------------------


@pytest.fixture
def neighbours(monkeypatch):
    """Neighbourhoods of two slots, of which displacements are easily had."""
    monkeypatch.setattr(hopscotch, "NEIGHBOURS", 2)
    monkeypatch.setattr(hopscotch, "bit_of", lambda distance: 1 << (hopscotch.FIRST_BIT + distance))


HOMES = 4
# Of home 0 three keys, of home 1 two.
FIRST, SECOND, THIRD = (key_of(0, HOMES, nth) for nth in range(3))
VICTIM = key_of(1, HOMES)


def displaceable(m):
    """Home 0 has slot 0, home 1 slot 1: a second entry of home 0 displaces the other's to slot 2."""
    m[FIRST] = "first"
    m[VICTIM] = "victim"


def new_hopscotch():
    return with_homes(TECHNIQUES[0], HOMES)()


def displacement():
    """Return the call that displaces VICTIM."""
    return calls_on(SECOND, "displacer")["insert"]


@pytest.mark.usefixtures("neighbours")
def test_the_scenarios_displace():
    """Otherwise they would show nothing."""
    m = new_hopscotch()
    displaceable(m)
    before = hopscotch.bitmap_of(hopscotch.load(m._state.table.lock_of_home(1), hopscotch.ACQUIRE))
    m[SECOND] = "displacer"
    after = hopscotch.bitmap_of(hopscotch.load(m._state.table.lock_of_home(1), hopscotch.ACQUIRE))
    assert (before, after) == (0b01, 0b10)
    m._check()


@pytest.mark.usefixtures("neighbours")
def test_no_insertion_is_lost_to_a_removal_of_the_same_home():
    """Hazard 1: the removal empties a slot, the insertion takes it and sets the bit, the removal clears the bit."""
    scenario = concurrently(
        new_hopscotch,
        [calls_on(FIRST, "")["pop"]],
        [calls_on(SECOND, "new")["insert"], calls_on(SECOND, "")["get"]],
        prepare=lambda m: m.__setitem__(FIRST, "first"),
    )
    assert explore(scenario, preemptions=2).complete


@pytest.mark.usefixtures("neighbours")
def test_no_reader_misses_an_entry_that_is_displaced():
    """Hazard 2: the reader finds the old slot emptied, and had read the bitmap before the new one was in it."""
    scenario = concurrently(
        new_hopscotch, [displacement()], [calls_on(VICTIM, "")["get"]], prepare=displaceable
    )
    assert explore(scenario, preemptions=2).complete
    assert explore(scenario, preemptions=1, older=1).complete


@pytest.mark.parametrize("name", ["insert", "set", "compute", "pop"])
@pytest.mark.usefixtures("neighbours")
def test_no_displaced_entry_gets_a_duplicate(name):
    """Hazard 3: a writer of the same key looks while it is between two slots, and inserts it again."""
    scenario = concurrently(
        new_hopscotch, [displacement()], [calls_on(VICTIM, "again")[name]], prepare=displaceable
    )
    assert explore(scenario, preemptions=2).complete


@pytest.mark.usefixtures("neighbours")
def test_two_displacements_at_once_do_not_wait_in_a_circle():
    """Each holds the lock of its home and wants that of an entry; both end, and nothing is lost."""
    other = calls_on(key_of(1, HOMES, 1), "other")["insert"]
    scenario = concurrently(new_hopscotch, [displacement()], [other], prepare=displaceable)
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("other", ["get", "pop", "insert"])
@pytest.mark.usefixtures("neighbours")
def test_far_entries_are_found_and_counted(other):
    """A home that has more entries than slots near it: one goes away while another is looked for."""

    def crowded(m):
        m.update((key, str(key)) for key in (FIRST, SECOND, THIRD))

    fourth = key_of(0, HOMES, 3)
    scenario = concurrently(
        new_hopscotch,
        [calls_on(FIRST, "A")["pop"]],
        [calls_on(fourth if other == "insert" else THIRD, "B")[other]],
        prepare=crowded,
    )
    assert explore(scenario, preemptions=1).complete
    far = concurrently(
        new_hopscotch, [calls_on(THIRD, "A")["pop"]], [calls_on(FIRST, "B")["get"]], prepare=crowded
    )
    assert explore(far, preemptions=1).complete


@pytest.mark.usefixtures("neighbours")
def test_a_far_entry_that_is_being_removed_is_not_taken_for_another():
    """By a reader that counts the far entries it meets, and has the number and the word from after the removal."""
    keys = [key_of(0, 8, nth) for nth in range(4)]
    for leaves, stays in itertools.permutations(keys[2:]):
        scenario = concurrently(
            with_homes(TECHNIQUES[0], 8),
            [calls_on(leaves, "")["pop"]],
            [calls_on(stays, "")["get"]],
            prepare=lambda m: m.update((key, str(key)) for key in keys),
        )
        assert explore(scenario, preemptions=2).complete


@pytest.mark.usefixtures("neighbours")
def test_a_far_entry_that_comes_hides_none_that_is_there():
    """A reader that has the old number of far entries meets the new one before the one that it looks for."""
    *stay, leaves, sought, comes = (key_of(0, 8, nth) for nth in range(5))

    def prepare(m):
        m.update((key, str(key)) for key in (*stay, leaves, sought))
        del m[leaves]

    scenario = concurrently(
        with_homes(TECHNIQUES[0], 8),
        [calls_on(comes, "new")["insert"]],
        [calls_on(sought, "")["get"]],
        prepare=prepare,
    )
    assert explore(scenario, preemptions=2).complete


# ---- chained's two -----------------------------------------------------------------------------------------


def test_no_reader_misses_a_key_whose_value_is_replaced():
    """As where a node is marked and taken out before the new one is in the chain. With a helper, a third thread."""
    new = with_homes(TECHNIQUES[1], 1)
    keys = [key_of(0, 1, nth) for nth in range(3)]

    def chain(m):
        m.update((key, "old") for key in keys)

    for key in keys:
        scenario = concurrently(
            new,
            [calls_on(key, "new")["set"]],
            [calls_on(key, "")["get"]],
            [calls_on(keys[1], "")["pop"]] if key != keys[1] else [calls_on(keys[0], "")["pop"]],
            prepare=chain,
        )
        assert explore(scenario, preemptions=1).complete


def test_a_chain_that_changes_under_a_reader_does_not_lead_it_astray():
    """The node that it looks at is taken out, and put into another bucket's chain."""
    new = with_homes(TECHNIQUES[1], 2)
    here = [key_of(0, 2, nth) for nth in range(2)]
    there = [key_of(1, 2, nth) for nth in range(2)]

    def chains(m):
        m.update((key, "old") for key in here)

    scenario = concurrently(
        new,
        [calls_on(here[0], "")["get"]],
        [calls_on(here[1], "")["pop"], calls_on(there[0], "new")["insert"]],
        prepare=chains,
    )
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("sought", [0, 1])
def test_a_node_that_is_being_removed_does_not_lead_a_reader_astray(sought):
    """Who has the bucket's word from after the removal does not come to the node, which another chain gets."""
    here = [key_of(0, 8, nth) for nth in range(3)]  # nodes 2, 1, 0 in this order
    scenario = concurrently(
        with_homes(TECHNIQUES[1], 8),
        [calls_on(here[sought], "")["get"]],
        [calls_on(here[1], "")["pop"]],
        [calls_on(key_of(1, 8), "new")["insert"]],  # it takes node 1 if it can
        prepare=lambda m: m.update((key, "old") for key in here),
    )
    assert explore(scenario, preemptions=2).complete


def test_no_write_is_lost_to_a_resize():
    """Whoever changes a bucket that is being moved finds that out."""
    scenario = concurrently(
        with_homes(TECHNIQUES[1], 4),
        [Call("help", lambda m: getattr(m, "_state", None) and m._state.help(4))],
        [calls_on(HERE, "B")["set"], calls_on(HERE, "B")["get"]],
        prepare=growing_both,
    )
    assert explore(scenario, preemptions=2).complete


def growing_both(m):
    """As growing(), also of the map that only says what is right."""
    still(m)
    if hasattr(m, "_state"):
        resize(m, 6)


def test_nodes_are_added_by_one_of_two_at_once():
    """A fixed number of buckets, and no free node: both insertions need more."""

    def scenario():
        m = ChainedMap.with_buckets(2)
        m[0] = 0

        def insert(key):
            m._state.table.add_nodes()
            m.handle().insert(key, "new")

        yield lambda: insert(10), lambda: insert(11)
        assert dict(m.items()) == {0: 0, 10: "new", 11: "new"}
        m._check()

    assert explore(scenario, preemptions=1).complete


def test_two_buckets_do_not_take_the_same_node():
    """The free one that is nearest to both."""
    scenario = concurrently(
        with_homes(TECHNIQUES[1], HOMES),
        [calls_on(key_of(1, HOMES, 1), "A")["insert"]],
        [calls_on(key_of(2, HOMES), "B")["insert"]],
        prepare=lambda m: m.__setitem__(VICTIM, "there"),
    )
    assert explore(scenario, preemptions=1).complete
