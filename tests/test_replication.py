"""replicate(): structures of all kinds, their results, exceptions, replicas that come and go, examples."""

from __future__ import annotations

import gc
import heapq
import random
import threading
from collections import Counter, OrderedDict, defaultdict, deque

import attrs
import pytest

import intermodal
from intermodal import Dispatch, OptionError, read, replicate, write
from intermodal.dispatch import Heap, plan_of
from intermodal.testing.threads import PATIENCE, Together, in_threads, run_threads
from intermodal.testing.witness import Numbered, Witness, check_witness
from intermodal_nr.readers import SLOTS
from intermodal_nr.replica import SHARED_SLOTS

COMPILED = intermodal.__compiled__


class Register(Dispatch):
    """A number, a list of what happened to it, and operations that fail half-way."""

    def __init__(self):
        self.value, self.log = 0, []

    def dispatch(self, operation):
        if operation == "fail":
            raise LookupError("read")
        return self.value

    def dispatch_mut(self, operation):
        self.log.append(operation)
        if operation == "fail":
            raise ValueError("half-way")
        self.value += operation
        return self.value


def states(replicated):
    """The structures of all replicas, which are up to date."""
    replicated._check()
    return [replica.state.structure for replica in replicated._group.replicas]


def small(structure, **options):
    """Replicated with a log of four entries and batches of two, so that it wraps and fills up all the time."""
    return replicate(structure, **{"replicas": 2, "log_entries": 4, "batch": 2, "checked": True, **options})


# ---- structures of the standard library ----------------------------------------------------------------

CALLS = {
    dict: [
        lambda m: m.__setitem__("a", 1),
        lambda m: m.setdefault("b", 2),
        lambda m: m.update({"c": 3}, d=4),
        lambda m: m.update((key, 0) for key in "xy"),
        lambda m: m.pop("a"),
        lambda m: m.pop("missing"),
        lambda m: m["missing"],
        lambda m: m["b"],
        lambda m: sorted(m.items()),
        lambda m: list(m) == list(m.keys()) and list(reversed(m)),
        lambda m: m | {"z": 1},
        lambda m: "b" in m,
        lambda m: m.popitem(),
        lambda m: m.__delitem__("b"),
        lambda m: m == {"c": 3, "d": 4, "x": 0},
        len,
        repr,
        lambda m: m.clear(),
    ],
    list: [
        lambda m: m.append(3),
        lambda m: m.extend(iter([1, 2])),
        lambda m: m.insert(0, 9),
        lambda m: m.sort(),
        lambda m: m.__setitem__(slice(0, 1), (each for each in "ab")),
        lambda m: m[1:],
        lambda m: m[99],
        lambda m: m.pop(0),
        lambda m: m.remove("nothing"),
        lambda m: m.index(3),
        lambda m: list(m) + list(reversed(m)),
        lambda m: m == ["b", 2, 3, 9],
        repr,
    ],
    set: [
        lambda m: m.add(1),
        lambda m: m.update([2, 3], {4}),
        lambda m: m.discard(9),
        lambda m: m.remove(9),
        lambda m: m | {7},
        lambda m: m.issubset({1, 2, 3, 4, 5}),
        lambda m: sorted(m.pop() for _ in range(4)),
        lambda m: m.pop(),
        len,
    ],
    deque: [
        lambda m: m.extend("abc"),
        lambda m: m.appendleft(0),
        lambda m: m.rotate(1),
        lambda m: m.popleft(),
        lambda m: m.pop(),
        list,
        lambda m: m.maxlen,
        lambda m: [m.pop() for _ in range(9)],
    ],
    Counter: [
        lambda m: m.update("abca"),
        lambda m: m.update(a=2),
        lambda m: m.subtract({"b": 3}),
        lambda m: m.most_common(1),
        lambda m: m["missing"],
        lambda m: m + Counter("a"),
        lambda m: sorted(m.elements()),
        lambda m: m.total(),
    ],
    OrderedDict: [
        lambda m: m.update(zip("abc", range(3), strict=True)),
        lambda m: m.move_to_end("a"),
        lambda m: m.popitem(last=False),
        lambda m: list(m.items()),
    ],
}


