"""A Swiss operation, interrupted before any of its steps by others of another handle, takes effect at one instant.

A step is a look at shared memory or a change of it. The interrupting operations run as a whole, in the same
thread, from inside the call of the atomic function; so every case is deterministic, and can be repeated from
its name and the number of the step. What a thread finds that comes when a lock is held, which no interruption
can wait for, ends that interruption and nothing else.

Needs the pure build, where atomics are functions that can be replaced.
"""

from __future__ import annotations

import contextlib
import functools
import itertools

import attrs
import pytest

import intermodal
from intermodal import ABSENT, atomics, open_map, tables

pytest.importorskip("intermodal_swiss")
from intermodal_swiss import SwissMap, _map, _state, _table

if intermodal.__compiled__:
    pytest.skip("compiled code has its atomics inlined", allow_module_level=True)

MODULES = (tables, _table, _state, _map)
STEPS = [
    "load",
    "store",
    "exchange",
    "compare_exchange",
    "fetch_add",
    "fetch_and",
    "fetch_or",
    "fence",
    "try_lock",
    "unlock",
    "load_byte",
    "store_byte",
    "compare_exchange_byte",
    "match_bytes",
    "object_load",
    "object_store",
    "object_exchange",
    "object_take",
    "object_compare_exchange",
    "object_copy",
    "object_forget",
    "object_is",
    "object_is_empty",
    "key_equals",
    "stored_hash",
    "stored_key_is_str",
]
#: More steps than any operation on so small a map takes.
ENDLESS = 20_000


class Blocked(BaseException):
    """The interrupting operation would wait for the one that it interrupts."""


class Clock:
    """Counts the steps of the interrupted operation, and runs the interruption before one of them."""

    def __init__(self):
        self.steps, self.at, self.interruption = 0, None, None
        self.counting = self.interrupting = False

    def stepping(self, function):
        """Return *function* as a step."""

        def step(*arguments):
            if self.counting:
                self.steps += 1
                assert self.steps < ENDLESS, "the operation does not end"
                if self.steps == self.at:
                    self.interrupt()
            return function(*arguments)

        return step

    def waiting(self, function):
        """Return *function*, which waits for the holder of a lock, for interruptions not to call."""

        def wait(spins):
            if self.interrupting:
                raise Blocked
            return function(spins)

        return wait

    def interrupt(self):
        self.counting, self.interrupting = False, True
        try:
            self.interruption()
        except Blocked:
            pass
        finally:
            self.counting, self.interrupting = True, False

    def run(self, function, at, interruption):
        """Return the result of *function()*, interrupted before step *at*; or None for a shorter one."""
        self.steps, self.at, self.interruption, self.counting = 0, at, interruption, True
        try:
            result = function()
        finally:
            self.counting = False
        return (result,) if self.steps >= at else None


@pytest.fixture
def clock(monkeypatch):
    """Steps are counted, and each operation helps a resize by one home only: small tables show every phase."""
    clock = Clock()
    for module in MODULES:
        for name in set(STEPS) & set(vars(module)):
            monkeypatch.setattr(module, name, clock.stepping(getattr(module, name)))
        if hasattr(module, "wait"):
            monkeypatch.setattr(module, "wait", clock.waiting(module.wait))
    monkeypatch.setattr(tables, "HELP_SLOTS", 1)
    monkeypatch.setattr(tables, "READ_HELP_SLOTS", 1)
    return clock


# ---- keys that meet ------------------------------------------------------------------------------------


class Asked:
    """A key that only its own ``__eq__`` can compare."""

    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        return isinstance(other, Asked) and self.number == other.number

    def __repr__(self):
        return f"Asked({self.number})"


@functools.cache
def numbers_of(home, groups):
    """Return a number and its twin, of the same tag, with that home in a table of *groups*; and 20 others."""
    alike = [each for each in range(1000) if atomics.fast_range(atomics.mix(each), groups) == home]
    first, *rest = alike
    twin = next(each for each in rest if (atomics.mix(each) ^ atomics.mix(first)) & 0x7F == 0)
    return first, twin, [each for each in rest if each != twin][:20]


@attrs.frozen
class World:
    """A map, the key that all is about, its twin of the same home and tag, a new key of the last home, others."""

    m: SwissMap
    key: object
    twin: object
    newcomer: object
    others: list[object]

    @property
    def state(self):
        return self.m._state


