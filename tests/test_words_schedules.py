"""Typed maps under the deterministic scheduler: every interleaving, within bounds, of small scenarios."""

from __future__ import annotations

import itertools
from array import array

import pytest
from helpers.resizing import resize, settle

import intermodal
from intermodal import ABSENT, open_map, tables, words
from intermodal.atomics import fast_range, mix
from intermodal.tables import COPY
from intermodal.testing.scenarios import Call, concurrently
from intermodal.testing.scheduler import explore
from intermodal_chained import ChainedIntegers
from intermodal_chained._words import ChainedWordState
from intermodal_hopscotch import _words as hopscotch

pytestmark = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")

BACKENDS = ["swiss", "hopscotch", "chained"]


def full(m):
    """As many entries as the least table takes: the next insertion begins to enlarge it."""
    m.update((number, number) for number in range(m._state.grow_above(m._state.table)))


def roomy(m):
    """Three entries in the least table that is not full with two more, so nothing suggests a resize."""
    m.update((number, number) for number in (1, 2, 3))
    state = m._state
    while state.grow_above(state.table) < 5:
        resize(m, state.table.homes + 1)
        settle(m)


def growing(m):
    """Three entries, and most homes of a table moved to a larger one."""
    m.update((number, number) for number in (1, 2, 3))
    resize(m, 12)
    settle(m)
    resize(m, 16)


def shrinking(m):
    """Three entries, and most homes of a table moved to a small one."""
    m.update((number, number) for number in (1, 2, 3))
    resize(m, 12)
    settle(m)
    resize(m, m._state.homes_holding(8))


HERE, THERE, ELSEWHERE = 3, 100, 101  # a key that is there, and two that are not
SITUATIONS = [full, growing, shrinking]


def plus(old):
    return 1 if old is ABSENT else old + 1


def calls_on(key, value):
    """Return calls on one key, alone or in an array of one."""
    keys, values = array("q", [key]), array("q", [value])
    return {
        name: Call(f"{name}({key})", function)
        for name, function in {
            "get": lambda m: m.get(key, ABSENT),
            "set": lambda m: m.__setitem__(key, value),
            "pop": lambda m: m.pop(key, None),
            "insert": lambda m: m.insert(key, value),
            "increment": lambda m: m.increment(key) if hasattr(m, "increment") else m.compute(key, plus),
            "compute": lambda m: m.compute(key, plus),
            "get_many": lambda m: list(m.get_many(keys, -1)),
            "set_many": lambda m: m.set_many(keys, values),
            "insert_many": lambda m: (
                list(map(bool, m.insert_many(keys, values)))
                if hasattr(m, "insert_many")
                else [m.insert(key, value)]
            ),
            "pop_many": lambda m: list(m.pop_many(keys, -1)),
            "add_many": lambda m: (
                m.add_many(keys) if hasattr(m, "add_many") else (m.compute(key, plus), None)[1]
            ),
        }.items()
    }


A, B = calls_on(HERE, 1000), calls_on(HERE, 2000)
NEW_A, NEW_B = calls_on(THERE, 1000), calls_on(THERE, 2000)
OTHER_B = calls_on(ELSEWHERE, 2000)
PAIRS = [
    *(
        (A[first], B[second])
        for first, second in itertools.combinations_with_replacement(
            ["get_many", "set_many", "pop_many", "add_many", "pop", "increment"], 2
        )
    ),
    *(
        (NEW_A["insert_many"], NEW_B[second])
        for second in ("get_many", "insert_many", "add_many", "pop", "insert")
    ),
    (NEW_A["insert_many"], B["pop_many"]),
    (NEW_A["increment"], NEW_B["add_many"]),
]
LONGER = [
    # What is found in a slot belongs to the key that was looked for, though the slot is used again meanwhile.
    ([A["get_many"]], [B["pop"], NEW_B["insert"]]),
    ([A["get"]], [B["pop_many"], NEW_B["insert_many"]]),
    ([NEW_A["get_many"]], [NEW_B["insert"], NEW_B["pop"]]),
    ([A["add_many"], A["get"]], [B["pop"], B["insert"]]),
    ([A["pop_many"]], [B["pop"], NEW_B["insert"]]),
    ([NEW_A["insert_many"]], [OTHER_B["insert_many"]], [B["pop_many"]]),
]
CLEAR = Call("clear", lambda m: m.clear())
#: The loops are the same for all techniques: of the others only what calls all that a technique defines.
OWN_PAIRS = [
    (A["get_many"], B["pop_many"]),
    (A["get_many"], B["add_many"]),
    (A["pop_many"], B["pop"]),
    *((NEW_A["insert_many"], NEW_B[second]) for second in ("get_many", "pop", "insert")),
    (NEW_A["insert_many"], B["pop_many"]),
]
PAIRS_OF = {backend: PAIRS if backend == "swiss" else OWN_PAIRS for backend in BACKENDS}