def outcome(call, structure):
    """What a call returns or raises, comparable."""
    try:
        result = call(structure)
    except Exception as error:  # noqa: BLE001  (a result)
        return type(error), error.args
    return result


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.__name__)
def test_a_replicated_structure_answers_as_the_structure_itself(kind):
    """Results, exceptions, and afterwards all copies are equal to the model."""
    model, replicated = kind(), small(kind)
    for number, call in enumerate(CALLS[kind]):
        assert outcome(call, replicated) == outcome(call, model), number
    assert states(replicated) == [model, model]


def test_operators_that_change_in_place_give_the_replicated_object():
    """Never the structure inside."""
    words = before = small(list)
    words += ["a"]
    assert words is before
    counts = before = small(Counter)
    counts += Counter("aab")
    counts -= Counter("b")
    assert counts is before
    assert states(counts) == [Counter("aa")] * 2


def test_a_default_dict_changes_when_it_is_read():
    """On every copy."""
    groups = small(defaultdict(list))
    assert groups["a"] == []
    assert [list(state) for state in states(groups)] == [["a"], ["a"]]


def test_a_filled_instance_is_copied_and_left_alone():
    """Of a standard type, of a marked class and of a Dispatch."""
    model = {"a": 1}
    replicated = small(model)
    replicated["b"] = 2
    assert model == {"a": 1}
    assert states(replicated) == [{"a": 1, "b": 2}] * 2
    queue = replicate(deque([1, 2], maxlen=2))
    queue.append(3)
    assert (list(queue), queue.maxlen) == ([2, 3], 2)
    register = Register()
    register.value = 5
    assert replicate(register).execute_mut(1) == 6
    assert register.value == 5


def test_two_replicated_objects_can_be_compared_and_merged():
    """The other one's state of one moment is taken."""
    one, two = small({"a": 1}), small({"a": 1})
    assert one == two
    two.update(small({"b": 2}))
    assert one != two
    assert two == {"a": 1, "b": 2}
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_a_heap_gives_equal_items_in_the_order_in_which_they_came():
    """And is the same on every copy."""
    heap = small("heap")
    items = [random.Random(number).randrange(10) for number in range(50)]
    for item in items:
        heap.push(item)
    expected = sorted(items)
    heapq.heapify(items)
    assert heap.peek() == items[0]
    assert heap.replace(expected[0]) == expected[0]
    assert [heap.pop() for _ in range(50)] == expected
    with pytest.raises(IndexError):
        heap.pop()
    assert [list(state) for state in states(heap)] == [[], []]


def test_what_cannot_be_replicated_says_what_to_do():
    """And options that there are not name those that there are."""
    with pytest.raises(OptionError, match=r"mark its methods with @intermodal\.read"):
        replicate(object())
    with pytest.raises(OptionError, match="no option 'btach'.*batch"):
        replicate(dict, btach=1)
    with pytest.raises(OptionError, match="consistency is"):
        replicate(dict, consistency="eventual")
    with pytest.raises(OptionError, match="replicas must be"):
        replicate(dict, replicas=0)
    with pytest.raises(OptionError, match="engine 'nr': batch cannot be 0"):
        replicate(dict, batch=0)
    with pytest.raises(OptionError, match="log 'memory': log_entries must be int; got 'many'"):
        replicate(dict, log_entries="many")
    with pytest.raises(OptionError, match="for a ConcurrentDispatch"):
        replicate(dict, logs=2)
    with pytest.raises(intermodal.BackendNotFound, match="no log 'memoy'"):
        replicate(dict, log="memoy")

    class Clash:
        @write
        def sync(self):
            pass

    with pytest.raises(OptionError, match="sync"):
        replicate(Clash)


# ---- marked classes and operations of one's own --------------------------------------------------------


class LruCache:
    """Least recently used goes first; looking something up is a change."""

    def __init__(self, size=2):
        self.size, self.entries = size, OrderedDict()

    @write
    def get(self, key, default=None):
        if key not in self.entries:
            return default
        self.entries.move_to_end(key)
        return self.entries[key]

    @write
    def put(self, key, value):
        self.entries[key] = value
        self.entries.move_to_end(key)
        if len(self.entries) > self.size:
            self.entries.popitem(last=False)

    @read
    def __len__(self):
        return len(self.entries)

    @property
    @read
    def newest(self):
        return next(reversed(self.entries))

    @read
    def keys(self):
        yield from self.entries