def world(groups, home, fill, *, present=True, kind=int):
    """Return a world of *groups*, where each home has *fill[home]* entries that came before the key's."""
    m = SwissMap(_state.SwissState(groups))
    for group, count in enumerate(fill):
        for number in numbers_of(group, groups)[2][:count]:
            m[kind(number)] = "other"
    others = list(m)
    key, twin, _ = numbers_of(home, groups)
    if present:
        m[kind(key)] = "old"
    newcomer = numbers_of(groups - 1, groups)[2][-1]
    return World(m, kind(key), kind(twin), kind(newcomer), others)


def small(**options):
    """One group."""
    return world(1, 0, [2], **options)


def displaced(**options):
    """The key's home is full, and the key lies in the next group."""
    return world(2, 1, [3, 16], **options)


def beside_overflow(**options):
    """The next home is full: what it gets goes to the key's group."""
    return world(2, 0, [0, 16], **options)


def moving(**options):
    """In the middle of growing: one home has moved, the key's has not."""
    made = world(3, 2, [2, 2, 1], **options)
    assert made.state.start(made.state.table, 4, tables.COPY)
    return made


def moved(**options):
    """In the middle of growing: the key's home has moved, another has not."""
    made = world(5, 0, [1, 1, 1, 1, 1], **options)
    assert made.state.start(made.state.table, 6, tables.COPY)
    return made


def resting(**options):
    """Two groups, few entries, no resize."""
    return world(2, 0, [0, 1], **options)


WORLDS = [small, displaced, beside_overflow, moving, moved]


# ---- operations ----------------------------------------------------------------------------------------


def pop(view, key):
    return view.pop(key, "none")


def set_item(view, key):
    view[key] = "new"


def compute(view, key):
    return view.compute(key, lambda old: "first" if old is ABSENT else (old, "computed"))


#: One for each condition of a write, and those that loop.
OPERATIONS = {
    "get": lambda view, key: view.get(key, "none"),
    "set": set_item,
    "setdefault": lambda view, key: view.setdefault(key, "new"),
    "pop": pop,
    "compare_and_set": lambda view, key: view.compare_and_set(key, "old", "new"),
    "compute": compute,
}


def _on(name, operation):
    return lambda view, world: operation(view, getattr(world, name))


#: What an interruption does: operations on entries, one after the other, each (view, world) -> result.
CHANGES = {
    "removes it": [_on("key", pop)],
    "gives its slot to its twin": [_on("key", pop), _on("twin", lambda view, key: view.insert(key, "twin"))],
    "brings its twin": [_on("twin", lambda view, key: view.insert(key, "twin"))],
    "removes it and brings it back": [
        _on("key", pop),
        _on("key", lambda view, key: view.insert(key, "again")),
    ],
    "inserts it": [_on("key", lambda view, key: view.insert(key, "inserted"))],
    "replaces its value": [_on("key", lambda view, key: view.compare_and_set(key, "old", "changed"))],
    "brings a key of the full home": [_on("newcomer", lambda view, key: view.insert(key, "overflowing"))],
}
#: Those that may matter to an operation that finds nothing.
FOR_ABSENT = ("inserts it", "brings its twin", "brings a key of the full home")
REMOVALS = ("removes it", "gives its slot to its twin", "removes it and brings it back")


def begin(state):
    """Begin to resize to the next size."""
    state.start(state.table, _state.larger(state.table.groups), tables.COPY)


def finish(state):
    """Begin to resize unless that was done, and come to the end of it."""
    if state.table.next is None:
        begin(state)
    for _ in range(2 * state.table.groups):
        state.help(1)


#: What an interruption does to the table, which no result may tell.
RESIZES = {"begins a resize": begin, "moves a home": lambda state: state.help(1), "resizes": finish}


def outcomes(made, operation, changes, results):
    """Return what can come of *operation* somewhere among the first of *changes*, of which *results* are known.

    An interruption that was held up may have been so after its change, when it helped with a resize. Each is
    result of the operation, results of the changes, entries in the end.
    """
    possible = []
    for count in {len(results), min(len(results) + 1, len(changes))}:
        for place in range(count + 1):
            model = open_map("locked")
            model.update(made.entries)
            done = [change(model, made.world) for change in changes[:place]]
            result = operation(model, made.world.key)
            done += [change(model, made.world) for change in changes[place:count]]
            possible.append((result, done[: len(results)], dict(model)))
    return possible