def names(value):
    """Return a test's id."""
    if isinstance(value, tuple):
        return " | ".join(" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)
    return getattr(value, "__name__", str(value))


@pytest.fixture(params=BACKENDS)
def new_map(request, monkeypatch):
    """What makes a map of integers that begins with one home; helpers move so many homes at a time."""
    monkeypatch.setattr(hopscotch, "MINIMUM_HOMES", 1)

    def new():
        return open_map(request.param, key_type="int64", value_type="int64")

    home_slots = int(new()._state.table.home_slots)
    for module in (tables, words):
        monkeypatch.setattr(module, "HELP_SLOTS", 8 * home_slots)
        monkeypatch.setattr(module, "READ_HELP_SLOTS", 2 * home_slots)
    return new


@pytest.mark.parametrize(
    ("new_map", "situation", "pair"),
    [
        (backend, situation, pair)
        for backend in BACKENDS
        for situation in SITUATIONS
        for pair in PAIRS_OF[backend]
    ],
    ids=names,
    indirect=["new_map"],
)
def test_two_operations_take_effect_one_after_the_other(new_map, situation, pair):
    """Wherever one of them is interrupted, on ordinary CPython too: loops do not hold the GIL."""
    scenario = concurrently(new_map, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("pair", [pair for pair in OWN_PAIRS if pair[0] is NEW_A["insert_many"]], ids=names)
def test_a_key_is_inserted_once(new_map, pair):
    """Where nothing but its home's lock word tells that another thread was quicker."""
    assert explore(concurrently(new_map, [pair[0]], [pair[1]], prepare=roomy), preemptions=1).complete


def test_a_slot_that_another_home_uses_again_comes_with_a_new_version():
    """Swiss: an entry that overflows into a group takes the slot of one whose removal is not over."""
    keys = {home: [key for key in range(300) if fast_range(mix(key), 3) == home] for home in (1, 2)}
    (leaves, *_), (*crowd, comes) = keys[2], keys[1][:17]

    def prepare(m):
        resize(m, 3)
        settle(m)
        m.update((key, key) for key in (*crowd, leaves))

    leaving, coming = calls_on(leaves, 0), calls_on(comes, 1000)
    threads = [leaving["get_many"]], [leaving["pop"]], [coming["insert"]]
    scenario = concurrently(
        lambda: open_map("swiss", key_type="int64", value_type="int64"), *threads, prepare=prepare
    )
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("read", ["get", "get_many"])
def test_a_key_is_not_found_before_it_is_there(read):
    """Swiss: by the tag of another home's entry, which overflowed into the same slot; with that one's value."""
    keys = [[key for key in range(5000) if fast_range(mix(key), 3) == home] for home in (0, 1)]
    crowd = [*keys[0][:17], *keys[1][:16]]  # of the first home one overflows, so searches go on there
    comes, leaves = next(
        pair
        for pair in itertools.product(keys[0][17:], keys[1][16:])
        if mix(pair[0]) & 0x3F == mix(pair[1]) & 0x3F
    )

    def prepare(m):
        resize(m, 3)
        settle(m)
        m.update((key, key) for key in (*crowd, leaves))

    scenario = concurrently(
        lambda: open_map("swiss", key_type="int64", value_type="int64"),
        [calls_on(comes, 0)[read]],
        [calls_on(leaves, 0)["pop"], calls_on(comes, 1000)["insert"]],
        prepare=prepare,
    )
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize(
    ("new_map", "situation", "threads"),
    [
        (backend, situation, threads)
        for backend in BACKENDS
        for situation in (full, shrinking)
        for threads in LONGER
        # Two threads that wait for a lock of hopscotch's help to shrink, each time, and so seem to get on.
        if not (backend == "hopscotch" and situation is shrinking and len(threads) > 2)
    ],
    ids=names,
    indirect=["new_map"],
)
def test_several_operations_take_effect_in_some_order(new_map, situation, threads):
    """Each thread's own order is kept."""
    assert explore(concurrently(new_map, *threads, prepare=situation), preemptions=1).complete


@pytest.mark.parametrize(
    ("new_map", "threads"),
    [(backend, threads) for backend in BACKENDS for threads in LONGER[: 3 if backend == "swiss" else 2]],
    ids=names,
    indirect=["new_map"],
)
def test_a_slot_that_is_used_again_is_not_taken_for_what_it_was(new_map, threads):
    """By a reader that is interrupted between two looks at it."""
    assert explore(concurrently(new_map, *threads, prepare=full), preemptions=2).complete


@pytest.mark.parametrize(
    ("new_map", "situation", "threads"),
    [
        (backend, situation, threads)
        for backend in BACKENDS
        for situation, threads in [
            *((full, threads) for threads in (LONGER[:3] if backend == "swiss" else LONGER[:1])),
            *((full, ([one], [other])) for one, other in PAIRS_OF[backend] if "get" not in one.name),
            *((growing, ([A["get_many"]], [B[name]])) for name in ("add_many", "pop")),
        ]
    ],
    ids=names,
    indirect=["new_map"],
)
def test_the_memory_orders_suffice(new_map, situation, threads):
    """Also if one read gets the oldest value that its memory order allows."""
    assert explore(concurrently(new_map, *threads, prepare=situation), preemptions=1, older=1).complete


@pytest.mark.parametrize(
    "other", [A["get_many"], A["pop_many"], NEW_A["insert_many"], A["add_many"], CLEAR], ids=str
)
def test_clearing_removes_what_was_there(new_map, other):
    """An operation on one key comes before or after it."""
    assert explore(concurrently(new_map, [CLEAR], [other], prepare=growing), preemptions=1).complete


@pytest.mark.parametrize(
    "look", [lambda m: list(m.items()), lambda m: list(zip(*m.items_arrays(), strict=True))]
)
@pytest.mark.parametrize("other", [A["pop_many"], NEW_A["insert_many"], A["add_many"]], ids=str)
@pytest.mark.parametrize("situation", SITUATIONS, ids=names)
def test_iteration_yields_what_stays_once(new_map, situation, other, look):
    """And no key twice, whatever is moved meanwhile."""

    def scenario():
        m = new_map()
        situation(m)
        before = dict(m.items())
        seen, _ = yield lambda: look(m), lambda: other.outcome(m.handle())
        keys = [key for key, _ in seen]
        assert len(keys) == len(set(keys)), seen
        assert {HERE} >= set(before) - set(keys), seen
        assert {HERE, THERE} >= {key for key, value in seen if before.get(key) != value}, seen
        m._check()

    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("older", [0, 2])
def test_entries_are_counted_before_they_are_inserted(new_map, monkeypatch, older):
    """By a resize that begins meanwhile, or its phase is seen: so the next table has room for all."""
    monkeypatch.setattr(tables, "HELP_SLOTS", 1)
    monkeypatch.setattr(words, "CREDIT", 4)

    def scenario():
        m = new_map()
        full(m)
        resize(m, 3 * m._state.minimum)
        settle(m)
        keys = array("q", range(100, 106))
        yield (
            lambda: m._state.start(m._state.table, m._state.minimum, COPY),
            lambda: m.insert_many(keys, keys),
        )
        m._check()

    assert explore(scenario, preemptions=1, older=older, runs=300).runs > 20


def test_what_one_entry_says_about_another_is_true(new_map):
    """An array is stored in its order: who sees the second sees the first."""

    def scenario():
        m = new_map()
        m.update({1: 0, 2: 0})
        keys, ones = array("q", [1, 2]), array("q", [1, 1])

        def look():
            second = m.get(2)
            return second, m.get(1)

        (second, first), _ = yield look, lambda: m.set_many(keys, ones)
        assert first >= second
        m._check()

    assert explore(scenario, preemptions=2, older=1).complete


# ---- chains ------------------------------------------------------------------------------------------------

HOMES = 4


def keys_of(home, count, homes=HOMES):
    """Return the least keys whose home it is in a table of so many."""
    found = (key for key in itertools.count() if fast_range(mix(key), homes) == home)
    return list(itertools.islice(found, count))


def node_of(m, key):
    """Return the address of the node of *key*, or 0."""
    return m._state.table.find(mix(key), key)


def chained():
    """Return a map of few homes."""
    return ChainedIntegers(ChainedWordState(HOMES, words.INTEGERS))


#: One chain from its end to its first node, since the newest is the first. They take the first three nodes.
LAST, MIDDLE, TOP = keys_of(0, 3, homes=2 * HOMES)
#: Of another home, the last, whose nodes they take: its next entry takes the first that is free of all.
BESIDE = keys_of(6, 2, homes=2 * HOMES)


def with_a_chain(m):
    """Three entries with one home, and two with another."""
    m.update(dict.fromkeys(BESIDE, 40))
    m.update({LAST: 10, MIDDLE: 20, TOP: 30})


def heir(key, home):
    """Return a key of that *home* that takes the node which *key* leaves."""
    for other in keys_of(home, 200):
        m = chained()
        with_a_chain(m)
        node = node_of(m, key)
        del m[key]
        if other not in m:
            m[other] = 1
            if node_of(m, other) == node and other != key:
                return other
    raise AssertionError((key, home))


def leaving(key, home):
    """Return the program of a thread that takes *key* out, and lets one of *home* have its node."""
    return [calls_on(key, 0)["pop"], calls_on(heir(key, home), 50)["insert"]]


@pytest.mark.parametrize("sought", [LAST, MIDDLE, TOP], ids=["last", "middle", "top"])
@pytest.mark.parametrize("gone", [LAST, MIDDLE, TOP], ids=["last", "middle", "top"])
@pytest.mark.parametrize("home", [0, HOMES - 1])
@pytest.mark.parametrize(("preemptions", "older"), [(2, 0), (1, 1)])
def test_a_node_of_another_chain_is_not_followed(sought, gone, home, preemptions, older):
    """It is taken out, and used again in another chain, or in this one, while a search stands on it."""
    read = calls_on(sought, 0)["get"]
    scenario = concurrently(chained, [read], leaving(gone, home), prepare=with_a_chain)
    assert explore(scenario, preemptions=preemptions, older=older).complete


@pytest.mark.parametrize("case", ["it", "behind it", "after it"])
def test_what_is_seen_of_a_removal_shows_the_new_version(case):
    """And of what comes after it, by another thread too: to one that sees stores as late as it may."""
    sought = {"it": MIDDLE, "behind it": LAST, "after it": heir(MIDDLE, 0)}[case]
    others = {
        "it": [[calls_on(MIDDLE, 0)["pop"]], leaving(MIDDLE, HOMES - 1)[1:]],
        "behind it": [[calls_on(MIDDLE, 0)["pop"]]],
        "after it": [leaving(MIDDLE, 0)],
    }[case]
    scenario = concurrently(chained, [calls_on(sought, 0)["get"]], *others, prepare=with_a_chain)
    assert explore(scenario, preemptions=1, older=1 if case == "it" else 2).complete


def test_two_homes_do_not_take_the_same_node():
    """The free node nearest to both is claimed by one of two insertions."""
    one, other = heir(TOP, 0), heir(TOP, HOMES - 1)

    def prepare(m):
        with_a_chain(m)
        del m[TOP]

    threads = [calls_on(key, 1)["insert_many"] for key in (one, other)]
    assert explore(
        concurrently(chained, *([each] for each in threads), prepare=prepare), preemptions=2
    ).complete


@pytest.mark.parametrize(("first", "second"), [(LAST, MIDDLE), (LAST, TOP), (MIDDLE, TOP)])
def test_neighbours_in_a_chain_leave_at_the_same_time(first, second):
    """Both are gone, and the rest of the chain stays."""
    threads = [[calls_on(key, 0)["pop_many"]] for key in (first, second)]
    assert explore(concurrently(chained, *threads, prepare=with_a_chain), preemptions=2, older=1).complete


@pytest.mark.parametrize("gone", [LAST, MIDDLE, TOP], ids=["last", "middle", "top"])
def test_an_iteration_keeps_to_the_chains(gone):
    """Whoever stays is found once, and nobody with another's value."""
    program = leaving(gone, HOMES - 1)

    def scenario():
        m = chained()
        with_a_chain(m)
        before = dict(m)
        (keys, values), _ = yield m.items_arrays, lambda: [call.outcome(m.handle()) for call in program]
        found = dict(zip(keys, values, strict=True))
        assert len(found) == len(keys)
        assert {key: value for key, value in found.items() if key in before}.items() <= before.items()
        assert set(before) - {gone} <= set(found)
        m._check()

    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("call", ["set_many", "insert", "pop", "get"])
@pytest.mark.parametrize("homes", [2, 3, 7])
def test_several_homes_move_into_one(monkeypatch, call, homes):
    """By two threads, while a third one's key is there already, or comes, or goes."""
    monkeypatch.setattr(tables, "HELP_SLOTS", 1)
    monkeypatch.setattr(words, "HELP_SLOTS", 1)
    monkeypatch.setattr(words, "READ_HELP_SLOTS", 1)
    keys = [key for home in range(HOMES) for key in keys_of(home, 1)][: 2 if homes == 2 else 4]
    new = keys_of(0, 4)[3]

    def prepare(m):
        m.update((key, key + 10) for key in keys)
        resize(m, homes)

    helping = Call("help", lambda m: m._state.help(1) if hasattr(m, "_state") else None)
    other = calls_on(new if call == "insert" else keys[0], 99)[call]
    scenario = concurrently(chained, [helping, helping], [other], prepare=prepare)
    assert explore(scenario, preemptions=1, older=1).complete
    scenario = concurrently(chained, [helping], [helping, other], prepare=prepare)
    assert explore(scenario, preemptions=2).complete