def test_a_marked_class_keeps_its_methods_and_properties():
    """An LRU cache: generators of reads are run at once."""
    cache = small(LruCache)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("b"), len(cache), cache.newest, list(cache.keys())) == (None, 2, "c", ["a", "c"])
    with pytest.raises(AttributeError):
        cache.entries  # noqa: B018
    assert [list(state.entries) for state in states(cache)] == [["a", "c"]] * 2


@attrs.frozen
class Limit:
    side: str
    price: int
    size: int


@attrs.frozen
class Cancel:
    order: int


class OrderBook(Dispatch):
    """Orders that wait for each other, best price first, then the oldest."""

    def __init__(self):
        self.waiting, self.sides, self.numbers = {}, {"buy": [], "sell": []}, 0

    def dispatch(self, operation):
        match operation:
            case "best":
                return tuple(self._best(side) for side in ("buy", "sell"))

    def dispatch_mut(self, operation):
        match operation:
            case Limit(side, price, size):
                return self._limit(side, price, size)
            case Cancel(order):
                return self.waiting.pop(order)[2]

    def _best(self, side):
        heap = self.sides[side]
        return next((self.waiting[number][1] for _, number in sorted(heap) if number in self.waiting), None)

    def _limit(self, side, price, size):
        other, sign = ("sell", 1) if side == "buy" else ("buy", -1)
        heap, trades = self.sides[other], []
        while size and heap and sign * abs(heap[0][0]) <= sign * price:
            number = heap[0][1]
            if number in self.waiting:
                _, at, rest = self.waiting[number]
                traded = min(size, rest)
                size -= traded
                trades.append((number, at, traded))
                if traded < rest:
                    self.waiting[number] = (other, at, rest - traded)
                    break
                del self.waiting[number]
            heapq.heappop(heap)
        self.numbers += 1
        if size:
            self.waiting[self.numbers] = (side, price, size)
            heapq.heappush(self.sides[side], (-price if side == "buy" else price, self.numbers))
        return self.numbers, trades


def test_an_order_book_with_operations_of_its_own():
    """Classes of attrs, matched by patterns; its exceptions come to who asked."""
    book = small(OrderBook)
    first, trades = book.execute_mut(Limit("sell", 101, 5))
    assert (first, trades) == (1, [])
    second, _ = book.execute_mut(Limit("sell", 100, 5))
    assert book.execute_mut(Limit("buy", 101, 7)) == (3, [(2, 100, 5), (1, 101, 2)])
    assert book.execute("best") == (None, 101)
    assert book.execute_mut(Cancel(first)) == 3
    with pytest.raises(KeyError):
        book.execute_mut(Cancel(second))
    assert [state.waiting for state in states(book)] == [{}, {}]


class Stack:
    def __init__(self):
        self.items = []

    @write
    def push(self, item):
        self.items.append(item)

    @write
    def pop(self):
        return self.items.pop()


def test_a_stack_gives_every_item_once_and_those_of_a_thread_in_reverse():
    """Threads push by handles while others pop; then all is popped at one thread."""
    stack = small(Stack)
    together = Together(3)

    def work(index):
        with stack.handle() as mine:
            together.wait()
            for number in range(60):
                mine.push((index, number))
            return [mine.pop() for _ in range(20)]

    got = [item for part in in_threads(3, work) for item in part]
    rest = [stack.pop() for _ in range(120)]
    assert sorted(got + rest) == [(index, number) for index in range(3) for number in range(60)]
    for index in range(3):
        mine = [number for owner, number in rest if owner == index]
        assert mine == sorted(mine, reverse=True)
    with pytest.raises(IndexError):
        stack.pop()
    assert [state.items for state in states(stack)] == [[], []]


def test_the_original_readmes_example_is_a_dict():
    """Two replicas, three threads, each puts what all can get."""
    m = replicate(dict, replicas=2)

    def work(index):
        with m.handle() as mine:
            for number in range(200):
                mine[number] = number + 1
                assert mine[number] == number + 1
            assert mine.get(10_000 + index) is None

    in_threads(3, work)
    assert states(m) == [{number: number + 1 for number in range(200)}] * 2


# ---- exceptions ----------------------------------------------------------------------------------------