@attrs.frozen
class Made:
    """A world, and what is in it before the operation."""

    world: World
    entries: dict[object, object]


def made_by(build, **options):
    new = build(**options)
    return Made(new, dict(new.m.items()))  # looking keys up would move homes


def unpromised(state):
    """Return how many slots of the next table neither entries need nor insertions may have; 0 if it has none."""
    following = state.table.next
    if following is None:
        return 0
    room = atomics.load(following.control + tables.ROOM, atomics.RELAXED)
    return following.capacity() - state.entries() - room


def whole(m):
    """Check *m* and return its entries."""
    m._check()
    entries = list(m.items())
    assert len(entries) == len(dict(entries)) == len(m)
    return dict(entries)


def points(clock, build, run):
    """Call ``run(made, at)`` for each step, in a new world each time, until it returns False: no such step."""
    for at in itertools.count(1):
        if not run(made_by(build), at):
            assert at > 2, "an operation has steps"
            return


def cases(interruptions):
    """Return what can tell something: a change that does nothing does not, and some code paths are shared."""
    return [
        pytest.param(build, operation, interruption, present, kind, id="-".join(names))
        for build, operation, interruption, present, kind in itertools.product(
            WORLDS, OPERATIONS, interruptions, (True, False), (int, Asked)
        )
        if kind is int or (build is small and operation in ("get", "set"))
        if build not in (moving, moved) or operation in ("get", "set", "pop")
        if present or (operation != "compare_and_set" and interruption in {*RESIZES, *FOR_ABSENT})
        if not present or interruption != "inserts it"
        if build in (moving, moved) or interruption != "moves a home"
        for names in [
            (build.__name__, operation, interruption, "there" if present else "absent", kind.__name__)
        ]
    ]


each_world = pytest.mark.parametrize("build", WORLDS, ids=lambda each: each.__name__)
each_kind = pytest.mark.parametrize("kind", [int, Asked])


@pytest.mark.parametrize(("build", "operation", "change", "present", "kind"), cases(CHANGES))
def test_an_operation_that_others_interrupt_takes_effect_at_one_instant(
    clock, build, operation, change, present, kind
):
    """The results, and the entries in the end, are those of some order."""
    do, changes = OPERATIONS[operation], CHANGES[change]

    def run(made, at):
        view, other = made.world.m.handle(), made.world.m.handle()
        results = []

        def interruption():
            for each in changes:
                results.append(each(other, made.world))  # noqa: PERF401  (those before a Blocked count)

        result = clock.run(lambda: do(view, made.world.key), at, interruption)
        if result is None:
            return False
        if operation != "pop" and change not in REMOVALS:
            assert unpromised(made.world.state) == 0, f"interrupted before step {at}"
        found = (result[0], results, whole(made.world.m))
        possible = outcomes(made, do, changes, results)
        assert found in possible, f"interrupted before step {at}: {found}, not one of {possible}"
        return True

    points(clock, lambda: build(present=present, kind=kind), run)


@pytest.mark.parametrize(("build", "operation", "resize", "present", "kind"), cases(RESIZES))
def test_an_operation_that_a_resize_interrupts_does_what_it_does_without(
    clock, build, operation, resize, present, kind
):
    """Result and entries are the same, and the next table has kept room for every entry."""
    do = OPERATIONS[operation]

    def run(made, at):
        state = made.world.state
        view = made.world.m.handle()
        result = clock.run(lambda: do(view, made.world.key), at, lambda: RESIZES[resize](state))
        if result is None:
            return False
        if len(made.world.m) >= len(made.entries):  # a removal gives no room back
            # An insertion that steps back may have been counted when the room was.
            assert 0 <= unpromised(state) <= 1, f"interrupted before step {at}"
        found = (result[0], [], whole(made.world.m))
        possible = outcomes(made, do, [], [])
        assert found in possible, f"interrupted before step {at}: {found}, not one of {possible}"
        return True

    points(clock, lambda: build(present=present, kind=kind), run)