def test_an_exception_is_the_result_of_its_own_operation():
    """Of a read and of a change, and of nobody else's."""
    register = small(Register)
    together = Together(3)

    def work(index):
        failed = 0
        with register.handle() as mine:
            together.wait()
            for number in range(50):
                try:
                    mine.execute_mut("fail" if (number + index) % 3 == 0 else 1)
                except ValueError as error:
                    assert error.args == ("half-way",)  # noqa: PT017
                    failed += 1
                with pytest.raises(LookupError, match="read"):
                    mine.execute("fail")
            return failed

    failed = sum(in_threads(3, work))
    assert register.execute(None) == 150 - failed
    one, two = states(register)
    assert one.log == two.log
    assert one.log.count("fail") == failed


def test_a_combiner_that_an_interruption_ends_leaves_a_replica_that_is_whole():
    """A thread dies of something that is no Exception in the middle of a batch: the others go on."""

    class Interruption(BaseException):
        pass

    armed = threading.Event()

    class Fragile(Register):
        def dispatch_mut(self, operation):
            self.log.append(operation)
            if operation == "killed" and armed.is_set():
                armed.clear()  # as a signal would: one replica only
                raise Interruption
            return len(self.log)

        def copy(self):
            made = Fragile()
            made.log = self.log.copy()
            return made

    fragile = small(Fragile)
    fragile.execute_mut(0)
    armed.set()
    with pytest.raises(Interruption), fragile.handle() as mine:
        mine.execute_mut("killed")
    in_threads(3, lambda index: [fragile.execute_mut(index) for _ in range(20)])
    one, two = states(fragile)
    assert one.log == two.log
    assert len(one.log) == 62


def test_an_operation_that_uses_its_own_structure_is_refused():
    """It would wait for itself: from a change, from a read, from a copy of another replica."""

    class Own(Dispatch):
        def dispatch(self, operation):
            return own.execute_mut(operation) if operation == "inside a read" else 0

        def dispatch_mut(self, operation):
            return own.execute(operation) if operation == "read" else own.execute_mut(operation)

    own = small(Own)
    for operation in ("read", "write"):
        with pytest.raises(RuntimeError, match="used that structure itself"):
            own.execute_mut(operation)
    with pytest.raises(RuntimeError, match="used that structure itself"):
        own.execute("inside a read")
    own._check()


# ---- the log is a witness ------------------------------------------------------------------------------


def numbered(**options):
    return small(Numbered(Register()), **options)


def work_with(view, witness, index, steps):
    generator = random.Random(index)
    for _ in range(steps):
        choice = generator.random()
        if choice < 0.4:
            witness.write(view, generator.randrange(10))
        elif choice < 0.5:
            witness.write(view, "fail")
        else:
            witness.read(view, "fail" if choice < 0.55 else None)


STEPS = 1500 if COMPILED else 100


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_the_order_of_the_log_explains_what_threads_saw(replicas):
    """By handles and without, with a log of four entries, one replica left alone, exceptions among them."""
    structure, witness = numbered(replicas=replicas), Witness()

    def by_handle(index):
        with structure.handle() as mine:
            work_with(mine, witness, index, STEPS)

    run_threads(lambda: by_handle(1), lambda: by_handle(2), lambda: work_with(structure, witness, 3, STEPS))
    structure._check()
    check_witness(witness.operations, Register())
    first, *others = states(structure)
    assert all(other.structure.log == first.structure.log for other in others)


def test_replicas_that_come_and_go_are_seen_by_nobody():
    """Threads go on, by handles to a replica that is removed, while copies are added."""
    structure, witness = numbered(), Witness()
    busy = threading.Event()

    def work(index):
        with structure.handle() as mine:
            work_with(mine, witness, index, STEPS // 2)
            busy.set()
            work_with(mine, witness, index + 10, STEPS // 2)

    def change():
        for _ in range(20 if COMPILED else 4):
            assert structure.add_replica() == 3
            assert structure.remove_replica(0) == 2
        assert busy.wait(PATIENCE)
        structure.add_replica()
        structure.remove_replica(0)

    run_threads(lambda: work(1), lambda: work(2), change)
    check_witness(witness.operations, Register())
    one, two = states(structure)
    assert one.structure.log == two.structure.log


def test_the_check_finds_what_is_wrong():
    """A lost change, a wrong result, a stale read."""
    structure, witness = numbered(), Witness()
    for number in range(3):
        witness.write(structure, number)
        witness.read(structure, None)
    check_witness(witness.operations, Register())
    good = witness.operations
    for at, change in ((2, {"position": 5}), (3, {"result": 7}), (3, {"position": 1, "result": 0})):
        with pytest.raises(AssertionError):
            check_witness(
                [attrs.evolve(each, **change) if number == at else each for number, each in enumerate(good)],
                Register(),
            )


# ---- consistency, handles, snapshots, statistics -------------------------------------------------------


def test_consistency_is_a_reads_own_choice():
    """A stale one sees its replica as it is; a session sees what it has done; a linearizable one everything."""
    register = small(Register, log_entries=64)
    one, two = register.handle(), register.handle()
    assert one._port.replica is not two._port.replica
    one.execute_mut(1)
    assert two.execute(None, "stale") == 0
    assert two.execute(None, "session") == 0
    assert one.execute(None, "session") == 1
    assert two.execute(None) == 1
    one.execute_mut(1)
    assert two.execute(None, "session") == 1
    with register.handle("stale") as stale:
        assert stale.execute(None) in (1, 2)
        assert stale.execute(None, "linearizable") == 2


def test_a_closed_handle_is_refused_and_gives_its_slot_back():
    """However many threads come and go, and whether they close their handles or not."""
    register = replicate(Register, replicas=1)
    replica = register._group.replicas[0]

    def visit(index):
        handle = register.handle()
        handle.execute_mut(1)
        if index % 2:
            handle.close()
            with pytest.raises(ValueError, match="closed"):
                handle.execute(None)

    for _ in range(50):
        in_threads(4, visit)
    gc.collect()
    free = [replica.own_slot() for _ in range(SLOTS - SHARED_SLOTS)]
    assert sorted(free) == list(range(SHARED_SLOTS, SLOTS))
    assert register.execute(None) == 200


def test_more_handles_than_slots_share():
    """They are slower, not wrong."""
    register = small(Register)
    handles = [register.handle() for _ in range(200)]
    for handle in handles:
        handle.execute_mut(1)
    assert {handle.execute(None) for handle in handles} == {200}


def test_a_snapshot_is_a_copy_with_its_position():
    """Later changes do not show in it."""
    register = small(Register)
    for _ in range(10):
        register.execute_mut(2)
    taken = register.snapshot()
    register.execute_mut(1)
    assert (taken.state.value, taken.position) == (20, 10)
    assert register.statistics().tail == 11


def test_statistics_tell_lag_batches_and_the_logs_fill():
    """And helping: a replica that nobody uses is brought up to date by who finds the log full."""
    register = small(Register, log_entries=8)
    mine = register.handle()
    for _ in range(5):
        mine.execute_mut(1)
    statistics = register.statistics()
    assert (statistics.tail, statistics.completed, statistics.log_capacity) == (5, 5, 8)
    assert sorted(each.lag for each in statistics.replicas) == [0, 5]
    assert statistics.log_entries == 5
    for _ in range(20):
        mine.execute_mut(1)
    statistics = register.statistics()
    assert sum(each.helped for each in statistics.replicas) >= 2
    assert sum(each.batches["1"] for each in statistics.replicas) == 25
    register.sync()
    statistics = register.statistics()
    assert [each.lag for each in statistics.replicas] == [0, 0]
    assert statistics.log_entries == 0


def test_what_replaced_values_kept_alive_goes_with_the_log():
    """Entries that all replicas have executed are let go by sync()."""

    class Value:
        alive = 0

        def __init__(self):
            Value.alive += 1

        def __del__(self):
            Value.alive -= 1

    m = replicate(dict, replicas=2)
    for _ in range(10):
        m["a"] = Value()
    m.sync()
    gc.collect()
    assert Value.alive == 1
    m.clear()
    m.sync()
    gc.collect()
    assert Value.alive == 0


def test_plans_tell_reads_from_writes():
    """Of everything that is known."""
    assert plan_of(Heap).is_dispatch is False
    assert plan_of(Register).is_dispatch
    assert {"get", "__len__"} <= set(plan_of(dict).reads)
    assert {"pop", "update"} <= set(plan_of(dict).writes)