@pytest.mark.parametrize("interruption", [*CHANGES, *RESIZES])
@each_kind
@each_world
def test_an_iteration_that_others_interrupt_yields_what_stays_exactly_once(clock, build, interruption, kind):
    """No key twice, none missing that was there throughout, each with a value that it had."""

    def run(made, at):
        w, other = made.world, made.world.m.handle()

        def interrupt():
            if interruption in RESIZES:
                RESIZES[interruption](w.state)
            else:
                for each in CHANGES[interruption]:
                    each(other, w)

        result = clock.run(lambda: list(w.m.items()), at, interrupt)
        if result is None:
            return False
        found, after = dict(result[0]), whole(w.m)
        assert len(found) == len(result[0]), f"interrupted before step {at}: a key came twice"
        staying = {key for key in made.entries if key in after}
        if interruption == "removes it and brings it back":
            staying -= {w.key}
        assert staying <= set(found), f"interrupted before step {at}: missing {staying - set(found)}"
        for key, value in found.items():
            assert value in (made.entries.get(key), after.get(key)), f"interrupted before step {at}: {key}"
        return True

    points(clock, lambda: build(kind=kind), run)


@pytest.mark.parametrize("operation", OPERATIONS)
@each_world
def test_an_operation_that_its_own_view_interrupts_keeps_to_its_table(clock, build, operation):
    """A destructor that the operation runs may use the same view, and the map may be resized meanwhile."""
    do = OPERATIONS[operation]

    def run(made, at):
        view = made.world.m.handle()

        def interruption():
            finish(made.world.state)
            for each in view, made.world.m:  # neither keeps the old table after this
                each.get(made.world.others[0])

        result = clock.run(lambda: do(view, made.world.key), at, interruption)
        if result is None:
            return False
        found = (result[0], [], whole(made.world.m))
        assert found in outcomes(made, do, [], []), f"interrupted before step {at}: {found}"
        return True

    points(clock, build, run)


@each_kind
def test_nobody_misses_an_entry_while_its_home_is_moved(clock, kind):
    """Each is found, with its value, before every step of a whole resize."""
    most = 0

    def run(made, at):
        nonlocal most
        other, seen = made.world.m.handle(), {}
        state = made.world.state

        def interruption():
            for key in made.entries:
                with contextlib.suppress(Blocked):  # a look-up may help with the very home
                    seen[key] = other.get(key)

        result = clock.run(lambda: finish(state), at, interruption)
        if result is None:
            return False
        assert seen.items() <= made.entries.items(), f"interrupted before step {at}"
        assert whole(made.world.m) == made.entries
        most = max(most, len(seen))
        return True

    points(clock, lambda: resting(kind=kind), run)
    assert most > 1, "almost every look-up was held up"


@pytest.mark.parametrize(
    ("build", "change"),
    [*((resting, change) for change in CHANGES), (displaced, "replaces its value")],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_what_is_changed_while_homes_are_moved_stays_changed(clock, build, change):
    """A change before any step of a whole resize is found after it, or had to wait and was not made."""
    changes = CHANGES[change]

    def run(made, at):
        other, results = made.world.m.handle(), []

        def interruption():
            for each in changes:
                results.append(each(other, made.world))  # noqa: PERF401  (those before a Blocked count)

        result = clock.run(lambda: finish(made.world.state), at, interruption)
        if result is None:
            return False
        found = (None, results, whole(made.world.m))
        assert found in outcomes(made, lambda *_: None, changes, results), f"interrupted before step {at}"
        return True

    points(clock, build, run)


def test_a_shrink_that_insertions_interrupt_has_room_for_them(clock):
    """Its size was chosen before; it gives up where that has become too small."""
    sizes = set()

    def run(made, at):
        state, other = made.world.state, made.world.m.handle()
        more = range(1000, 1020)

        def interruption():
            for key in more:
                other[key] = "more"

        result = clock.run(lambda: state.start(state.table, 1, tables.COPY), at, interruption)
        if result is None:
            return False
        sizes.add(result[0])
        finish(state)
        entries = whole(made.world.m)
        assert made.entries.items() <= entries.items()
        return True

    points(clock, lambda: world(3, 0, [1, 1, 1]), run)
    assert sizes == {True, False}
